import type { AttestationEnvelope, SignatureEvidence, SigstoreBundle, SimpleSignature } from '../core/ports.ts';
import { type Bundle, parseBundle } from './bundle.ts';
import { parseAttestation, preAuthEncoding } from './dsse.ts';
import { isSameIdentity, type TrustIdentity } from './identities.ts';
import type { TrustKey } from './keys.ts';
import type { SigstoreVerifier } from './sigstore.ts';
import { parseSimpleSigning } from './simple-signing.ts';
import { parseStatement, type Statement } from './statement.ts';
import { decodeSignature, verifySignature } from './verify-signature.ts';

/** Those whose signatures are looked for, and what they are verified with. */
export interface EvidenceJudge {
  readonly keys: readonly TrustKey[];
  readonly identities?: readonly TrustIdentity[];
  readonly isLogEntryRequired?: boolean;
  readonly sigstore?: SigstoreVerifier | undefined;
}

/** What was signed: an image's digest by simple signing, or an in-toto statement; `undefined` for anything else. */
export type Signed =
  | { readonly kind: 'simple-signing'; readonly digest: string }
  | { readonly kind: 'statement'; readonly statement: Statement }
  | undefined;

/** A signature after the question whose it is. */
export type OpenedEvidence =
  | { readonly result: 'unreadable' | 'no-key-fits'; readonly text: string }
  | { readonly result: 'not-logged'; readonly keyId: string; readonly text: string }
  | {
      readonly result: 'opened';
      readonly keyId: string;
      /** The key, or the identity of the certificate. */
      readonly by: { readonly key: TrustKey } | { readonly identity: TrustIdentity };
      /** The earliest attested time; `undefined` where none is attested, or nobody asked for a log. */
      readonly signedAtMs: number | undefined;
      readonly signed: Signed;
    };

/** Finds who of `judge` made a signature, and then what it is over: what nobody trusted signed is not read. */
export function openEvidence(judge: EvidenceJudge, evidence: SignatureEvidence): OpenedEvidence {
  if ('bundle' in evidence) return openBundle(judge, evidence);
  return 'envelope' in evidence ? openAttestation(judge, evidence) : openSimple(judge, evidence);
}

function openSimple(judge: EvidenceJudge, { payload, signature }: SimpleSignature): OpenedEvidence {
  const bytes = decodeSignature(signature);
  if (bytes === undefined) return notBase64;
  const key = judge.keys.find((candidate) => verifySignature(candidate, payload, bytes));
  if (key === undefined) return noKeyFits;
  if (judge.isLogEntryRequired === true) {
    return {
      result: 'not-logged',
      keyId: key.id,
      text: `key ${key.id} made it; a simple signature carries no entry of a log`,
    };
  }
  const claim = parseSimpleSigning(payload);
  const signed = claim && ({ kind: 'simple-signing', digest: claim.digest } as const);
  return { result: 'opened', keyId: key.id, by: { key }, signedAtMs: undefined, signed };
}

function openAttestation(judge: EvidenceJudge, { envelope: document }: AttestationEnvelope): OpenedEvidence {
  const parsed = parseAttestation(document);
  if ('problem' in parsed) return { result: 'unreadable', text: `its envelope cannot be read: ${parsed.problem}` };
  const { payloadType, payload, signatures } = parsed.envelope;
  const message = preAuthEncoding(payloadType, payload);
  const made = signatures.map(decodeSignature).filter((bytes) => bytes !== undefined);
  const key = judge.keys.find((candidate) => made.some((bytes) => verifySignature(candidate, message, bytes)));
  if (key === undefined) return noKeyFits;
  if (judge.isLogEntryRequired === true) {
    return {
      result: 'not-logged',
      keyId: key.id,
      text: `key ${key.id} made it; an envelope alone carries no entry of a log`,
    };
  }
  return { result: 'opened', keyId: key.id, by: { key }, signedAtMs: undefined, signed: signedBy(parsed.envelope) };
}

function openBundle(judge: EvidenceJudge, { bundle: document }: SigstoreBundle): OpenedEvidence {
  const parsed = parseBundle(document);
  if ('problem' in parsed) return { result: 'unreadable', text: `its bundle cannot be read: ${parsed.problem}` };
  return parsed.bundle.signedBy === 'certificate'
    ? openCertified(judge, document, parsed.bundle)
    : openKeyed(judge, document, parsed.bundle);
}

function openKeyed(judge: EvidenceJudge, document: Uint8Array, bundle: Bundle): OpenedEvidence {
  const bytes = decodeSignature(bundle.signature);
  if (bytes === undefined) return notBase64;
  const message = preAuthEncoding(bundle.payloadType, bundle.payload);
  const key = judge.keys.find((candidate) => verifySignature(candidate, message, bytes));
  if (key === undefined) return noKeyFits;
  const opened = { result: 'opened', keyId: key.id, by: { key }, signed: signedBy(bundle) } as const;
  if (judge.isLogEntryRequired !== true) return { ...opened, signedAtMs: undefined };
  const notLogged = (reason: string) =>
    ({ result: 'not-logged', keyId: key.id, text: `key ${key.id} made it; ${reason}` }) as const;
  if (!bundle.hasLogEntry) return notLogged('its bundle has no entry of a log');
  const verdict = judge.sigstore?.verifyLogged(document, key) ?? { problem: 'there is no trusted root' };
  return 'problem' in verdict
    ? notLogged(`its entry of a log does not hold: ${verdict.problem}`)
    : { ...opened, signedAtMs: verdict.signedAtMs };
}

function openCertified(judge: EvidenceJudge, document: Uint8Array, bundle: Bundle): OpenedEvidence {
  const { identities = [], sigstore } = judge;
  if (identities.length === 0 || sigstore === undefined) {
    return { result: 'no-key-fits', text: 'a certificate made it, and the rule names no identity' };
  }
  const verdict = sigstore.verifyByCertificate(document);
  if ('problem' in verdict) {
    return { result: 'no-key-fits', text: `its certificate does not hold: ${verdict.problem}` };
  }
  const { identity: found, signedAtMs } = verdict;
  const identity = found && identities.find((one) => isSameIdentity(one, found));
  if (identity === undefined) {
    const who = `${found?.subject.slice(0, 200) ?? 'nobody'}, as ${found?.issuer.slice(0, 200) ?? 'nobody'} knows them`;
    return { result: 'no-key-fits', text: `${who}, made it, whom the rule does not name` };
  }
  return { result: 'opened', keyId: identity.id, by: { identity }, signedAtMs, signed: signedBy(bundle) };
}

const notBase64 = { result: 'unreadable', text: 'its text is not base64' } as const;
const noKeyFits = { result: 'no-key-fits', text: 'no key of the rule made it' } as const;

function signedBy({ payloadType, payload }: Pick<Bundle, 'payloadType' | 'payload'>): Signed {
  const statement = parseStatement(payloadType, payload);
  return statement && { kind: 'statement', statement };
}
