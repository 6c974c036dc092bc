import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isBundleBy, signatureBundle } from '../../../agent/image/bundle-manifest.ts';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { makeSigner, type TestSigner } from '../../fakes/signer.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const signers = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];

/** What Sigstore's own verifier says of `bundle`, with the key of `signer` and no transparency log. */
function verifyBySigstore(bundle: Uint8Array, signer: TestSigner): void {
  const root = TrustedRoot.fromJSON({
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [],
    certificateAuthorities: [],
    ctlogs: [],
    timestampAuthorities: [],
  });
  const publicKey = createPublicKey(signer.publicPem.toString());
  const hint = Buffer.from(signer.fingerprint.slice('sha256:'.length), 'hex').toString('base64');
  const material = toTrustMaterial(root, (asked) => {
    expect(asked).toBe(hint);
    return { publicKey, validFor: () => true };
  });
  const entity = toSignedEntity(bundleFromJSON(JSON.parse(Buffer.from(bundle).toString())));
  new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 }).verify(entity);
}

describe.each(signers)('a bundle that we sign with a $kind key', (signer) => {
  const key = parseSigningKey('test.key', signer.privatePem);
  const bundle = signatureBundle(digest, key);

  it("is verified by Sigstore's own verifier, with that key only", () => {
    verifyBySigstore(bundle, signer);
    expect(() => verifyBySigstore(bundle, makeSigner(signer.kind))).toThrow();
  });

  it('is known again as ours, for that digest and that key', () => {
    expect(isBundleBy(bundle, digest, key)).toBe(true);
    expect(isBundleBy(bundle, `sha256:${'0b'.repeat(32)}`, key)).toBe(false);
    expect(isBundleBy(bundle, digest, parseSigningKey('x', makeSigner(signer.kind).privatePem))).toBe(false);
  });
});
