import { AgentError } from '../core/errors.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { Provenance, SignatureEvidence } from '../core/ports.ts';
import { doubtOf, type JudgeContext } from './judge-signatures.ts';
import { openEvidence } from './open-evidence.ts';
import { checkProvenance } from './provenance.ts';
import type { ResolvedProvenance } from './trust-rules.ts';

/** What became of one statement that may be provenance. */
export interface ProvenanceFinding {
  readonly source: string;
  /**
   * - `verified`: by a signer of the builder, of this image, and as the rule wants it.
   * - `mismatch`: by a signer of the builder and of this image, and it says something else than the rule wants.
   * - `other-image`: by a signer of the builder, of another image.
   * - `no-key-fits`, `not-logged`, `revoked`, `out-of-time`, `unreadable`: as of a signature.
   */
  readonly result:
    'verified' | 'mismatch' | 'other-image' | 'no-key-fits' | 'not-logged' | 'revoked' | 'out-of-time' | 'unreadable';
  readonly text: string;
  readonly provenance?: Provenance;
}

/** Looks for provenance of one of `digests` among `evidence`; statements of other kinds are left out. */
export function findProvenance(
  rule: ResolvedProvenance,
  evidence: readonly SignatureEvidence[],
  digests: readonly string[],
  context: JudgeContext,
): readonly ProvenanceFinding[] {
  return evidence
    .slice(0, evidenceLimits.count)
    .filter((one) => !('payload' in one))
    .flatMap((one) => {
      const finding = examine(rule, one, digests, context);
      return finding === undefined ? [] : [{ source: one.source, ...finding }];
    });
}

function examine(
  rule: ResolvedProvenance,
  evidence: SignatureEvidence,
  digests: readonly string[],
  context: JudgeContext,
): Omit<ProvenanceFinding, 'source'> | undefined {
  const opened = openEvidence({ ...rule, sigstore: context.sigstore }, evidence);
  if (opened.result !== 'opened') return { result: opened.result, text: opened.text };
  if (opened.signed?.kind !== 'statement') return undefined;
  const { statement } = opened.signed;
  const checked = checkProvenance(statement, rule.expected);
  if (checked === undefined) return undefined;
  const { keyId } = opened;
  const who = `${'key' in opened.by ? 'key' : 'identity'} ${keyId}`;
  if (!statement.subjectDigests.some((digest) => digests.includes(digest))) {
    const other = (statement.subjectDigests[0] ?? 'nothing').slice(0, 140);
    return { result: 'other-image', text: `${who} states how ${other} was built, which is another image` };
  }
  const doubt = doubtOf(rule, opened, who, context.time);
  if (doubt !== undefined) return { result: doubt.result, text: doubt.text };
  if ('problem' in checked) return { result: 'mismatch', text: `${who} states how it was built: ${checked.problem}` };
  const provenance = { ...checked.provenance, signerId: keyId };
  const { builderId, sourceRepository, sourceRef } = provenance;
  const from = `${sourceRepository}${sourceRef === undefined ? '' : ` at ${sourceRef}`}`;
  return { result: 'verified', text: `${who} states that ${builderId} built it from ${from}`, provenance };
}

/** The provenance that was verified. Throws `provenance-untrusted`. */
export function requireProvenance(
  prefix: string,
  rule: ResolvedProvenance,
  findings: readonly ProvenanceFinding[],
): Provenance {
  const found = findings.find(({ provenance }) => provenance !== undefined)?.provenance;
  if (found !== undefined) return found;
  const order: readonly ProvenanceFinding['result'][] = [
    'mismatch',
    'revoked',
    'out-of-time',
    'not-logged',
    'other-image',
  ];
  const nearest = order.flatMap((result) => findings.find((one) => one.result === result) ?? [])[0] ?? findings[0];
  const ids = [...rule.keys, ...rule.identities].map(({ id }) => id).join(', ');
  throw new AgentError(
    'provenance-untrusted',
    `cannot trust the image: ${nearest?.text ?? 'nothing beside it states how it was built'}; rule ${prefix} wants provenance of ${rule.expected.builderId}, signed by ${ids}`,
    { details: { rule: prefix, findings } },
  );
}
