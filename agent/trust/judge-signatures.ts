import { AgentError } from '../core/errors.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { SignatureEvidence } from '../core/ports.ts';
import { openEvidence } from './open-evidence.ts';
import type { ResolvedRule } from './trust-rules.ts';

/** What became of one signature. */
export interface SignatureFinding {
  readonly source: string;
  /**
   * - `verified`: by a key of the rule, for this image.
   * - `other-image`: by a key of the rule, for another image.
   * - `not-an-image-signature`: by a key of the rule, over something that is no signature of an image.
   * - `no-key-fits`: by no key of the rule.
   * - `unreadable`: no signature at all.
   */
  readonly result: 'verified' | 'other-image' | 'not-an-image-signature' | 'no-key-fits' | 'unreadable';
  readonly keyId: string | undefined;
  readonly text: string;
}

/** Tries each signature with each key of `rule`; `digests` are those that a signature may be for. */
export function findSignatures(
  rule: ResolvedRule,
  evidence: readonly SignatureEvidence[],
  digests: readonly string[],
): readonly SignatureFinding[] {
  return evidence.slice(0, evidenceLimits.count).map((one) => examine(rule, one, digests));
}

function examine(rule: ResolvedRule, evidence: SignatureEvidence, digests: readonly string[]): SignatureFinding {
  const { source } = evidence;
  const opened = openEvidence(rule.keys, evidence);
  if (opened.result !== 'opened') return { source, keyId: undefined, ...opened };
  const { keyId, claimed } = opened;
  if (claimed === undefined) {
    return {
      source,
      result: 'not-an-image-signature',
      keyId,
      text: `key ${keyId} signed something else than an image`,
    };
  }
  const digest = claimed.find((one) => digests.includes(one));
  return digest === undefined
    ? { source, result: 'other-image', keyId, text: `key ${keyId} signed ${shown(claimed)}, which is another image` }
    : { source, result: 'verified', keyId, text: `key ${keyId} signed ${digest}` };
}

function shown(claimed: readonly string[]): string {
  return (claimed[0] ?? 'nothing').slice(0, 140);
}

/** The ids of the keys that verified, once enough of them did. Throws `signature-…` or `signer-untrusted`. */
export function requireSignatures(rule: ResolvedRule, findings: readonly SignatureFinding[]): readonly string[] {
  const keyIds = [...new Set(findings.filter(({ result }) => result === 'verified').map(({ keyId }) => keyId ?? ''))];
  if (keyIds.length >= rule.atLeast) return keyIds;
  const details = { rule: rule.prefix, wanted: rule.atLeast, verified: keyIds, findings };
  const want = `rule ${rule.prefix} wants ${rule.atLeast} of ${rule.keys.map(({ id }) => id).join(', ')}`;
  if (findings.length === 0) {
    throw new AgentError('signature-missing', `cannot trust the image: it has no signature; ${want}`, { details });
  }
  if (keyIds.length > 0) {
    throw new AgentError(
      'signer-untrusted',
      `cannot trust the image: ${keyIds.length} of ${rule.atLeast} wanted keys signed it (${keyIds.join(', ')}); ${want}`,
      { details },
    );
  }
  const other = findings.find(({ result }) => result === 'other-image');
  if (other !== undefined) {
    throw new AgentError('signature-mismatch', `cannot trust the image: ${other.text}; ${want}`, { details });
  }
  if (findings.some(({ result }) => result === 'no-key-fits')) {
    throw new AgentError(
      'signer-untrusted',
      `cannot trust the image: none of its ${findings.length} signatures is by a trusted key; ${want}`,
      { details },
    );
  }
  throw new AgentError(
    'signature-invalid',
    `cannot trust the image: ${findings[0]?.text ?? 'its signature cannot be read'}; ${want}`,
    { details },
  );
}
