import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { mediaTypes } from '../../agent/core/image-format/manifest.ts';
import { encodePatchManifest, patchBaseAnnotation } from '../../agent/core/image-format/patch-manifest.ts';
import { parseReference, type Reference } from '../../agent/core/image-format/reference.ts';
import type { ImageSource, SignatureEvidence, SimpleSignature } from '../../agent/core/ports.ts';
import { LayoutImageSource } from '../../agent/oci/layout-source.ts';
import { addReferrer, referrersTag } from '../../agent/oci/referrers.ts';
import { RegistryImageSource } from '../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../agent/oci/settings.ts';
import { EagerClock } from '../fakes/eager-clock.ts';
import { type RegistryOptions, startRegistry } from '../fakes/registry.ts';
import {
  bundleObject,
  fillRegistry,
  type SampleContent,
  sampleImage,
  sampleIndex,
  type SampleManifest,
  sha256,
  signatureLayer,
  signatureObject,
  toManifest,
  writeLayout,
} from '../fakes/sample-image.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const platform = { os: 'linux', architecture: 'amd64', variant: undefined };
const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

function textsOf(found: readonly SignatureEvidence[]): readonly string[] {
  return found.flatMap((one) => ('bundle' in one ? [Buffer.from(one.bundle).toString()] : []));
}

function simple(found: readonly SignatureEvidence[]): readonly SimpleSignature[] {
  return found.filter((one) => 'payload' in one);
}

interface Offer {
  readonly source: ImageSource;
  /** A reference to the repository that holds the content: `:tag` or `@digest` is added. */
  readonly refer: (rest: string) => Reference;
}

type OfferContent = (parts: readonly SampleContent[]) => Promise<Offer>;

function offerByRegistry(options: RegistryOptions): OfferContent {
  return async (parts) => {
    const registry = await startRegistry(options);
    endings.push(() => registry.close());
    fillRegistry(registry.content, 'os/edge', parts);
    const source = new RegistryImageSource({
      registries: { [registry.host]: { insecureHttp: true } },
      credentials: async () => ({ kind: 'basic', username: 'node', password: 'a:b' }),
      platform,
      clock: new EagerClock(),
      random: new SeededRandom(),
      limits: defaultTransferLimits,
    });
    endings.push(async () => source.close());
    return { source, refer: (rest) => parseReference(`${registry.host}/os/edge${rest}`) };
  };
}

function offerOffline(kind: 'layout' | 'archive'): OfferContent {
  return async (parts) => {
    const base = await mkdtemp(join(tmpdir(), 'kaon-source-'));
    endings.push(() => rm(base, { recursive: true }));
    const directory = join(base, 'layout');
    await writeLayout(directory, parts);
    const archive = join(base, 'image.tar');
    if (kind === 'archive') await promisify(execFile)('tar', ['-C', directory, '-cf', archive, '.']);
    const path = kind === 'layout' ? directory : archive;
    const source = new LayoutImageSource({ kind, path, refName: undefined }, platform);
    return { source, refer: (rest) => parseReference(`registry.test/os/edge${rest}`) };
  };
}

const offers: readonly (readonly [string, OfferContent])[] = [
  ['a registry', offerByRegistry({})],
  ['a registry that lists referrers', offerByRegistry({ listsReferrers: true })],
  ['a registry that lists referrers in pages', offerByRegistry({ listsReferrers: true, referrersPerPage: 8 })],
  [
    'a registry with tokens and redirected blobs',
    offerByRegistry({ auth: { kind: 'bearer', username: 'node', password: 'a:b' }, isRedirecting: true }),
  ],
  ['a registry with basic auth', offerByRegistry({ auth: { kind: 'basic', username: 'node', password: 'a:b' } })],
  ['a layout', offerOffline('layout')],
  ['an archive', offerOffline('archive')],
];

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

const one = sampleImage(['v1']);
const other = sampleImage(['v2'], 8192, 2);

const base = sha256(Buffer.from('the manifest of an older image'));

/** A patch of partition `root` of `one`, and the list that names it; `change` is made to what they say. */
function patchContent(change: { readonly subject?: Buffer; readonly base?: string; readonly annotated?: string } = {}) {
  const patch = { partition: 'root', layerDigest: sha256(Buffer.from('patch')), layerSizeBytes: 5, headSizeBytes: 2 };
  const bytes = Buffer.from(encodePatchManifest(change.base ?? base, change.subject ?? one.manifest.bytes, [patch]));
  const mediaType = mediaTypes.ociManifest;
  const entry = {
    mediaType,
    digest: sha256(bytes),
    sizeBytes: bytes.byteLength,
    artifactType: mediaTypes.kaonPatches,
    annotations: { [patchBaseAnnotation]: change.annotated ?? change.base ?? base },
  };
  const list = Buffer.from(addReferrer(undefined, entry));
  const content: SampleContent = {
    manifests: [
      { bytes, mediaType, digest: sha256(bytes), names: [] },
      { bytes: list, mediaType: mediaTypes.ociIndex, digest: sha256(list), names: [referrersTag(one.manifest.digest)] },
    ],
    blobs: [],
  };
  return { patch, content };
}

describe.each(offers)('an image source over %s', (_name, offer) => {
  it('resolves a tag to digests that it computed, with the exact bytes', async () => {
    const { source, refer } = await offer([one, other]);
    const image = await source.resolve(refer(':v1'), never);
    expect(image).toMatchObject({
      resolvedDigest: one.manifest.digest,
      manifestDigest: one.manifest.digest,
      indexBytes: undefined,
    });
    expect(Buffer.from(image.manifestBytes)).toEqual(one.manifest.bytes);
    expect(Buffer.from(image.configBytes)).toEqual(one.configBytes);
  });

  it('resolves a digest to the image that has it', async () => {
    const { source, refer } = await offer([one, other]);
    const image = await source.resolve(refer(`@${other.manifest.digest}`), never);
    expect(image.resolvedDigest).toBe(other.manifest.digest);
  });

  it('follows an index to the image for the platform and keeps the index', async () => {
    const index = sampleIndex(
      [
        { image: one.manifest, architecture: 'arm64' },
        { image: other.manifest, architecture: 'amd64' },
      ],
      ['multi'],
    );
    const { source, refer } = await offer([one, other, { manifests: [index], blobs: [] }]);
    const image = await source.resolve(refer(':multi'), never);
    expect(image).toMatchObject({ resolvedDigest: index.digest, manifestDigest: other.manifest.digest });
    expect(Buffer.from(image.indexBytes ?? [])).toEqual(index.bytes);
  });

  it('refuses an index without the platform, or with an index below it', async () => {
    const foreign = sampleIndex([{ image: one.manifest, architecture: 's390x' }], ['foreign']);
    const inner = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['inner']);
    const nested = sampleIndex([{ image: inner, architecture: 'amd64' }], ['nested']);
    const { source, refer } = await offer([one, { manifests: [foreign, inner, nested], blobs: [] }]);
    await expect(source.resolve(refer(':foreign'), never)).rejects.toMatchObject({ code: 'platform-not-found' });
    await expect(source.resolve(refer(':nested'), never)).rejects.toMatchObject({ code: 'manifest-invalid' });
  });

  it('finds the patches of an image from the one that is asked for, and from no other', async () => {
    const { patch, content } = patchContent();
    const { source, refer } = await offer([one, other, content]);
    const image = await source.resolve(refer(':v1'), never);
    expect(await source.patches(image, base, never)).toEqual([patch]);
    expect(await source.patches(image, sha256(Buffer.from('another')), never)).toEqual([]);
    const without = await source.resolve(refer(':v2'), never);
    expect(await source.patches(without, base, never)).toEqual([]);
  });

  it('refuses a patch that is listed for images that it does not name', async () => {
    for (const change of [{ subject: other.manifest.bytes }, { base: sha256(Buffer.from('x')), annotated: base }]) {
      const { source, refer } = await offer([one, other, patchContent(change).content]);
      const image = await source.resolve(refer(':v1'), never);
      await expect(source.patches(image, base, never)).rejects.toMatchObject({ code: 'manifest-invalid' });
    }
  });

  it('says that an image is not there', async () => {
    const { source, refer } = await offer([one, other]);
    await expect(source.resolve(refer(':v9'), never)).rejects.toMatchObject({ code: 'image-not-found' });
    const absent = refer(`@sha256:${'0'.repeat(64)}`);
    await expect(source.resolve(absent, never)).rejects.toMatchObject({ code: 'image-not-found' });
  });

  it('refuses a manifest or config whose bytes have another digest', async () => {
    const wrongConfig = { ...one, blobs: one.blobs.map((blob) => ({ ...blob, bytes: Buffer.from('{}') })) };
    const first = await offer([wrongConfig]);
    await expect(first.source.resolve(first.refer(':v1'), never)).rejects.toMatchObject({ code: 'digest-mismatch' });
    const index = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['multi']);
    const swapped = { ...one.manifest, bytes: other.manifest.bytes, names: [] };
    const second = await offer([{ ...one, manifests: [swapped, index] }]);
    await expect(second.source.resolve(second.refer(':multi'), never)).rejects.toMatchObject({
      code: 'digest-mismatch',
    });
  });

  it('refuses a manifest that is announced as another type, and one that is malformed', async () => {
    const announced = { ...one.manifest, mediaType: mediaTypes.dockerManifest };
    const malformed = toManifest({ schemaVersion: 2, layers: 'none' }, mediaTypes.ociManifest, ['bad']);
    const { source, refer } = await offer([{ ...one, manifests: [announced, malformed] }]);
    await expect(source.resolve(refer(':v1'), never)).rejects.toMatchObject({ code: 'manifest-invalid' });
    await expect(source.resolve(refer(':bad'), never)).rejects.toMatchObject({ code: 'manifest-invalid' });
  });

  it('refuses a config that its manifest says to be too large, without reading it', async () => {
    const value = JSON.parse(one.manifest.bytes.toString()) as { config: { size: number } };
    value.config.size = 1024 * 1024 + 1;
    const huge = toManifest(value, mediaTypes.ociManifest, ['huge']);
    const { source, refer } = await offer([{ blobs: one.blobs, manifests: [huge] }]);
    await expect(source.resolve(refer(':huge'), never)).rejects.toMatchObject({ code: 'response-too-large' });
  });

  it('gives no signatures for an image without any', async () => {
    const { source, refer } = await offer([one]);
    expect(await source.signatures(await source.resolve(refer(':v1'), never), never)).toEqual([]);
  });

  it('gives the signatures of the index and of the manifest, and passes over malformed ones beside them', async () => {
    const index = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['multi']);
    const first = Buffer.from('{"critical":1}');
    const second = Buffer.from('{"critical":2}');
    const lost = Buffer.from('{"critical":"lost"}');
    const onIndex = signatureObject(
      index.digest,
      [
        signatureLayer(first, undefined),
        signatureLayer(lost, 'bG9zdA=='),
        { mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json', digest: 'nonsense' },
        { ...signatureLayer(first, 'b3RoZXI='), mediaType: 'text/plain' },
        signatureLayer(first, 'Zmlyc3Q='),
      ],
      [first],
    );
    const onManifest = signatureObject(one.manifest.digest, [signatureLayer(second, 'c2Vjb25k')], [second]);
    const { source, refer } = await offer([one, { manifests: [index], blobs: [] }, onIndex, onManifest]);
    const found = await source.signatures(await source.resolve(refer(':multi'), never), never);
    expect(simple(found).map(({ payload, signature }) => [Buffer.from(payload).toString(), signature])).toEqual([
      ['{"critical":1}', 'Zmlyc3Q='],
      ['{"critical":2}', 'c2Vjb25k'],
    ]);
  });

  it('does not call an image unsigned whose signatures are all malformed', async () => {
    const payload = Buffer.from('{"critical":1}');
    const changed = { digest: sha256(payload), bytes: Buffer.from('{"critical":9}') };
    const object = signatureObject(one.manifest.digest, [signatureLayer(payload, 'c2ln')], []);
    const { source, refer } = await offer([one, { ...object, blobs: [...object.blobs, changed] }]);
    const image = await source.resolve(refer(':v1'), never);
    await expect(source.signatures(image, never)).rejects.toMatchObject({ code: 'signature-invalid' });
  });

  it('tries the last 64 signatures and no more', async () => {
    const payload = Buffer.from('{}');
    const layers = Array.from({ length: 70 }, (_, number) => signatureLayer(payload, `c2ln${number}`));
    const object = signatureObject(one.manifest.digest, layers, [payload]);
    const { source, refer } = await offer([one, object]);
    const found = await source.signatures(await source.resolve(refer(':v1'), never), never);
    expect(found).toHaveLength(64);
    expect(simple(found).at(-1)?.signature).toBe('c2ln69');
  });

  it.each([
    ['by their type', bundleType],
    ['as an empty artifact', 'application/vnd.oci.empty.v1+json'],
    ['without any type', null],
  ])('gives the bundles beside an image that a list calls %s', async (_how, calledType) => {
    const object = bundleObject(one.manifest, [Buffer.from('{"number":1}'), Buffer.from('{"number":2}')], calledType);
    const { source, refer } = await offer([one, other, object]);
    const found = await source.signatures(await source.resolve(refer(':v1'), never), never);
    expect(textsOf(found).toSorted()).toEqual(['{"number":1}', '{"number":2}']);
    expect(await source.signatures(await source.resolve(refer(':v2'), never), never)).toEqual([]);
  });

  it('gives the bundles of the index beside the signatures of the manifest', async () => {
    const index = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['multi']);
    const payload = Buffer.from('{"critical":1}');
    const parts = [
      { manifests: [index], blobs: [] },
      bundleObject(index, [Buffer.from('{"number":1}')]),
      signatureObject(one.manifest.digest, [signatureLayer(payload, 'c2ln')], [payload]),
    ];
    const { source, refer } = await offer([one, ...parts]);
    const found = await source.signatures(await source.resolve(refer(':multi'), never), never);
    expect([textsOf(found), simple(found).length]).toEqual([['{"number":1}'], 1]);
  });

  it('passes over a bundle with other bytes or for another image, and does not call the image unsigned', async () => {
    const good = bundleObject(one.manifest, [Buffer.from('{"number":1}')]);
    const bundle = Buffer.from('{"number":2}');
    const swapped = bundleObject(one.manifest, [bundle]);
    const blobs = swapped.blobs.map((blob) =>
      blob.bytes.equals(bundle) ? { ...blob, bytes: Buffer.from('{}') } : blob,
    );
    const strange = bundleObject(other.manifest, [Buffer.from('{"number":3}')]);
    const listed = [...swapped.manifests.slice(0, -1), ...strange.manifests.slice(0, -1)];
    const bad = { blobs: [...blobs, ...strange.blobs], manifests: listed };
    const listOf = (manifests: readonly SampleManifest[]) =>
      toManifest(
        {
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: manifests.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.byteLength })),
        },
        mediaTypes.ociIndex,
        [referrersTag(one.manifest.digest)],
      );
    const both = [...listed, ...good.manifests.slice(0, -1)];
    const beside = await offer([one, bad, { blobs: good.blobs, manifests: [...both, listOf(both)] }]);
    const found = await beside.source.signatures(await beside.source.resolve(beside.refer(':v1'), never), never);
    expect(textsOf(found)).toEqual(['{"number":1}']);
    const alone = await offer([one, { ...bad, manifests: [...listed, listOf(listed)] }]);
    const image = await alone.source.resolve(alone.refer(':v1'), never);
    await expect(alone.source.signatures(image, never)).rejects.toMatchObject({ code: 'signature-invalid' });
  });

  it('gives what attests a signature beside it, and passes over what is too long', async () => {
    const payload = Buffer.from('{"critical":1}');
    const layer = signatureLayer(payload, 'c2ln') as { annotations: object };
    const beside = (texts: Readonly<Record<string, string>>) => ({
      ...layer,
      annotations: {
        ...layer.annotations,
        ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [`dev.sigstore.cosign/${name}`, text])),
      },
    });
    const layers = [
      beside({ certificate: 'PEM', bundle: '{}', rfc3161timestamp: '{"x":1}' }),
      beside({ certificate: '', chain: 'not read' }),
      beside({ certificate: 'x'.repeat(64 * 1024 + 1) }),
    ];
    const { source, refer } = await offer([one, signatureObject(one.manifest.digest, layers, [payload])]);
    const found = await source.signatures(await source.resolve(refer(':v1'), never), never);
    expect(simple(found).map(({ attested }) => attested)).toEqual([
      { certificate: 'PEM', logEntry: '{}', timestamp: '{"x":1}' },
      undefined,
    ]);
  });

  it('gives the attestations of index and manifest, and no layer of another type beside them', async () => {
    const index = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['multi']);
    const attestations = [Buffer.from('{"number":1}'), Buffer.from('{"number":2}')];
    const parts = [index, one.manifest].map(({ digest }, number) => {
      const bytes = attestations[number]!;
      const layer = {
        mediaType: 'application/vnd.dsse.envelope.v1+json',
        digest: sha256(bytes),
        size: bytes.byteLength,
      };
      const object = signatureObject(digest, [{ ...layer, mediaType: 'text/plain' }, layer], [bytes]);
      const manifests = object.manifests.map((one) => ({ ...one, names: [`${digest.replace(':', '-')}.att`] }));
      return { ...object, manifests };
    });
    const { source, refer } = await offer([one, { manifests: [index], blobs: [] }, ...parts]);
    const found = await source.signatures(await source.resolve(refer(':multi'), never), never);
    expect(found.map((one) => 'envelope' in one && Buffer.from(one.envelope).toString())).toEqual([
      '{"number":1}',
      '{"number":2}',
    ]);
  });

  it('takes no more bundles than may be carried, and no patch for one', async () => {
    const bundles = Array.from({ length: 70 }, (_, number) => Buffer.from(`{"number":${number}}`));
    const { source, refer } = await offer([one, bundleObject(one.manifest, bundles)]);
    const found = await source.signatures(await source.resolve(refer(':v1'), never), never);
    expect(found).toHaveLength(64);
    const patched = await offer([one, patchContent().content]);
    const image = await patched.source.resolve(patched.refer(':v1'), never);
    expect(await patched.source.signatures(image, never)).toEqual([]);
  });

  it('reads no more than 8 MiB beside an image', async () => {
    const bundles = Array.from({ length: 9 }, (_, number) => Buffer.alloc(1024 * 1024, number));
    const { source, refer } = await offer([one, bundleObject(one.manifest, bundles)]);
    const found = await source.signatures(await source.resolve(refer(':v1'), never), never);
    expect(found).toHaveLength(8);
  });

  it('counts what attests signatures among those 8 MiB', async () => {
    const payload = Buffer.from('{"critical":1}');
    const layer = signatureLayer(payload, 'c2ln') as { annotations: object };
    const certificate = 'x'.repeat(62 * 1024);
    const annotations = { ...layer.annotations, 'dev.sigstore.cosign/certificate': certificate };
    const layers = Array.from({ length: 60 }, () => ({ ...layer, annotations }));
    const index = sampleIndex([{ image: one.manifest, architecture: 'amd64' }], ['multi']);
    const objects = [index, one.manifest].map(({ digest }) => signatureObject(digest, layers, [payload]));
    const { source, refer } = await offer([one, { manifests: [index], blobs: [] }, ...objects]);
    const found = await source.signatures(await source.resolve(refer(':multi'), never), never);
    expect(found.length).toBeGreaterThan(60);
    expect(found.length * certificate.length * 2).toBeLessThan(8 * 1024 * 1024);
  });

  it('gives the bytes of a layer in order and ends after them', async () => {
    const large = sampleImage(['big'], 3 * 1024 * 1024 + 12, 3);
    const { source, refer } = await offer([large]);
    const image = await source.resolve(refer(':big'), never);
    expect((await readAll(source.openLayer(image, large.layer, never))).equals(large.layer.bytes)).toBe(true);
  });

  it('gives ranges of a layer, and nothing in between', async () => {
    const large = sampleImage(['big'], 3 * 1024 * 1024 + 12, 3);
    const { source, refer } = await offer([large]);
    const image = await source.resolve(refer(':big'), never);
    const { bytes, sizeBytes } = large.layer;
    const ranges = [
      { offset: 0, sizeBytes: 1 },
      { offset: 1, sizeBytes: 70_000 },
      { offset: 1_000_000, sizeBytes: 700_001 },
      { offset: sizeBytes - 7, sizeBytes: 7 },
    ];
    const want = Buffer.concat(ranges.map((range) => bytes.subarray(range.offset, range.offset + range.sizeBytes)));
    expect((await readAll(source.openLayer(image, large.layer, never, ranges))).equals(want)).toBe(true);
    expect(await readAll(source.openLayer(image, large.layer, never, []))).toHaveLength(0);
  });

  it('refuses ranges that overlap, go back or lead out of the layer', async () => {
    const { source, refer } = await offer([one]);
    const image = await source.resolve(refer(':v1'), never);
    const end = one.layer.sizeBytes;
    for (const ranges of [
      [
        { offset: 0, sizeBytes: 10 },
        { offset: 9, sizeBytes: 10 },
      ],
      [
        { offset: 100, sizeBytes: 10 },
        { offset: 0, sizeBytes: 10 },
      ],
      [{ offset: end - 1, sizeBytes: 2 }],
      [{ offset: 0, sizeBytes: 0 }],
      [{ offset: -1, sizeBytes: 2 }],
    ]) {
      const read = async () => readAll(source.openLayer(image, one.layer, never, ranges));
      await expect(read()).rejects.toThrow(RangeError);
    }
  });

  it('lets a consumer stop in the middle of a layer, and serves on', async () => {
    const large = sampleImage(['big'], 3 * 1024 * 1024, 3);
    const { source, refer } = await offer([large]);
    const image = await source.resolve(refer(':big'), never);
    for await (const piece of source.openLayer(image, large.layer, never)) {
      expect(piece.byteLength).toBeGreaterThan(0);
      break;
    }
    expect((await readAll(source.openLayer(image, large.layer, never))).byteLength).toBe(large.layer.sizeBytes);
  });

  it('rejects with the reason of an aborted signal', async () => {
    const { source, refer } = await offer([one]);
    const image = await source.resolve(refer(':v1'), never);
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await expect(source.resolve(refer(':v1'), aborted)).rejects.toBe(reason);
    await expect(source.signatures(image, aborted)).rejects.toBe(reason);
    await expect(readAll(source.openLayer(image, one.layer, aborted))).rejects.toBe(reason);
  });

  it('rejects in the middle of a layer when it is aborted there', async () => {
    const large = sampleImage(['big'], 3 * 1024 * 1024, 3);
    const { source, refer } = await offer([large]);
    const image = await source.resolve(refer(':big'), never);
    const reason = new Error('enough');
    const control = new AbortController();
    const reading = async () => {
      for await (const piece of source.openLayer(image, large.layer, control.signal)) {
        if (piece.byteLength > 0) control.abort(reason);
      }
    };
    await expect(reading()).rejects.toBe(reason);
  });

  it('rejects a layer that the store lacks', async () => {
    const { source, refer } = await offer([one]);
    const image = await source.resolve(refer(':v1'), never);
    const absent = { digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 10 };
    const code = expect.stringMatching(/^(image-not-found|archive-invalid)$/) as string;
    await expect(readAll(source.openLayer(image, absent, never))).rejects.toMatchObject({ code });
  });
});
