import { describe, expect, it } from 'vitest';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { addSignature, signaturePayload } from '../../../agent/image/signature-manifest.ts';
import { sha256, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { codeOf } from '../trust/samples.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const repository = 'registry.test/os/edge';
const name = 'dev.cosignproject.cosign/signature';
const [one, two] = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];
const keyOf = (signer: TestSigner) => parseSigningKey('test.key', signer.privatePem);

interface Written {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly layers: readonly { readonly digest: string; readonly annotations: Readonly<Record<string, string>> }[];
}

function add(existing: Uint8Array | undefined, signer: TestSigner) {
  const { bytes, blobs } = addSignature(existing, repository, digest, keyOf(signer));
  return { bytes, blobs, written: JSON.parse(Buffer.from(bytes).toString()) as Written };
}

describe('the payload of a signature', () => {
  it("is cosign's simple signing, byte for byte as an independent signer writes it", () => {
    expect(Buffer.from(signaturePayload(repository, digest))).toEqual(simpleSigningPayload(digest, repository));
  });
});

describe('the signatures beside an image', () => {
  it('are a manifest in the layout of cosign, whose blobs are given with it', () => {
    const payload = simpleSigningPayload(digest, repository);
    const { bytes, blobs } = add(undefined, one);
    const layer = signatureLayer(payload, one.sign(payload).toString('base64'));
    const expected = signatureObject(digest, [layer], [payload]);
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual(JSON.parse(expected.manifest.bytes.toString()));
    for (const blob of blobs) expect(sha256(blob.bytes)).toBe(blob.digest);
    expect(blobs.map((blob) => blob.digest)).toEqual(expected.blobs.map((blob) => blob.digest));
  });

  it('grow by one for each key, and keep those that are there', () => {
    const first = add(undefined, one);
    const second = add(first.bytes, two);
    expect(second.written.layers).toHaveLength(2);
    expect(second.written.layers[0]).toEqual(first.written.layers[0]);
  });

  it.each([one, two])('stay as they are when the same $kind key signs again', (signer) => {
    const first = add(undefined, signer);
    expect(Buffer.from(add(first.bytes, signer).bytes)).toEqual(Buffer.from(first.bytes));
  });

  it('get a signature in place of one that only looks like it', () => {
    const { written, bytes } = add(undefined, two);
    const garbled = { ...written.layers[0], annotations: { [name]: 'AAAA' } };
    const changed = Buffer.from(
      Buffer.from(bytes)
        .toString()
        .replace(/"layers":\[.*?\}\}\]/, `"layers":[${JSON.stringify(garbled)}]`),
    );
    expect(add(changed, two).written.layers.map((layer) => layer.annotations[name] === 'AAAA')).toEqual([true, false]);
  });

  it('keep the annotations, fields and layers that other tools gave them', () => {
    const payload = Buffer.from('{"theirs":true}');
    const odd = { mediaType: 'text/plain', digest, annotations: { count: 1 } };
    const theirs = {
      ...signatureLayer(payload, 'c2ln'),
      annotations: { [name]: 'c2ln', 'dev.sigstore.cosign/bundle': '{}' },
      urls: ['https://example.test'],
    };
    const { manifest } = signatureObject(digest, [theirs, odd], [payload]);
    const annotations = { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' };
    const existing = Buffer.from(JSON.stringify({ ...(JSON.parse(manifest.bytes.toString()) as object), annotations }));
    const { written } = add(existing, one);
    expect(written.layers).toHaveLength(3);
    expect(written.layers[0]).toEqual(theirs);
    expect(written.layers[1]).toEqual(odd);
    expect(written.annotations).toEqual(annotations);
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['an index', '{"schemaVersion":2,"manifests":[]}'],
    ['layers that are no list', '{"layers":{}}'],
    ['layers that are no objects', '{"layers":["a"]}'],
    ['annotations that are no texts', '{"layers":[],"annotations":{"a":1}}'],
  ])('are not written over when they cannot be read: %s', (_what, text) => {
    expect(codeOf(() => add(Buffer.from(text), one))).toBe('manifest-invalid');
  });
});
