import type { SeededRandom } from '../fakes/seeded-random.ts';

const values: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  0.5,
  1e308,
  2 ** 53,
  '',
  'x',
  'x'.repeat(5000),
  '\0',
  [],
  [null],
  {},
  { a: null },
  [[[]]],
  `sha256:${'f'.repeat(64)}`,
];

type Path = readonly (string | number)[];

function* pathsOf(value: unknown, path: Path = []): Generator<Path> {
  yield path;
  if (typeof value !== 'object' || value === null) return;
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  for (const key of keys) yield* pathsOf(Reflect.get(value, key), [...path, key]);
}

/** `value` with what lies at `path` made another; `undefined` removes it. */
function withChange(value: unknown, [key, ...rest]: Path, change: (old: unknown) => unknown): unknown {
  if (key === undefined) return change(value);
  const old: unknown = Reflect.get(value as object, key);
  const made = withChange(old, rest, change);
  if (Array.isArray(value)) {
    return (value as readonly unknown[]).flatMap((each, at) =>
      at !== key ? [each] : made === undefined ? [] : [made],
    );
  }
  return { ...(value as object), [key]: made };
}

/** A document with one of its values changed, removed, or said twice; `undefined` for what is no JSON. */
export function mutateJson(bytes: Buffer, random: SeededRandom): Buffer | undefined {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const paths = Array.from(pathsOf(value));
  const path = paths[random.below(paths.length)] ?? [];
  const other = values[random.below(values.length)];
  const changes: readonly ((old: unknown) => unknown)[] = [
    () => other,
    () => other,
    () => undefined,
    (old) => [old, old],
    (old) => (Array.isArray(old) ? [...(old as readonly unknown[]), ...(old as readonly unknown[])] : { value: old }),
  ];
  const changed = withChange(value, path, changes[random.below(changes.length)] ?? (() => other));
  return Buffer.from(changed === undefined ? 'null' : JSON.stringify(changed));
}
