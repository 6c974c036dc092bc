/**
 * How values look on the wire: times as ISO 8601 in UTC (`requestedAtMs` becomes `requestedAt`, `atMs` becomes `at`, `untilMs` becomes
 * `until`), absent values left out, everything else by its own name.
 */

type WireKey<K> = K extends `${infer Head}AtMs`
  ? `${Head}At`
  : K extends 'atMs'
    ? 'at'
    : K extends 'untilMs'
      ? 'until'
      : K;
type WireField<K, T> = K extends `${string}AtMs` | 'atMs' | 'untilMs'
  ? undefined extends T
    ? string | undefined
    : string
  : Wire<T>;

/** The wire form of a value. */
export type Wire<T> = T extends readonly (infer Item)[]
  ? readonly Wire<Item>[]
  : T extends object
    ? { readonly [K in keyof T as WireKey<K>]: WireField<K, T[K]> }
    : T;

/** The wire form of `value`, ready for JSON. */
export function toWire<T>(value: T): Wire<T> {
  return convert(value) as Wire<T>;
}

function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([key, field]: [string, unknown]) => {
        const isTime = typeof field === 'number' && (key.endsWith('AtMs') || key === 'atMs' || key === 'untilMs');
        return isTime ? [key.slice(0, -2), isoTime(field)] : [key, convert(field)];
      }),
  );
}

function isoTime(epochMs: number): string {
  const time = new Date(epochMs);
  // A clock that is far off must not make the status unreadable.
  return Number.isNaN(time.getTime()) ? '1970-01-01T00:00:00.000Z' : time.toISOString();
}
