import type { TrustConfig, TrustRuleConfig } from './trust-config.ts';

/** What no single field of the trust policy shows, each in a sentence with its path. */
export function trustContradictions(trust: TrustConfig): readonly string[] {
  const { keys, identities, rules, trustedRoot } = trust;
  const prefixes = new Set<string>();
  const ofRules = rules.flatMap((rule, index) => {
    const { prefix, require, isLogEntryRequired, provenance } = rule;
    const problems = [...unknownIds(trust, rule, index)];
    if (prefixes.has(prefix)) {
      problems.push(`trust.rules.${index}.prefix: it is ${JSON.stringify(prefix)} a second time; want one rule for it`);
    }
    prefixes.add(prefix);
    if (
      trustedRoot === undefined &&
      (require.identities.length > 0 || isLogEntryRequired || (provenance?.identities.length ?? 0) > 0)
    ) {
      const what = isLogEntryRequired ? 'it wants entries of a transparency log' : 'it names identities';
      problems.push(`trust.rules.${index}: ${what}; want trust.trustedRoot, a file with Sigstore's trusted root`);
    }
    return problems;
  });
  const twice = Object.keys(identities)
    .filter((id) => Object.hasOwn(keys, id))
    .map((id) => `trust.identities.${id}: a key has this id; want another, as rules and the status name them alike`);
  return [...twice, ...ofRules];
}

function unknownIds(trust: TrustConfig, { require, provenance }: TrustRuleConfig, index: number): readonly string[] {
  const missing = (path: string, named: readonly string[], kind: 'keys' | 'identities') =>
    named
      .filter((id) => !Object.hasOwn(trust[kind], id))
      .map(
        (id) => `trust.rules.${index}.${path}.${kind}: it names ${JSON.stringify(id)}; want an id under trust.${kind}`,
      );
  return (['keys', 'identities'] as const).flatMap((kind) => [
    ...missing('require', require[kind], kind),
    ...missing('requireProvenance', provenance?.[kind] ?? [], kind),
  ]);
}
