import { z } from 'zod';
import { absolutePath, optional, yesOrNo } from './config-values.ts';

function triesUpTo(most: number, words: string) {
  return z.int('want a whole number').min(1, 'want 1 or more').max(most, words).optional();
}

const grub = z
  .strictObject({
    type: z.literal('grub'),
    environment: absolutePath.default('/boot/grub/grubenv'),
    shadow: optional(absolutePath),
    dialect: z.enum(['kaon', 'rauc'], 'want kaon or rauc').default('kaon'),
    tries: triesUpTo(9, 'want 9 or fewer'),
  })
  .refine(({ dialect, tries }) => dialect !== 'rauc' || (tries ?? 1) === 1, {
    path: ['tries'],
    message: "want 1: RAUC's grub.cfg counts a single try (dialect kaon counts more)",
  })
  .transform((raw) => ({ ...raw, tries: raw.tries ?? (raw.dialect === 'rauc' ? 1 : 4) }));

const uboot = z
  .strictObject({
    type: z.literal('uboot'),
    environment: absolutePath.default('/etc/fw_env.config'),
    dialect: z.enum(['rauc', 'bootcount'], 'want rauc or bootcount').default('rauc'),
    tries: triesUpTo(15, 'want 15 or fewer'),
    flags: z
      .enum(['incremental', 'boolean', 'sequence'], 'want incremental, boolean or sequence')
      .default('incremental'),
    slotVariable: optional(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'want the name of a variable')),
    allowSingleCopy: yesOrNo(false),
    defaults: optional(absolutePath),
  })
  .refine(({ dialect, slotVariable }) => dialect === 'bootcount' || slotVariable === undefined, {
    path: ['slotVariable'],
    message: 'want it only with dialect bootcount: remove it',
  })
  .refine(({ dialect, flags }) => dialect === 'rauc' || flags !== 'sequence', {
    path: ['flags'],
    message: "want incremental or boolean with dialect bootcount: U-Boot's own counter does not count in files",
  })
  .transform(({ allowSingleCopy, tries, ...rest }) => ({
    ...rest,
    tries: tries ?? 3,
    isSingleCopyAllowed: allowSingleCopy,
  }));

/** The loader of the node. */
export const bootloader = z.discriminatedUnion(
  'type',
  [grub, uboot],
  'want grub or uboot, the loaders of this version',
);
