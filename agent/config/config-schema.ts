import { z } from 'zod';
import { bootloader } from './bootloader-schema.ts';
import { absolutePath, duration, mapOf, optional, rate, size, text, yesOrNo } from './config-values.ts';
import { healthSchema } from './health-schema.ts';
import { registriesConfSchema, registriesSchema } from './registry-schema.ts';
import { trustSchema } from './trust-schema.ts';

const hour = 3_600_000;
/** Below it, what a socket gives at once would take seconds. */
const leastRate = 16 * 1024;

/** Fields that the format has and this version does not obey: silence would look like obedience. */
function notYet<T extends z.ZodType>(schema: T, isUnused: (value: z.output<T>) => boolean) {
  return schema.refine(isUnused, 'this is not supported by this version of kaon: remove it');
}

const node = z.strictObject({
  id: text.default('from-machine-id'),
  compatible: text,
  labels: mapOf(text, 64).default({}),
});

const partition = z.strictObject({
  device: absolutePath,
  kind: z.enum(['block', 'file'], 'want block or file').default('block'),
  keep: yesOrNo(false),
});

const slot = z.strictObject({
  bootName: z
    .string('want the name that the loader gives the slot')
    .regex(/^[A-Za-z0-9_]{1,16}$/, 'want at most 16 letters, digits and underscores, as loader variables allow'),
  bootOptions: optional(z.string().regex(/^[\x20-\x7e]{1,1024}$/, 'want kernel options, printable ASCII')),
  partitions: mapOf(partition, 16).refine((map) => Object.keys(map).length > 0, 'want at least one partition'),
});

const timeOfDay = z
  .string('want a time such as "02:00"')
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'want a time like "02:00"');

const window = z.strictObject({
  days: z.array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], 'want mon … sun')).optional(),
  from: timeOfDay,
  to: timeOfDay,
  timeZone: text.default('UTC'),
});

const update = z
  .strictObject({
    download: z
      .strictObject({
        rateLimit: optional(rate.refine((limit) => limit >= leastRate, 'want 16KiB/s or more, or leave it out')),
      })
      .prefault({}),
    windows: z
      .strictObject({ reboot: notYet(z.array(window).default([]), (windows) => windows.length === 0) })
      .default({ reboot: [] }),
    metered: z
      .strictObject({
        link: z.enum(['auto', 'metered', 'unmetered'], 'want auto, metered or unmetered').default('auto'),
        rule: z.enum(['full', 'wait', 'fail'], 'want full, wait or fail').default('full'),
        limit: optional(size),
      })
      .prefault({}),
    reboot: z
      .strictObject({
        inhibitorWait: duration(0, 7 * 24 * hour, 'of 0s to 7d').default(hour / 2),
        afterWait: z.enum(['force', 'wait'], 'want force or wait').default('force'),
      })
      .prefault({}),
    unprovenLoader: z.enum(['warn', 'refuse'], 'want warn or refuse').default('warn'),
    retry: z
      .strictObject({
        attempts: z.int('want a whole number').min(1, 'want 1 or more').max(100, 'want 100 or fewer').default(5),
        base: duration(1000, hour, 'of 1s to 1h').default(15_000),
        max: duration(1000, 24 * hour, 'of 1s to 24h').default(900_000),
      })
      .refine(({ base, max }) => base <= max, { path: ['max'], message: 'want at least what base says' })
      .prefault({}),
    write: z
      .strictObject({ unchanged: z.enum(['keep', 'overwrite'], 'want keep or overwrite').default('overwrite') })
      .prefault({}),
  })
  .transform(({ reboot, retry, unprovenLoader, write, download, metered: { link, rule, limit } }) => ({
    download: { bytesPerSecond: download.rateLimit },
    metered: { link, rule, limitBytes: limit },
    reboot: { inhibitorWaitMs: reboot.inhibitorWait, afterWait: reboot.afterWait },
    unprovenLoader,
    retry: { attempts: retry.attempts, baseMs: retry.base, maxMs: retry.max },
    write,
  }));

const triggers = z.strictObject({
  keys: mapOf(
    z.strictObject({
      file: absolutePath,
      actions: z.array(z.enum(['stage', 'activate'], 'want stage or activate'), 'want a list').min(1, 'want an action'),
    }),
    64,
  ).default({}),
});

const api = z
  .strictObject({
    socket: absolutePath.max(107, 'want at most 107 characters, as unix sockets allow').default('/run/kaon/kaon.sock'),
    tcp: notYet(z.union([text, z.null()]).default(null), (tcp) => tcp === null),
    statusPage: notYet(yesOrNo(false), (isOn) => !isOn),
  })
  .transform(({ socket }) => ({ socket }));

/** The shape of the merged configuration, with the words that its errors say. */
export const configSchema = z.strictObject({
  formatVersion: z.literal(1, 'want 1, the format of this version of kaon'),
  node,
  stateDir: absolutePath.default('/var/lib/kaon'),
  slots: z.strictObject({ a: slot, b: slot }),
  bootloader,
  trust: trustSchema.prefault({}),
  registries: registriesSchema.default({}),
  registriesConf: registriesConfSchema,
  health: healthSchema.prefault({}),
  update: update.prefault({}),
  triggers: triggers.prefault({}),
  api: api.prefault({}),
});
