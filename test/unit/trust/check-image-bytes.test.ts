import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import type { ResolvedImage } from '../../../agent/core/ports.ts';
import { checkImageBytes } from '../../../agent/trust/check-image-bytes.ts';
import { sampleImage, sampleIndex, toManifest } from '../../fakes/sample-image.ts';
import { codeOf, flipBit, resolved } from './samples.ts';

const image = sampleImage(['v1']);
const other = sampleImage(['v2'], 8192, 2);
const index = sampleIndex(
  [
    { image: other.manifest, architecture: 'arm64' },
    { image: image.manifest, architecture: 'amd64' },
  ],
  ['v1'],
);
const direct = resolved(image);
const byIndex = resolved(image, index);
const sha512 = (bytes: Uint8Array) => `sha512:${createHash('sha512').update(bytes).digest('hex')}`;

/** The image with its manifest changed, and resolved to the changed one. */
function withManifest(change: Readonly<Record<string, unknown>>): ResolvedImage {
  const value = { ...(JSON.parse(image.manifest.bytes.toString()) as object), ...change };
  const manifest = toManifest(value, mediaTypes.ociManifest, []);
  return resolved({ ...image, manifest });
}

describe('the bytes of an image', () => {
  it('give its facts when each has the digest that the one above names', () => {
    for (const whole of [direct, byIndex]) {
      const { config, layers } = checkImageBytes(whole);
      expect(config).toMatchObject({ name: 'sample', version: '1.0.1', compatible: ['board-1'] });
      expect(layers).toMatchObject([{ name: 'root', layerDigest: image.layer.digest, layerSizeBytes: 4096 }]);
    }
  });

  it('may be named by sha512', () => {
    const digest = sha512(image.manifest.bytes);
    expect(checkImageBytes({ ...direct, resolvedDigest: digest, manifestDigest: digest }).layers).toHaveLength(1);
  });

  it.each<[string, ResolvedImage]>([
    ['the manifest of another image', { ...direct, manifestBytes: other.manifest.bytes }],
    ['the config of another image', { ...direct, configBytes: other.configBytes }],
    ['the index of another image', { ...byIndex, indexBytes: image.manifest.bytes }],
    ['a manifest with a bit turned', { ...direct, manifestBytes: flipBit(image.manifest.bytes, 77) }],
    ['a config with a bit turned', { ...direct, configBytes: flipBit(image.configBytes, 77) }],
    ['an index with a bit turned', { ...byIndex, indexBytes: flipBit(index.bytes, 77) }],
    [
      'a manifest with a space after it',
      { ...direct, manifestBytes: Buffer.concat([image.manifest.bytes, Buffer.from(' ')]) },
    ],
    ['no manifest', { ...direct, manifestBytes: new Uint8Array(0) }],
  ])('are refused as digest-mismatch with %s', (_what, broken) => {
    expect(codeOf(() => checkImageBytes(broken))).toBe('digest-mismatch');
  });

  it.each<[string, ResolvedImage]>([
    ['an index that was left out', { ...byIndex, indexBytes: undefined }],
    [
      'a manifest that the index does not name',
      { ...resolved(sampleImage([], 4096, 3)), resolvedDigest: index.digest, indexBytes: index.bytes },
    ],
    ['a manifest in the place of the index', { ...direct, indexBytes: image.manifest.bytes }],
    [
      'an index in the place of the manifest',
      { ...direct, resolvedDigest: index.digest, manifestDigest: index.digest, manifestBytes: index.bytes },
    ],
    ['a digest without its algorithm', { ...direct, resolvedDigest: 'x', manifestDigest: 'x' }],
    [
      'an algorithm that is not known',
      { ...direct, resolvedDigest: `md5:${'0'.repeat(32)}`, manifestDigest: `md5:${'0'.repeat(32)}` },
    ],
    [
      'a digest named as a property that every object has',
      { ...direct, resolvedDigest: 'constructor', manifestDigest: 'constructor' },
    ],
    [
      'a config that is longer than the manifest says',
      { ...direct, configBytes: Buffer.concat([image.configBytes, Buffer.from(' ')]) },
    ],
    ['a config that ends early', { ...direct, configBytes: image.configBytes.subarray(1) }],
    ['no layer for its partition', withManifest({ layers: [] })],
    [
      'a layer of a type like a property that every object has',
      withManifest({ layers: [{ mediaType: 'constructor', digest: image.layer.digest, size: 4096 }] }),
    ],
    [
      'a layer of the type __proto__',
      withManifest({ layers: [{ mediaType: '__proto__', digest: image.layer.digest, size: 4096 }] }),
    ],
  ])('are refused as manifest-invalid with %s', (_what, broken) => {
    expect(codeOf(() => checkImageBytes(broken))).toBe('manifest-invalid');
  });
});
