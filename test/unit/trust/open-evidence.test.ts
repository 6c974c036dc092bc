import { describe, expect, it } from 'vitest';
import type { SigstoreBundle } from '../../../agent/core/ports.ts';
import { findSignatures, requireSignatures } from '../../../agent/trust/judge-signatures.ts';
import { resolveRules } from '../../../agent/trust/trust-rules.ts';
import { dsseEnvelope, imageBundle, keyBundle, makeSigner, signatureStatement } from '../../fakes/signer.ts';
import { codeOf, trustKey } from './samples.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const otherDigest = `sha256:${'0c'.repeat(32)}`;
const signers = [makeSigner('ed25519'), makeSigner('ecdsa-p256'), makeSigner('rsa')] as const;
const [one, two] = signers;
const stranger = makeSigner('ecdsa-p256');
const keys = signers.map((signer) => trustKey(signer.kind, signer));

function judge(evidence: Parameters<typeof findSignatures>[1], atLeast = 1) {
  const names = keys.map(({ id }) => id);
  const rules = [{ prefix: 'r.test', require: { keys: names, atLeast }, isDowngradeAllowed: false }];
  const rule = resolveRules({ keys }, rules)[0]!;
  return requireSignatures(rule, findSignatures(rule, evidence, [digest]));
}

/** The bundle with other fields in its outermost map. */
function edited({ bundle, source }: SigstoreBundle, edit: (value: Record<string, never>) => object): SigstoreBundle {
  const value = JSON.parse(Buffer.from(bundle).toString()) as Record<string, never>;
  return { bundle: new Uint8Array(Buffer.from(JSON.stringify({ ...value, ...edit(value) }))), source };
}

const good = imageBundle(two, digest);
const envelopeOf = ({ bundle }: SigstoreBundle) =>
  (JSON.parse(Buffer.from(bundle).toString()) as { dsseEnvelope: { payload: string; signatures: { sig: string }[] } })
    .dsseEnvelope;

describe('a Sigstore bundle by a key', () => {
  it.each(signers)('of kind $kind is a signature of the image', (signer) => {
    expect(judge([imageBundle(signer, digest)])).toEqual([signer.kind]);
  });

  it('counts beside a simple signature by another key, and once beside one by the same key', () => {
    expect(judge([good, one.signImage(digest)], 2)).toEqual(['ecdsa-p256', 'ed25519']);
    expect(codeOf(() => judge([good, two.signImage(digest)], 2))).toBe('signer-untrusted');
  });

  it('is accepted with entries of a log, which a rule about keys does not ask for', () => {
    const material = { publicKey: { hint: 'any' }, tlogEntries: [{ logIndex: '1', canonicalizedBody: 'e30=' }] };
    expect(judge([edited(good, () => ({ verificationMaterial: material }))])).toEqual(['ecdsa-p256']);
  });

  it('is accepted in both spellings of its type', () => {
    const mediaType = 'application/vnd.dev.sigstore.bundle+json;version=0.3';
    expect(judge([edited(good, () => ({ mediaType }))])).toEqual(['ecdsa-p256']);
  });

  it.each<[string, string, SigstoreBundle]>([
    ['for another image', 'signature-mismatch', imageBundle(two, otherDigest)],
    ['by another key', 'signer-untrusted', imageBundle(stranger, digest)],
    [
      'whose payload was changed after signing',
      'signer-untrusted',
      edited(good, () => ({
        dsseEnvelope: { ...envelopeOf(good), payload: signatureStatement(otherDigest).toString('base64') },
      })),
    ],
    [
      'whose payload type was changed after signing',
      'signer-untrusted',
      edited(good, () => ({ dsseEnvelope: { ...envelopeOf(good), payloadType: 'text/plain' } })),
    ],
    [
      'that states how the image was built',
      'signature-invalid',
      keyBundle(two, signatureStatement(digest, { predicateType: 'https://slsa.dev/provenance/v1' })),
    ],
    [
      'in the older form of a statement',
      'signature-invalid',
      keyBundle(two, signatureStatement(digest, { _type: 'https://in-toto.io/Statement/v0.1' })),
    ],
    ['over what is no statement', 'signature-invalid', keyBundle(two, Buffer.from('{"a":1}'))],
    [
      'over a statement that is called another type of payload',
      'signature-invalid',
      edited(good, () => ({ dsseEnvelope: dsseEnvelope('text/plain', signatureStatement(digest), [two]) })),
    ],
    [
      'with two signatures',
      'signature-invalid',
      edited(good, () => ({
        dsseEnvelope: { ...envelopeOf(good), signatures: [...envelopeOf(good).signatures, { sig: 'AAAA' }] },
      })),
    ],
    [
      'of an older version',
      'signature-invalid',
      edited(good, () => ({ mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.1' })),
    ],
    [
      'with a certificate besides its key',
      'signature-invalid',
      edited(good, () => ({ verificationMaterial: { publicKey: {}, certificate: {} } })),
    ],
    ['with neither', 'signature-invalid', edited(good, () => ({ verificationMaterial: {} }))],
    ['by a certificate', 'signer-untrusted', edited(good, () => ({ verificationMaterial: { certificate: {} } }))],
    [
      'that signs bytes and no envelope',
      'signature-invalid',
      edited(good, () => ({ dsseEnvelope: undefined, messageSignature: {} })),
    ],
    ['that is no JSON', 'signature-invalid', { bundle: new Uint8Array([0xff]), source: 'x' }],
    ['that is too large', 'signature-invalid', { bundle: new Uint8Array(1024 * 1024 + 1).fill(0x20), source: 'x' }],
  ])('%s is %s', (_what, code, bundle) => {
    expect(codeOf(() => judge([bundle]))).toBe(code);
    expect(judge([bundle, good])).toEqual(['ecdsa-p256']);
  });

  it('counts for each of its subjects', () => {
    const subject = [otherDigest, digest].map((one) => ({
      name: 'x',
      digest: { sha256: one.slice('sha256:'.length) },
    }));
    expect(judge([keyBundle(two, signatureStatement(digest, { subject }))])).toEqual(['ecdsa-p256']);
  });
});
