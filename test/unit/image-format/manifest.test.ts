import { describe, expect, it } from 'vitest';
import {
  manifestLimits,
  mediaTypes,
  parseJson,
  parseManifest,
  parseManifestOrIndex,
  selectPlatform,
} from '../../../agent/core/image-format/manifest.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 2 };
const layer = { mediaType: mediaTypes.kaonPartition, digest, size: 4096, annotations: { title: 'root' } };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const entry = {
  mediaType: mediaTypes.ociManifest,
  digest,
  size: 100,
  platform: { os: 'linux', architecture: 'amd64' },
};
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const refusal = (code = 'manifest-invalid') => expect.objectContaining({ code }) as Error;

/** The fields and their order as skopeo 1.9.3 writes them; the digests are replaced. */
const skopeoManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"${digest}","size":434},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"${digest}","size":122}],"annotations":{"org.opencontainers.image.created":"2026-01-01T00:00:00Z"}}`;

describe('parseManifestOrIndex', () => {
  it('reads a manifest as tools write it', () => {
    expect(parseManifestOrIndex(bytes(skopeoManifest))).toMatchObject({
      kind: 'manifest',
      manifest: { artifactType: undefined, config: { sizeBytes: 434 }, layers: [{ sizeBytes: 122, annotations: {} }] },
    });
  });

  it('reads an artifact manifest, and leaves unknown fields to newer readers', () => {
    const value = { ...manifest, artifactType: mediaTypes.kaonArtifact, subject: { any: 1 }, later: true };
    expect(parseManifest(bytes(value))).toEqual({
      mediaType: mediaTypes.ociManifest,
      artifactType: mediaTypes.kaonArtifact,
      config: { mediaType: config.mediaType, digest, sizeBytes: 2, annotations: {}, platform: undefined },
      layers: [
        { mediaType: layer.mediaType, digest, sizeBytes: 4096, annotations: { title: 'root' }, platform: undefined },
      ],
      annotations: {},
    });
  });

  it('reads an index and its Docker twin', () => {
    for (const mediaType of [mediaTypes.ociIndex, mediaTypes.dockerList]) {
      const parsed = parseManifestOrIndex(bytes({ ...index, mediaType }));
      expect(parsed).toMatchObject({ kind: 'index', index: { mediaType, manifests: [{ digest, sizeBytes: 100 }] } });
    }
  });

  it('takes the OCI type where none is written', () => {
    expect(parseManifestOrIndex(bytes({ ...index, mediaType: undefined }))).toMatchObject({
      index: { mediaType: mediaTypes.ociIndex },
    });
    expect(parseManifest(bytes({ ...manifest, mediaType: undefined })).mediaType).toBe(mediaTypes.ociManifest);
  });

  const descriptors: readonly object[] = [
    { ...layer, digest: 'sha256:short' },
    { ...layer, digest: undefined },
    { ...layer, size: -1 },
    { ...layer, size: 1.5 },
    { ...layer, size: '4096' },
    { ...layer, size: 1e30 },
    { ...layer, mediaType: '' },
    { ...layer, mediaType: 'x'.repeat(256) },
    { ...layer, annotations: { title: 7 } },
    { ...layer, annotations: [] },
    { ...layer, platform: { os: 'linux' } },
  ];

  it.each<[string, unknown]>([
    ['nothing', ''],
    ['no JSON', '{"schemaVersion":2'],
    ['null', 'null'],
    ['a list', []],
    ['a text', '"manifest"'],
    ['bytes after the end', `${JSON.stringify(manifest)}x`],
    ['another schema', { ...manifest, schemaVersion: 1 }],
    ['no schema', { ...manifest, schemaVersion: undefined }],
    ['a type that is none of a manifest', { ...manifest, mediaType: mediaTypes.ociIndex }],
    ['no config', { ...manifest, config: undefined }],
    ['no layers', { ...manifest, layers: undefined }],
    ['layers that are no list', { ...manifest, layers: {} }],
    ['too many layers', { ...manifest, layers: Array(manifestLimits.layers + 1).fill(layer) }],
    ['an artifact type that is no text', { ...manifest, artifactType: 7 }],
    ['annotations that are no map of texts', { ...manifest, annotations: { a: 1 } }],
    ['fields of an index and of a manifest', { ...manifest, manifests: [] }],
    ['an index with a config', { ...index, config }],
    ['an index of a manifest type', { ...index, mediaType: mediaTypes.ociManifest }],
    ['an index with too many entries', { ...index, manifests: Array(manifestLimits.layers * 16 + 1).fill(entry) }],
    ...descriptors.map((bad): [string, unknown] => [
      `layer ${JSON.stringify(bad).slice(0, 60)}`,
      { ...manifest, layers: [bad] },
    ]),
    ...descriptors.map((bad): [string, unknown] => [
      `entry ${JSON.stringify(bad).slice(0, 60)}`,
      { ...index, manifests: [bad] },
    ]),
  ])('refuses %s', (_name, value) => {
    expect(() => parseManifestOrIndex(bytes(value))).toThrow(refusal());
  });

  it('refuses bytes that are not UTF-8', () => {
    const bad = bytes({ ...manifest, annotations: { a: 'ÿ' } });
    bad[bad.indexOf(0xc3)] = 0xff;
    expect(() => parseManifestOrIndex(bad)).toThrow(refusal());
  });

  it('refuses more bytes than its limit, before it parses them', () => {
    const large = Buffer.alloc(manifestLimits.manifestBytes + 1, 'x');
    expect(() => parseManifestOrIndex(large)).toThrow(refusal('response-too-large'));
    expect(() => parseJson(Buffer.from('{}'), 'it', 1)).toThrow(refusal('response-too-large'));
  });

  it('names the path of what is wrong', () => {
    const bad = { ...manifest, layers: [layer, { ...layer, size: -1 }] };
    expect(() => parseManifest(bytes(bad))).toThrow(/the manifest: layers\.1\.size/);
  });

  it('gives nothing but its codes for any truncation or changed byte', () => {
    const whole = bytes(manifest);
    for (let at = 0; at < whole.byteLength; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 0x15;
      for (const damaged of [whole.subarray(0, at), changed]) {
        let code: unknown;
        try {
          parseManifestOrIndex(damaged);
        } catch (error) {
          code = (error as { code?: unknown }).code;
          expect(code).toBe('manifest-invalid');
        }
      }
    }
  });

  it('does not let a name like __proto__ change anything', () => {
    const text = JSON.stringify(manifest).replace('"title":"root"', '"__proto__":"x"');
    expect(() => parseManifest(bytes(text))).toThrow(refusal());
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});

describe('parseManifest', () => {
  it('refuses an index', () => {
    expect(() => parseManifest(bytes(index))).toThrow(refusal());
  });
});

describe('selectPlatform', () => {
  const of = (os: string, architecture: string, size: number, variant?: string) => ({
    ...entry,
    size,
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
  });
  const select = (manifests: readonly object[], architecture: string, variant?: string) => {
    const parsed = parseManifestOrIndex(bytes({ ...index, manifests }));
    if (parsed.kind !== 'index') throw new Error('not an index');
    return selectPlatform(parsed.index, { os: 'linux', architecture, variant }).sizeBytes;
  };

  it('takes the first that fits, in listed order', () => {
    const manifests = [
      of('windows', 'amd64', 1),
      of('linux', 'arm64', 2),
      of('linux', 'amd64', 3),
      of('linux', 'amd64', 4),
    ];
    expect(select(manifests, 'amd64')).toBe(3);
  });

  it('passes over attestations and entries without a platform', () => {
    const bare = { mediaType: entry.mediaType, digest, size: 2 };
    expect(select([of('unknown', 'unknown', 1), bare, of('linux', 'amd64', 3)], 'amd64')).toBe(3);
  });

  it('compares variants only where both sides state one', () => {
    const manifests = [of('linux', 'arm', 1, 'v6'), of('linux', 'arm', 2, 'v7')];
    expect(select(manifests, 'arm', 'v7')).toBe(2);
    expect(select(manifests, 'arm')).toBe(1);
    expect(select([of('linux', 'arm64', 1)], 'arm64', 'v8')).toBe(1);
  });

  it('says what is offered when nothing fits', () => {
    expect(() => select([of('linux', 'amd64', 1)], 's390x')).toThrow(refusal('platform-not-found'));
    expect(() => select([of('linux', 'amd64', 1)], 's390x')).toThrow(/linux\/amd64/);
    expect(() => select([], 'amd64')).toThrow(/offers nothing/);
  });
});
