import type { TrustConfig, TrustRuleConfig } from './config.ts';

/** What no single field of the trust policy shows, each in a sentence with its path. */
export function trustContradictions(trust: TrustConfig): readonly string[] {
  const { keys, identities, rules, trustedRoot } = trust;
  const prefixes = new Set<string>();
  const ofRules = rules.flatMap((rule, index) => {
    const { prefix, require, isLogEntryRequired } = rule;
    const problems = [...unknownIds(trust, rule, index)];
    if (prefixes.has(prefix)) {
      problems.push(`trust.rules.${index}.prefix: it is ${JSON.stringify(prefix)} a second time; want one rule for it`);
    }
    prefixes.add(prefix);
    if (trustedRoot === undefined && (require.identities.length > 0 || isLogEntryRequired)) {
      const what = require.identities.length > 0 ? 'it names identities' : 'it wants entries of a transparency log';
      problems.push(`trust.rules.${index}: ${what}; want trust.trustedRoot, a file with Sigstore's trusted root`);
    }
    return problems;
  });
  const twice = Object.keys(identities)
    .filter((id) => Object.hasOwn(keys, id))
    .map((id) => `trust.identities.${id}: a key has this id; want another, as rules and the status name them alike`);
  return [...twice, ...ofRules];
}

function unknownIds({ keys, identities }: TrustConfig, { require }: TrustRuleConfig, index: number): readonly string[] {
  const missing = (kind: 'keys' | 'identities', known: object) =>
    require[kind]
      .filter((id) => !Object.hasOwn(known, id))
      .map(
        (id) => `trust.rules.${index}.require.${kind}: it names ${JSON.stringify(id)}; want an id under trust.${kind}`,
      );
  return [...missing('keys', keys), ...missing('identities', identities)];
}
