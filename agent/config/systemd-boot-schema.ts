import { z } from 'zod';
import { absolutePath, optional } from './config-values.ts';

const partition = z
  .strictObject({ device: optional(absolutePath), path: optional(absolutePath) })
  .refine(({ device, path }) => (device === undefined) !== (path === undefined), {
    message: 'want device (kaon has it mounted while it is used) or path (the system keeps it mounted), one of them',
  });

/** systemd-boot, by the entries on its partition. */
export const systemdBoot = z
  .strictObject({
    type: z.literal('systemd-boot'),
    esp: partition,
    xbootldr: partition.optional(),
    entryPrefix: z
      .string()
      .regex(/^(?!auto-)[a-z0-9][a-z0-9._-]{0,31}$/, 'want 1 to 32 of a-z, 0-9, ".", "_" and "-", not auto-…')
      .default('kaon'),
    entries: z
      .enum(['type1', 'type2'], 'want type1 (entries in loader/entries) or type2 (images in EFI/Linux)')
      .default('type1'),
    tries: z.int('want a whole number').min(1, 'want 1 or more').max(9, 'want 9 or fewer').default(3),
  })
  .transform((raw) => ({ ...raw, xbootldr: raw.xbootldr }));
