import { describe, expect, it } from 'vitest';
import { parseImageConfig, partitionLayers } from '../../../agent/core/image-format/image-config.ts';
import { type Manifest, manifestLimits, mediaTypes } from '../../../agent/core/image-format/manifest.ts';

const digestA = `sha256:${'0a'.repeat(32)}`;
const digestB = `sha256:${'0b'.repeat(32)}`;
const content = `sha256:${'0c'.repeat(32)}`;
const root = { name: 'root', layer: digestA, digest: content, sizeBytes: 4096 };
const index = { layer: digestB, headSizeBytes: 64, headDigest: content };
const config = {
  formatVersion: 1,
  name: 'edge',
  version: '1.2.3',
  compatible: ['acme-gw-2'],
  rollbackIndex: 4,
  minimumAgent: '0.1.0',
  agentVersion: '0.2.0',
  partitions: [root],
};
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const refusal = (code = 'manifest-invalid') => expect.objectContaining({ code }) as Error;

describe('parseImageConfig', () => {
  it('reads what an image states', () => {
    expect(parseImageConfig(bytes(config))).toEqual({
      formatVersion: 1,
      name: 'edge',
      version: '1.2.3',
      compatible: ['acme-gw-2'],
      rollbackIndex: 4,
      minimumAgent: '0.1.0',
      agentVersion: '0.2.0',
      partitions: [
        { name: 'root', layerDigest: digestA, contentDigest: content, contentSizeBytes: 4096, index: undefined },
      ],
      optional: [],
      boot: undefined,
    });
  });

  it('needs no more than the essentials, and leaves unknown fields to newer readers', () => {
    const { formatVersion, name, version, compatible } = config;
    const value = {
      formatVersion,
      name,
      version,
      compatible,
      partitions: [{ name: 'root', layer: digestA }],
      later: { any: 1 },
    };
    expect(parseImageConfig(bytes(value))).toMatchObject({
      rollbackIndex: 0,
      minimumAgent: undefined,
      agentVersion: undefined,
      partitions: [{ contentDigest: undefined, contentSizeBytes: undefined }],
    });
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['a list', []],
    ['an ordinary image config', { architecture: 'amd64', os: 'linux', rootfs: {} }],
    ['another format version', { ...config, formatVersion: 2 }],
    ['no name', { ...config, name: undefined }],
    ['an empty name', { ...config, name: '' }],
    ['a version that is too long', { ...config, version: 'x'.repeat(129) }],
    ['no compatible', { ...config, compatible: [] }],
    ['compatible that is no list', { ...config, compatible: 'acme' }],
    ['a negative rollback index', { ...config, rollbackIndex: -1 }],
    ['a rollback index that is no whole number', { ...config, rollbackIndex: 1.5 }],
    ['a rollback index that is a text', { ...config, rollbackIndex: '1' }],
    ['a minimum agent that is no version', { ...config, minimumAgent: '1.0' }],
    ['an agent version that is no version', { ...config, agentVersion: 'v1.0.0' }],
    ['no partitions', { ...config, partitions: [] }],
    [
      'too many partitions',
      { ...config, partitions: Array.from({ length: 17 }, (_, n) => ({ ...root, name: `p${n}` })) },
    ],
    ['a partition twice', { ...config, partitions: [root, { ...root, layer: digestB }] }],
    ['a partition name that leads elsewhere', { ...config, partitions: [{ ...root, name: '../boot' }] }],
    ['a layer that is no digest', { ...config, partitions: [{ ...root, layer: 'sha256:x' }] }],
    ['a digest without a size', { ...config, partitions: [{ ...root, sizeBytes: undefined }] }],
    ['a size without a digest', { ...config, partitions: [{ ...root, digest: undefined }] }],
    ['a size of zero', { ...config, partitions: [{ ...root, sizeBytes: 0 }] }],
    [
      'an index without the digest of the content',
      { ...config, partitions: [{ name: 'root', layer: digestA, index }] },
    ],
    ['an index without a head', { ...config, partitions: [{ ...root, index: { ...index, headSizeBytes: 0 } }] }],
    [
      'an index that is too large',
      { ...config, partitions: [{ ...root, index: { ...index, headSizeBytes: 2 ** 25 } }] },
    ],
    ['an index without its layer', { ...config, partitions: [{ ...root, index: { ...index, layer: 'here' } }] }],
    ['optional types that are no list', { ...config, optional: 'text/plain' }],
  ])('refuses %s', (_name, value) => {
    expect(() => parseImageConfig(bytes(value))).toThrow(refusal());
  });

  it('refuses more bytes than its limit', () => {
    const large = Buffer.alloc(manifestLimits.configBytes + 1, ' ');
    expect(() => parseImageConfig(large)).toThrow(refusal('response-too-large'));
  });
});

describe('partitionLayers', () => {
  const descriptor = (digest: string, mediaType: string) => ({
    mediaType,
    digest,
    sizeBytes: 100,
    annotations: {},
    platform: undefined,
  });
  const manifestOf = (layers: Manifest['layers'], configType: string = mediaTypes.kaonConfig): Manifest => ({
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonArtifact,
    config: descriptor(content, configType),
    layers,
    annotations: {},
  });
  const boot = { name: 'boot', layer: digestB };
  const one = parseImageConfig(bytes(config));
  const two = parseImageConfig(bytes({ ...config, partitions: [root, boot] }));

  it('joins each partition with its layer, in the order of the config', () => {
    const layers = [
      descriptor(digestB, `${mediaTypes.kaonPartition}+zstd`),
      descriptor(digestA, mediaTypes.kaonPartition),
    ];
    expect(partitionLayers(manifestOf(layers), two)).toMatchObject([
      { name: 'root', encoding: 'raw', layerSizeBytes: 100, contentSizeBytes: 4096 },
      { name: 'boot', encoding: 'zstd', layerSizeBytes: 100, contentSizeBytes: undefined },
    ]);
    const gzip = manifestOf([descriptor(digestA, `${mediaTypes.kaonPartition}+gzip`)]);
    expect(partitionLayers(gzip, one)).toMatchObject([{ encoding: 'gzip' }]);
  });

  it('joins a partition with its block index, whose size the manifest tells', () => {
    const indexed = parseImageConfig(bytes({ ...config, partitions: [{ ...root, index }] }));
    const zstd = descriptor(digestA, `${mediaTypes.kaonPartition}+zstd`);
    const layer = descriptor(digestB, mediaTypes.kaonBlockIndex);
    expect(partitionLayers(manifestOf([zstd, layer]), indexed)).toMatchObject([
      { name: 'root', index: { layerDigest: digestB, layerSizeBytes: 100, headSizeBytes: 64, headDigest: content } },
    ]);
    for (const [layers, imageConfig] of [
      [[zstd], indexed],
      [[zstd, descriptor(digestB, mediaTypes.kaonPartition)], indexed],
      [[zstd, { ...layer, sizeBytes: 63 }], indexed],
      [[zstd, layer], one],
      [[descriptor(digestA, mediaTypes.kaonPartition), layer], indexed],
    ] as const) {
      expect(() => partitionLayers(manifestOf(layers), imageConfig)).toThrow(refusal());
    }
  });

  it('leaves a layer alone that nobody names when the config marks its type optional, and no other', () => {
    const optional = parseImageConfig(bytes({ ...config, optional: ['application/vnd.kaon.block-index.v2'] }));
    const known = descriptor(digestA, mediaTypes.kaonPartition);
    const later = descriptor(digestB, 'application/vnd.kaon.block-index.v2');
    expect(partitionLayers(manifestOf([known, later]), optional)).toHaveLength(1);
    expect(() => partitionLayers(manifestOf([known, later]), one)).toThrow(refusal());
    expect(() => partitionLayers(manifestOf([known, descriptor(digestB, 'text/plain')]), optional)).toThrow(refusal());
  });

  it('refuses an ordinary container image, stray, missing and unknown layers, and one layer for two', () => {
    const known = descriptor(digestA, mediaTypes.kaonPartition);
    const shared = parseImageConfig(bytes({ ...config, partitions: [root, { name: 'boot', layer: digestA }] }));
    const cases: readonly (readonly [Manifest, typeof one])[] = [
      [manifestOf([known], 'application/vnd.oci.image.config.v1+json'), one],
      [manifestOf([known, descriptor(digestB, mediaTypes.kaonPartition)]), one],
      [manifestOf([known]), two],
      [manifestOf([]), one],
      [manifestOf([descriptor(digestA, 'application/vnd.oci.image.layer.v1.tar+gzip')]), one],
      [manifestOf([descriptor(digestA, 'text/plain')]), one],
      [manifestOf([known]), shared],
    ];
    for (const [manifest, imageConfig] of cases) {
      expect(() => partitionLayers(manifest, imageConfig)).toThrow(refusal());
    }
  });

  it.each(['constructor', 'toString', 'valueOf', '__proto__'])(
    'refuses %s, which every object has, as a type',
    (type) => {
      expect(() => partitionLayers(manifestOf([descriptor(digestA, type)]), one)).toThrow(refusal());
    },
  );
});
