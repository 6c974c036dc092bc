import { z } from 'zod';

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnits: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** The milliseconds of `90s`, `10m`, `1.5h`; `undefined` for any other text. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  return number === undefined || unit === undefined
    ? undefined
    : Math.round(Number(number) * (durationUnits[unit] ?? 0));
}

/** The bytes of `512B`, `4MiB`; `undefined` for any other text. */
export function parseSize(text: string): number | undefined {
  const [, number, unit] = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(text) ?? [];
  return number === undefined || unit === undefined ? undefined : Number(number) * (sizeUnits[unit] ?? 0);
}

/** A duration of `minMs` to `maxMs`, as milliseconds; `range` says the same in words. */
export function duration(minMs: number, maxMs: number, range: string) {
  const want = `want a duration such as 90s, 10m or 2h, ${range}`;
  return z
    .string(want)
    .refine((text) => {
      const parsed = parseDuration(text);
      return parsed !== undefined && parsed >= minMs && parsed <= maxMs;
    }, want)
    .transform((text) => parseDuration(text) ?? 0);
}

/** A size such as `50MiB`, in bytes. */
export const size = z
  .string('want a size such as 50MiB')
  .refine((text) => parseSize(text) !== undefined, 'want a size such as 50MiB')
  .transform((text) => parseSize(text) ?? 0);

/** A time as ISO 8601 with a zone, in epoch milliseconds. */
export const time = z
  .string('want a time such as 2026-01-31T06:00:00Z')
  .refine(
    (text) =>
      /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/.test(text) &&
      !Number.isNaN(Date.parse(text)),
    'want a time such as 2026-01-31T06:00:00Z',
  )
  .transform((text) => Date.parse(text));

/** A transfer rate such as `4MiB/s`, as bytes each second. */
export const rate = z
  .string('want a rate such as 4MiB/s')
  .refine((text) => text.endsWith('/s') && parseSize(text.slice(0, -2)) !== undefined, 'want a rate such as 4MiB/s')
  .transform((text) => parseSize(text.slice(0, -2)) ?? 0);

/** An absolute path. */
export const absolutePath = z
  .string('want an absolute path')
  .max(4096, 'want a path of at most 4096 characters')
  .refine((text) => text.startsWith('/') && !text.includes('\0'), 'want an absolute path, beginning with /');

/** A name that the node's people chose: of keys, checks and partitions. */
export const name = z
  .string('want a name')
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'want at most 64 letters, digits, dots, dashes and underscores');

/** Text for people and other systems. */
export const text = z
  .string('want text; put numbers in quotes')
  .min(1, 'want some text')
  .max(255, 'want at most 255 characters');

/** A map by names. */
export function mapOf<T extends z.ZodType>(value: T, limit: number) {
  return z
    .record(name, value, 'want a map')
    .refine((map) => Object.keys(map).length <= limit, `want at most ${limit} entries`);
}

/** A field that may be left out, or be null. */
export function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

/** `true` or `false`, `fallback` where nothing is said. */
export function yesOrNo(fallback: boolean) {
  return z.boolean('want true or false').default(fallback);
}
