import type { SignatureEvidence, SigstoreBundle, SimpleSignature } from '../core/ports.ts';
import { parseBundle } from './bundle.ts';
import { preAuthEncoding } from './dsse.ts';
import type { TrustKey } from './keys.ts';
import { parseSimpleSigning } from './simple-signing.ts';
import { parseStatement, signaturePredicateType } from './statement.ts';
import { decodeSignature, verifySignature } from './verify-signature.ts';

/** A signature after the question whose it is. */
export type OpenedEvidence =
  | { readonly result: 'unreadable' | 'no-key-fits'; readonly text: string }
  | {
      readonly result: 'opened';
      readonly keyId: string;
      /** The digests that were signed for, as written; `undefined` where it is no signature of an image. */
      readonly claimed: readonly string[] | undefined;
    };

/** Finds the one of `keys` that made a signature, and then what it is for: what nobody trusted signed is not read. */
export function openEvidence(keys: readonly TrustKey[], evidence: SignatureEvidence): OpenedEvidence {
  return 'bundle' in evidence ? openBundle(keys, evidence) : openSimple(keys, evidence);
}

function openSimple(keys: readonly TrustKey[], { payload, signature }: SimpleSignature): OpenedEvidence {
  const bytes = decodeSignature(signature);
  if (bytes === undefined) return { result: 'unreadable', text: 'its text is not base64' };
  const key = keys.find((candidate) => verifySignature(candidate, payload, bytes));
  if (key === undefined) return noKeyFits;
  const claim = parseSimpleSigning(payload);
  return { result: 'opened', keyId: key.id, claimed: claim && [claim.digest] };
}

function openBundle(keys: readonly TrustKey[], { bundle: document }: SigstoreBundle): OpenedEvidence {
  const parsed = parseBundle(document);
  if ('problem' in parsed) return { result: 'unreadable', text: `its bundle cannot be read: ${parsed.problem}` };
  const { payloadType, payload, signature, signedBy } = parsed.bundle;
  if (signedBy === 'certificate') return { result: 'no-key-fits', text: 'a certificate made it, no key of the rule' };
  const bytes = decodeSignature(signature);
  if (bytes === undefined) return { result: 'unreadable', text: 'its text is not base64' };
  const signed = preAuthEncoding(payloadType, payload);
  const key = keys.find((candidate) => verifySignature(candidate, signed, bytes));
  if (key === undefined) return noKeyFits;
  return { result: 'opened', keyId: key.id, claimed: claimedBy(payloadType, payload) };
}

const noKeyFits = { result: 'no-key-fits', text: 'no key of the rule made it' } as const;

/** The digests that an image's signature in a bundle is for. */
function claimedBy(payloadType: string, payload: Uint8Array): readonly string[] | undefined {
  const statement = parseStatement(payloadType, payload);
  // Whatever else the same key states of an image, such as how it was built, is no signature of it.
  const isSignature =
    statement?.type === 'https://in-toto.io/Statement/v1' && statement.predicateType === signaturePredicateType;
  return isSignature ? statement.subjectDigests : undefined;
}
