import type { TrustIdentity } from './identities.ts';
import type { TrustKey } from './keys.ts';
import type { ResolvedRule } from './trust-rules.ts';
import { isoTime } from './trust-time.ts';

/** What `rule` wants of an image, for people: one thing a line. */
export function describeRule(rule: ResolvedRule): readonly string[] {
  const { keys, identities, atLeast, maxAgeMs, isLogEntryRequired, isDowngradeAllowed, provenance } = rule;
  return [
    `signatures of ${atLeast} of: ${signersText({ keys, identities, revokedIds: rule.revokedIds })}`,
    ...(isLogEntryRequired ? ['of a key, with an entry of a transparency log'] : []),
    ...(maxAgeMs === undefined
      ? []
      : [`made at most ${Math.round(maxAgeMs / 3_600_000)} hours ago, by an attested time`]),
    ...(provenance === undefined
      ? []
      : [
          `provenance of builder ${provenance.expected.builderId}, type ${provenance.expected.buildType}, source ${provenance.expected.sourceRepository}${provenance.expected.sourceRef === undefined ? '' : ` at ${provenance.expected.sourceRef}`}, by one of: ${signersText(provenance)}`,
        ]),
    isDowngradeAllowed ? 'any rollbackIndex' : "a rollbackIndex not below the node's floor",
  ];
}

function signersText({
  keys,
  identities,
  revokedIds,
}: Pick<ResolvedRule, 'keys' | 'identities' | 'revokedIds'>): string {
  const text = (id: string, notes: readonly string[]) => {
    const all = revokedIds.includes(id) ? ['revoked', ...notes] : notes;
    return all.length === 0 ? id : `${id} (${all.join(', ')})`;
  };
  return [
    ...keys.map((key) => text(key.id, keyNotes(key))),
    ...identities.map((identity) => text(identity.id, identityNotes(identity))),
  ].join('; ');
}

function keyNotes({ algorithm, validity }: TrustKey): readonly string[] {
  const { notBeforeMs, notAfterMs } = validity ?? {};
  return [
    `key, ${algorithm}`,
    ...(notBeforeMs === undefined ? [] : [`from ${isoTime(notBeforeMs)}`]),
    ...(notAfterMs === undefined ? [] : [`until ${isoTime(notAfterMs)}`]),
  ];
}

function identityNotes({ issuer, subject }: TrustIdentity): readonly string[] {
  return [`${subject}, as ${issuer} knows them`];
}
