import { AgentError } from '../core/errors.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { SignatureEvidence } from '../core/ports.ts';
import { type OpenedEvidence, openEvidence, type Signed } from './open-evidence.ts';
import type { SigstoreVerifier } from './sigstore.ts';
import { isSignatureStatement } from './statement.ts';
import { describeTime, isoTime, type TrustTime } from './trust-time.ts';
import { type ResolvedRule, signerIds } from './trust-rules.ts';

/** What became of one signature. */
export interface SignatureFinding {
  readonly source: string;
  readonly format: 'simple-signing' | 'bundle';
  /**
   * - `verified`: by a key or an identity of the rule, for this image.
   * - `other-image`: by a key of the rule, for another image.
   * - `not-an-image-signature`: by a key of the rule, over something that is no signature of an image.
   * - `no-key-fits`: by no key of the rule.
   * - `not-logged`: by a key of the rule, without the entry of a log that the rule wants.
   * - `revoked`: by somebody whom the rule names and the configuration has revoked.
   * - `out-of-time`: by a key that is not valid at that time, or longer ago than the rule lets count.
   * - `unreadable`: no signature at all.
   */
  readonly result:
    | 'verified'
    | 'other-image'
    | 'not-an-image-signature'
    | 'no-key-fits'
    | 'not-logged'
    | 'revoked'
    | 'out-of-time'
    | 'unreadable';
  /** Id of the key or identity that made it. */
  readonly keyId: string | undefined;
  /** The time that a log or an authority attests, where one does. */
  readonly signedAtMs?: number;
  readonly text: string;
}

/** What signatures are judged with besides the rule. */
export interface JudgeContext {
  /** Absent: bundles by certificates do not count, and no entry of a log holds. */
  readonly sigstore?: SigstoreVerifier | undefined;
  /** Absent: what depends on the time does not count. */
  readonly time?: TrustTime | undefined;
}

/** Tries each signature with whom `rule` names; `digests` are those that a signature may be for. */
export function findSignatures(
  rule: ResolvedRule,
  evidence: readonly SignatureEvidence[],
  digests: readonly string[],
  context: JudgeContext = {},
): readonly SignatureFinding[] {
  // An envelope alone never holds an image's signature.
  return evidence
    .slice(0, evidenceLimits.count)
    .filter((one) => !('envelope' in one))
    .map((one) => examine(rule, one, digests, context));
}

function examine(
  rule: ResolvedRule,
  evidence: SignatureEvidence,
  digests: readonly string[],
  context: JudgeContext,
): SignatureFinding {
  const base = { source: evidence.source, format: 'bundle' in evidence ? 'bundle' : 'simple-signing' } as const;
  const opened = openEvidence({ ...rule, sigstore: context.sigstore }, evidence);
  if (opened.result !== 'opened') return { ...base, keyId: undefined, ...opened };
  const { keyId, signedAtMs } = opened;
  const who = `${'key' in opened.by ? 'key' : 'identity'} ${keyId}`;
  const found = { ...base, keyId, ...(signedAtMs === undefined ? {} : { signedAtMs }) };
  const claimed = claimedBy(opened.signed);
  if (claimed === undefined) {
    return { ...found, result: 'not-an-image-signature', text: `${who} signed something else than an image` };
  }
  const digest = claimed.find((one) => digests.includes(one));
  if (digest === undefined) {
    const other = (claimed[0] ?? 'nothing').slice(0, 140);
    return { ...found, result: 'other-image', text: `${who} signed ${other}, which is another image` };
  }
  const doubt = doubtOf(rule, opened, who, context.time);
  const when = signedAtMs === undefined ? '' : ` at ${isoTime(signedAtMs)}`;
  return doubt === undefined
    ? { ...found, result: 'verified', text: `${who} signed ${digest}${when}` }
    : { ...found, ...doubt };
}

function claimedBy(signed: Signed): readonly string[] | undefined {
  if (signed?.kind === 'simple-signing') return [signed.digest];
  return signed !== undefined && isSignatureStatement(signed.statement) ? signed.statement.subjectDigests : undefined;
}

/** Why a signature by somebody whom the rule names does not count all the same. */
export function doubtOf(
  rule: Pick<ResolvedRule, 'revokedIds' | 'maxAgeMs'>,
  { keyId, by, signedAtMs }: Extract<OpenedEvidence, { readonly result: 'opened' }>,
  who: string,
  time: TrustTime | undefined,
): { readonly result: 'revoked' | 'out-of-time'; readonly text: string } | undefined {
  if (rule.revokedIds.includes(keyId)) return { result: 'revoked', text: `${who} signed it, and is revoked` };
  const { notBeforeMs, notAfterMs } = ('key' in by ? by.key.validity : undefined) ?? {};
  const atMs = signedAtMs ?? time?.nowMs;
  const at = signedAtMs === undefined ? time && describeTime(time) : `${isoTime(signedAtMs)} (attested)`;
  if (notBeforeMs !== undefined && !(atMs !== undefined && atMs >= notBeforeMs)) {
    return {
      result: 'out-of-time',
      text: `${who} signed it, and is valid from ${isoTime(notBeforeMs)}; the time is ${at ?? 'unknown'}`,
    };
  }
  if (notAfterMs !== undefined && !(atMs !== undefined && atMs <= notAfterMs)) {
    return {
      result: 'out-of-time',
      text: `${who} signed it, and was valid until ${isoTime(notAfterMs)}; the time is ${at ?? 'unknown'}`,
    };
  }
  if (rule.maxAgeMs === undefined) return undefined;
  if (signedAtMs === undefined) {
    return { result: 'out-of-time', text: `${who} signed it, and no time is attested; the rule has a maxAge` };
  }
  if (time !== undefined && time.nowMs - signedAtMs <= rule.maxAgeMs) return undefined;
  return {
    result: 'out-of-time',
    text: `${who} signed it at ${isoTime(signedAtMs)}, longer ago than maxAge; the time is ${time ? describeTime(time) : 'unknown'}`,
  };
}

/** The ids of the keys that verified, once enough of them did. Throws `signature-…` or `signer-untrusted`. */
export function requireSignatures(rule: ResolvedRule, findings: readonly SignatureFinding[]): readonly string[] {
  const keyIds = [...new Set(findings.filter(({ result }) => result === 'verified').map(({ keyId }) => keyId ?? ''))];
  if (keyIds.length >= rule.atLeast) return keyIds;
  const details = { rule: rule.prefix, wanted: rule.atLeast, verified: keyIds, findings };
  const want = `rule ${rule.prefix} wants ${rule.atLeast} of ${signerIds(rule).join(', ')}`;
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
  const doubted = findings.find(({ result }) => ['not-logged', 'revoked', 'out-of-time'].includes(result));
  if (doubted !== undefined) {
    throw new AgentError('signer-untrusted', `cannot trust the image: ${doubted.text}; ${want}`, { details });
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
