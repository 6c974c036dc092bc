import { AgentError } from '../core/errors.ts';
import type { TrustKey } from './keys.ts';

/** What images below `prefix` must be signed with. */
export interface TrustRule {
  /** `registry/name`, or a part of it that ends at a `/`. */
  readonly prefix: string;
  readonly require: { readonly keys: readonly string[]; readonly atLeast: number };
  readonly isDowngradeAllowed: boolean;
}

/** A rule with its keys, each key once however many ids it has. */
export interface ResolvedRule {
  readonly prefix: string;
  readonly keys: readonly TrustKey[];
  readonly atLeast: number;
  readonly isDowngradeAllowed: boolean;
}

/** Joins rules and keys. Throws `config-invalid` for a rule that can never be, or is always, fulfilled. */
export function resolveRules(keys: readonly TrustKey[], rules: readonly TrustRule[]): readonly ResolvedRule[] {
  return rules.map((rule, index) => {
    const refuse = (reason: string) =>
      new AgentError('config-invalid', `cannot use trust.rules.${index} (${rule.prefix}): ${reason}`, {
        details: { path: `trust.rules.${index}` },
      });
    const named = rule.require.keys.map((id) => {
      const key = keys.find((candidate) => candidate.id === id);
      if (key === undefined) throw refuse(`key ${id} is not under trust.keys`);
      return key;
    });
    const distinct = [...new Map(named.map((key) => [key.fingerprint, key])).values()];
    const { atLeast } = rule.require;
    if (!Number.isInteger(atLeast) || atLeast < 1) throw refuse(`atLeast is ${atLeast}, want 1 or more`);
    if (atLeast > distinct.length) throw refuse(`atLeast is ${atLeast}, and it names ${distinct.length} distinct keys`);
    return { prefix: rule.prefix, keys: distinct, atLeast, isDowngradeAllowed: rule.isDowngradeAllowed };
  });
}

/** The rule of the longest prefix of `repository` that ends at the border of a path component. */
export function ruleFor(rules: readonly ResolvedRule[], repository: string): ResolvedRule | undefined {
  return rules
    .filter(({ prefix }) => {
      const base = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
      return base !== '' && (repository === base || repository.startsWith(`${base}/`));
    })
    .sort((one, other) => other.prefix.length - one.prefix.length)[0];
}
