import type { AttestationEnvelope, SignatureEvidence, SigstoreBundle, SimpleSignature } from '../core/ports.ts';
import { type Bundle, parseBundle } from './bundle.ts';
import { parseAttestation, preAuthEncoding } from './dsse.ts';
import { isSameIdentity, type TrustIdentity } from './identities.ts';
import type { TrustKey } from './keys.ts';
import type { SigstoreVerdict, SigstoreVerifier } from './sigstore.ts';
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

function openSimple(judge: EvidenceJudge, evidence: SimpleSignature): OpenedEvidence {
  const { payload, signature, attested } = evidence;
  const bytes = decodeSignature(signature);
  if (bytes === undefined) return notBase64;
  const key = judge.keys.find((candidate) => verifySignature(candidate, payload, bytes));
  if (key === undefined) {
    if (attested?.certificate === undefined) return noKeyFits;
    return byCertificate(
      judge,
      (sigstore) => sigstore.verifySimple(evidence, undefined),
      () => simpleBy(payload),
    );
  }
  const opened = { result: 'opened', keyId: key.id, by: { key } } as const;
  if (judge.isLogEntryRequired !== true) return { ...opened, signedAtMs: undefined, signed: simpleBy(payload) };
  const verdict =
    attested?.logEntry === undefined
      ? { problem: 'it has no entry of a log' }
      : (judge.sigstore?.verifySimple(evidence, key) ?? noRoot);
  return 'problem' in verdict
    ? notLogged(key, verdict.problem)
    : { ...opened, signedAtMs: verdict.signedAtMs, signed: simpleBy(payload) };
}

function openAttestation(judge: EvidenceJudge, { envelope: document }: AttestationEnvelope): OpenedEvidence {
  const parsed = parseAttestation(document);
  if ('problem' in parsed) return { result: 'unreadable', text: `its envelope cannot be read: ${parsed.problem}` };
  const { payloadType, payload, signatures } = parsed.envelope;
  const message = preAuthEncoding(payloadType, payload);
  const made = signatures.map(decodeSignature).filter((bytes) => bytes !== undefined);
  const key = judge.keys.find((candidate) => made.some((bytes) => verifySignature(candidate, message, bytes)));
  if (key === undefined) return noKeyFits;
  if (judge.isLogEntryRequired === true) return notLogged(key, 'an envelope alone has none');
  return { result: 'opened', keyId: key.id, by: { key }, signedAtMs: undefined, signed: signedBy(parsed.envelope) };
}

function openBundle(judge: EvidenceJudge, { bundle: document }: SigstoreBundle): OpenedEvidence {
  const parsed = parseBundle(document);
  if ('problem' in parsed) return { result: 'unreadable', text: `its bundle cannot be read: ${parsed.problem}` };
  return parsed.bundle.signedBy === 'certificate'
    ? byCertificate(
        judge,
        (sigstore) => sigstore.verifyByCertificate(document),
        () => signedBy(parsed.bundle),
      )
    : openKeyed(judge, document, parsed.bundle);
}

function openKeyed(judge: EvidenceJudge, document: Uint8Array, bundle: Bundle): OpenedEvidence {
  const bytes = decodeSignature(bundle.signature);
  if (bytes === undefined) return notBase64;
  const message = preAuthEncoding(bundle.payloadType, bundle.payload);
  const key = judge.keys.find((candidate) => verifySignature(candidate, message, bytes));
  if (key === undefined) return noKeyFits;
  const opened = { result: 'opened', keyId: key.id, by: { key } } as const;
  if (judge.isLogEntryRequired !== true) return { ...opened, signedAtMs: undefined, signed: signedBy(bundle) };
  const verdict = bundle.hasLogEntry
    ? (judge.sigstore?.verifyLogged(document, key) ?? noRoot)
    : { problem: 'its bundle has no entry of a log' };
  return 'problem' in verdict
    ? notLogged(key, verdict.problem)
    : { ...opened, signedAtMs: verdict.signedAtMs, signed: signedBy(bundle) };
}

/** A signature by a certificate: what it is over is read once it is an identity's that the rule names. */
function byCertificate(
  { identities = [], sigstore }: EvidenceJudge,
  verify: (sigstore: SigstoreVerifier) => SigstoreVerdict,
  read: () => Signed,
): OpenedEvidence {
  if (identities.length === 0 || sigstore === undefined) {
    return { result: 'no-key-fits', text: 'a certificate made it, and the rule names no identity' };
  }
  const verdict = verify(sigstore);
  if ('problem' in verdict) {
    return { result: 'no-key-fits', text: `its certificate does not hold: ${verdict.problem}` };
  }
  const { identity: found, signedAtMs } = verdict;
  const identity = found && identities.find((one) => isSameIdentity(one, found));
  if (identity === undefined) {
    const who = `${found?.subject.slice(0, 200) ?? 'nobody'}, as ${found?.issuer.slice(0, 200) ?? 'nobody'} knows them`;
    return { result: 'no-key-fits', text: `${who}, made it, whom the rule does not name` };
  }
  return { result: 'opened', keyId: identity.id, by: { identity }, signedAtMs, signed: read() };
}

function notLogged(key: TrustKey, reason: string): OpenedEvidence {
  return { result: 'not-logged', keyId: key.id, text: `key ${key.id} made it, and no entry of a log holds: ${reason}` };
}

function simpleBy(payload: Uint8Array): Signed {
  const claim = parseSimpleSigning(payload);
  return claim && { kind: 'simple-signing', digest: claim.digest };
}

const noRoot = { problem: 'there is no trusted root' } as const;
const notBase64 = { result: 'unreadable', text: 'its text is not base64' } as const;
const noKeyFits = { result: 'no-key-fits', text: 'no key of the rule made it' } as const;

function signedBy({ payloadType, payload }: Pick<Bundle, 'payloadType' | 'payload'>): Signed {
  const statement = parseStatement(payloadType, payload);
  return statement && { kind: 'statement', statement };
}
