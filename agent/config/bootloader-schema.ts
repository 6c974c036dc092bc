import { z } from 'zod';
import { absolutePath, optional, text, yesOrNo } from './config-values.ts';
import { systemdBoot } from './systemd-boot-schema.ts';

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

const guid = z
  .string('want the GUID of a partition')
  .regex(
    /^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/,
    'want the GUID of a partition, as lsblk -o PARTUUID shows it',
  )
  .transform((value) => value.toLowerCase());

const gpt = z
  .strictObject({
    type: z.literal('gpt'),
    disk: absolutePath,
    partitions: z.strictObject({ a: guid, b: guid }, 'want a and b, each the GUID of a partition'),
    tries: triesUpTo(15, 'want 15 or fewer, as four bits count'),
  })
  .refine(({ partitions: { a, b } }) => a !== b, {
    path: ['partitions', 'b'],
    message: 'want another partition than slot a has',
  })
  .transform(({ tries, ...rest }) => ({ ...rest, tries: tries ?? 4 }));

const one = z.literal(1, 'want 1: this loader grants a trial one try').default(1);

const partitionNumber = z
  .int('want the number of a partition')
  .min(1, 'want 1 or more')
  .max(62, 'want 62 or fewer, as the firmware counts');

const tryboot = z
  .strictObject({
    type: z.literal('tryboot'),
    file: absolutePath.default('/boot/firmware/autoboot.txt'),
    partitions: z.strictObject(
      { a: partitionNumber, b: partitionNumber },
      'want a and b, each the number of a boot partition',
    ),
    tries: one,
  })
  .refine(({ partitions: { a, b } }) => a !== b, {
    path: ['partitions', 'b'],
    message: 'want another partition than slot a has',
  });

const loader = z.strictObject(
  {
    partition: guid,
    path: z
      .string('want a path')
      .regex(/^(\/[A-Za-z0-9._+-]{1,64}){1,8}$/, 'want the path of the loader on that partition, as /EFI/kaon/a.efi'),
  },
  'want partition, a PARTUUID, and path, the loader there',
);

function isSameLoader(first: z.infer<typeof loader>, second: z.infer<typeof loader>): boolean {
  return first.partition === second.partition && first.path === second.path;
}

const efi = z
  .strictObject({
    type: z.literal('efi'),
    entries: z.strictObject(
      { a: text, b: text },
      'want a and b, each the description of a boot entry, or its Boot#### as efibootmgr shows it',
    ),
    loaders: optional(z.strictObject({ a: loader, b: loader }, 'want a and b, or leave it out')),
    tries: one,
  })
  .refine(({ entries: { a, b } }) => a !== b, {
    path: ['entries', 'b'],
    message: 'want another boot entry than slot a has',
  })
  .refine(({ loaders }) => loaders === undefined || !isSameLoader(loaders.a, loaders.b), {
    path: ['loaders', 'b'],
    message: 'want another loader than slot a has',
  });

/** The loader of the node. */
export const bootloader = z.discriminatedUnion(
  'type',
  [grub, systemdBoot, uboot, gpt, tryboot, efi],
  'want grub, systemd-boot, uboot, gpt, tryboot or efi, the loaders of this version',
);
