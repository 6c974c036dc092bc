import { parse } from 'smol-toml';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { Reference } from '../core/image-format/reference.ts';
import { below, type Place } from './mirrors.ts';

/** A registry, or a repository of one. */
interface Location {
  readonly registry: string;
  readonly path: string;
}

/** What a registries.conf says of the repositories below a prefix. */
export interface ConfRule {
  readonly prefix: Location;
  readonly isBlocked: boolean;
  /** What stands in the place of the prefix when the registry itself is asked. */
  readonly location: Location;
  readonly mirrors: readonly (Location & { readonly isTagged: boolean })[];
}

/** A registries.conf, or one of its drop-ins, as read. */
export interface ConfText {
  readonly path: string;
  readonly text: string;
}

const host = '(?:\\[[0-9a-f:.]+\\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::[0-9]{1,5})?';
const locationText = z
  .string()
  .regex(new RegExp(`^${host}(?:/[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)?$`), 'want HOST[:PORT][/PATH]');

// What kaon does not know of is left to those who wrote it for other tools.
const confSchema = z.object({
  registry: z
    .array(
      z.object({
        prefix: z.string().optional(),
        location: locationText.optional(),
        blocked: z.boolean().default(false),
        'mirror-by-digest-only': z.boolean().default(false),
        mirror: z
          .array(
            z.object({
              location: locationText,
              'pull-from-mirror': z.enum(['all', 'digest-only', 'tag-only']).default('all'),
            }),
          )
          .max(16)
          .default([]),
      }),
    )
    .max(256)
    .default([]),
});

function locate(text: string): Location {
  const [registry = '', ...path] = text.split('/');
  return { registry, path: path.join('/') };
}

function invalid(path: string, reason: string): AgentError {
  return new AgentError('config-invalid', `cannot use ${path}: ${reason}`, { details: { path } });
}

function tablesOf({ path, text }: ConfText): z.infer<typeof confSchema>['registry'] {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    const [reason = 'it is not TOML'] = cause instanceof Error ? cause.message.split('\n') : [];
    throw invalid(path, reason.slice(0, 200));
  }
  // Version 1 of the format has a table in the place of the list, and no mirrors.
  if (typeof value === 'object' && value !== null && 'registries' in value) return [];
  const parsed = confSchema.safeParse(value);
  if (parsed.success) return parsed.data.registry;
  const issue = parsed.error.issues[0];
  throw invalid(path, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

/**
 * The rules of a registries.conf and its drop-ins (containers-registries.conf(5), version 2): of two for one prefix the
 * later one holds. Prefixes with a wildcard are left out, `insecure` is not obeyed: plain http needs a word of our own
 * configuration. Throws `config-invalid`.
 */
export function parseRegistriesConf(texts: readonly ConfText[]): readonly ConfRule[] {
  const rules = new Map<string, ConfRule>();
  for (const each of texts) {
    for (const table of tablesOf(each)) {
      const prefix = table.prefix ?? table.location;
      if (prefix === undefined) throw invalid(each.path, 'a registry has neither prefix nor location');
      if (prefix.startsWith('*.')) continue;
      if (!locationText.safeParse(prefix).success) throw invalid(each.path, `${JSON.stringify(prefix)} is no prefix`);
      const mirrors = table.mirror.flatMap(({ location, 'pull-from-mirror': pulls }) =>
        // Signatures and layers are fetched by digest: a mirror of tags alone would have none.
        pulls === 'tag-only'
          ? []
          : [{ ...locate(location), isTagged: pulls === 'all' && !table['mirror-by-digest-only'] }],
      );
      const location = locate(table.location ?? prefix);
      rules.set(prefix, { prefix: locate(prefix), isBlocked: table.blocked, location, mirrors });
    }
  }
  return Array.from(rules.values());
}

const join = (...parts: readonly string[]) => parts.filter((part) => part !== '').join('/');

/**
 * Where `reference` may be fetched by the rule with the longest prefix of it; `undefined` where there is none. Throws
 * `config-invalid` where that rule blocks it.
 */
export function placesByConf(
  { registry, name, repository }: Pick<Reference, 'registry' | 'name' | 'repository'>,
  rules: readonly ConfRule[],
): readonly Place[] | undefined {
  const [found] = rules
    .filter(({ prefix }) => prefix.registry === registry && below(name, prefix.path) !== undefined)
    .sort((one, other) => other.prefix.path.length - one.prefix.path.length);
  if (found === undefined) return undefined;
  if (found.isBlocked) {
    throw new AgentError('config-invalid', `cannot fetch from ${repository}: registries.conf blocks it`, {
      details: { repository },
    });
  }
  const rest = below(name, found.prefix.path) ?? '';
  const copies = found.mirrors.map(({ registry: copy, path, isTagged }): Place => ({
    registry: copy,
    name: join(path, rest),
    isMirror: true,
    isTagged,
  }));
  const { registry: own, path } = found.location;
  const last: Place = { registry: own, name: join(path, rest), isMirror: false, isTagged: true };
  return [...copies, last].filter((place) => place.name !== '');
}
