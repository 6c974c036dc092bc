import type { Reference } from '../core/image-format/reference.ts';

/** A place that holds copies of a registry's repositories. */
export interface Mirror {
  /** The mirror's registry, as references name one. */
  readonly registry: string;
  /** What stands before the names of its repositories; empty: nothing. */
  readonly path: string;
  /** Repositories that it has: names below the original registry, whole components; empty: all. */
  readonly prefix: string;
  /** Whether it may say what a tag means, and which signatures an image has; else it is asked by digest alone. */
  readonly isTagged: boolean;
}

/** A repository that an image may be fetched from. */
export interface Place {
  readonly registry: string;
  readonly name: string;
  readonly isMirror: boolean;
  readonly isTagged: boolean;
}

/** What is left of `name` below `prefix`, which may be empty; `undefined` where it does not lie there. */
export function below(name: string, prefix: string): string | undefined {
  if (prefix === '') return name;
  if (name === prefix) return '';
  return name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : undefined;
}

/**
 * Where `reference` may be fetched, in the order of asking: its mirrors as they are listed, then the registry that it
 * names. A mirror's repository is its path and what stands behind the prefix.
 */
export function placesOf(
  { registry, name }: Pick<Reference, 'registry' | 'name'>,
  mirrors: readonly Mirror[],
): readonly Place[] {
  const copies = mirrors.flatMap((mirror): Place[] => {
    const rest = below(name, mirror.prefix);
    const copy = rest === undefined ? '' : [mirror.path, rest].filter((part) => part !== '').join('/');
    return copy === '' ? [] : [{ registry: mirror.registry, name: copy, isMirror: true, isTagged: mirror.isTagged }];
  });
  return [...copies, { registry, name, isMirror: false, isTagged: true }];
}
