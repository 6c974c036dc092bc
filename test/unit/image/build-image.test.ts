import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseImageConfig, partitionLayers } from '../../../agent/core/image-format/image-config.ts';
import { mediaTypes, parseManifest } from '../../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { BuildInput } from '../../../agent/image/build-image.ts';
import { inspectImage } from '../../../agent/image/inspect-image.ts';
import { readFrames, readIndexHead } from '../../../partitions/block-index/read-index.ts';
import { decodeLayer } from '../../../partitions/frames/decode-layer.ts';
import { patternBytes, sha256 } from '../../fakes/sample-image.ts';
import { rangesOf } from '../partitions/index-samples.ts';
import { zstdTool } from '../partitions/samples.ts';
import { buildSample, layoutSource, makeFolder, never, partitionBytes } from './samples.ts';

const reference = parseReference('registry.test/os/edge:v1');
const decompress = promisify(zlib.zstdDecompress);
const root = partitionBytes(300_000, 1);
const boot = partitionBytes(64 * 1024, 2);
let folder: Awaited<ReturnType<typeof makeFolder>>;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => folder.remove());

const blob = (layout: string, digest: string) => readFile(join(layout, 'blobs', digest.replace(':', '/')));

async function* inOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe('a built image', () => {
  it('reads back as what it was built from', async () => {
    const versions = { minimumAgent: '0.1.0', agentVersion: '0.2.0' };
    const built = await buildSample(folder.path, { root, boot }, versions);
    const image = await layoutSource(built.layout).resolve(reference, never);
    expect(image.resolvedDigest).toBe(built.digest);
    const config = parseImageConfig(image.configBytes);
    expect(config).toMatchObject({
      name: 'edge',
      version: '1.2.3',
      compatible: ['board-1'],
      rollbackIndex: 4,
      ...versions,
    });
    const manifest = parseManifest(image.manifestBytes);
    expect(manifest.artifactType).toBe(mediaTypes.kaonArtifact);
    expect(partitionLayers(manifest, config)).toMatchObject([
      { name: 'root', encoding: 'zstd', contentSizeBytes: 300_000, contentDigest: sha256(root) },
      { name: 'boot', encoding: 'zstd', contentSizeBytes: 64 * 1024, contentDigest: sha256(boot) },
    ]);
  });

  it('names the digests and sizes of the layers that it holds', async () => {
    const built = await buildSample(folder.path, { root, boot });
    for (const [part, content] of [
      [built.partitions[0]!, root],
      [built.partitions[1]!, boot],
    ] as const) {
      const layer = await blob(built.layout, part.layerDigest);
      expect(sha256(layer)).toBe(part.layerDigest);
      expect(layer.byteLength).toBe(part.layerSizeBytes);
      expect(layer.byteLength).toBeLessThan(content.byteLength);
    }
  });

  it('holds layers that a plain zstd decoder and ours both decode to the content', async () => {
    const built = await buildSample(folder.path, { root });
    const layer = await blob(built.layout, built.partitions[0]!.layerDigest);
    expect((await decompress(layer)).equals(root)).toBe(true);
    const pieces: Uint8Array[] = [];
    for await (const piece of decodeLayer('zstd', inOne(layer))) pieces.push(piece);
    expect(Buffer.concat(pieces).equals(root)).toBe(true);
    expect(pieces.length).toBe(Math.ceil(root.byteLength / (64 * 1024)));
  });

  it('carries boot payloads as the bytes of their files, with the options for them', async () => {
    const files = { kernel: partitionBytes(50_000, 7), initrd: partitionBytes(20_000, 8) };
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder.path, name), bytes);
    const payloads = (['kernel', 'initrd'] as const).map((role) => ({ role, file: join(folder.path, role) }));
    const built = await buildSample(folder.path, { root }, { payloads, bootOptions: 'quiet ro' });
    expect(built.payloads).toEqual([
      { role: 'kernel', layerDigest: sha256(files.kernel), layerSizeBytes: 50_000 },
      { role: 'initrd', layerDigest: sha256(files.initrd), layerSizeBytes: 20_000 },
    ]);
    expect((await blob(built.layout, sha256(files.kernel))).equals(files.kernel)).toBe(true);
    const inspected = await inspectImage(layoutSource(built.layout), reference, never);
    expect(inspected.boot).toEqual({ payloads: built.payloads, options: 'quiet ro' });
    expect(inspected.layers).toHaveLength(1);
  });

  it('holds a block index that lists the frames of its layer, bound to the config', async () => {
    const built = await buildSample(folder.path, { root, boot });
    const image = await layoutSource(built.layout).resolve(reference, never);
    const layers = partitionLayers(parseManifest(image.manifestBytes), parseImageConfig(image.configBytes));
    for (const [{ index, contentSizeBytes, layerDigest }, content] of [
      [layers[0]!, root],
      [layers[1]!, boot],
    ] as const) {
      const bytes = rangesOf(await blob(built.layout, index!.layerDigest));
      const layer = await blob(built.layout, layerDigest);
      const head = await readIndexHead(index!, contentSizeBytes, bytes);
      let frames = 0;
      for await (const frame of readFrames(head, bytes)) {
        const { compressedOffsetBytes: from, compressedSizeBytes, contentOffsetBytes, contentSizeBytes: size } = frame;
        const decoded = await decompress(layer.subarray(from, from + compressedSizeBytes));
        expect(decoded.equals(content.subarray(contentOffsetBytes, contentOffsetBytes + size))).toBe(true);
        expect(sha256(decoded)).toBe(`sha256:${Buffer.from(frame.sha256).toString('hex')}`);
        frames += 1;
      }
      expect(frames).toBe(Math.ceil(content.byteLength / (64 * 1024)));
    }
  });

  it('cuts frames by the previous image, so that an update from it fetches what is new and little else', async () => {
    const kibibytes = (count: number, seed: number) => patternBytes(count * 1024, seed);
    const old = Buffer.concat([kibibytes(400, 1), kibibytes(300, 2), Buffer.alloc(200 * 1024)]);
    const changed = Buffer.concat([
      kibibytes(40, 3),
      old.subarray(0, 400 * 1024),
      kibibytes(60, 4),
      old.subarray(400 * 1024),
    ]);
    const first = await buildSample(folder.path, { root: old }, { outputDirectory: join(folder.path, 'old') });
    expect(first.partitions[0]?.fromPreviousBytes).toBeUndefined();
    const previous = layoutSource(first.layout, 'v1');
    const plain = await buildSample(folder.path, { root: changed });
    const built = await buildSample(folder.path, { root: changed }, { previous });
    const { layerDigest, contentDigest, fromPreviousBytes } = built.partitions[0]!;
    expect(zstdTool(['-d'], await blob(built.layout, layerDigest)).equals(changed)).toBe(true);
    expect(contentDigest).toBe(plain.partitions[0]!.contentDigest);
    expect(layerDigest).not.toBe(plain.partitions[0]!.layerDigest);
    expect(fromPreviousBytes).toBeGreaterThan(90 * 1024);
    expect(fromPreviousBytes).toBeLessThan(102 * 1024);
    const again = await buildSample(
      folder.path,
      { root: changed },
      { previous, outputDirectory: join(folder.path, 'new') },
    );
    expect(again.digest).toBe(built.digest);
  });

  it('refuses a previous image without the partition', async () => {
    const first = await buildSample(folder.path, { boot }, { outputDirectory: join(folder.path, 'old') });
    const previous = layoutSource(first.layout, 'v1');
    await expect(buildSample(folder.path, { root }, { previous })).rejects.toMatchObject({ code: 'usage-invalid' });
  });

  it('is the same for the same input, wherever it is built', async () => {
    const first = await buildSample(folder.path, { root, boot });
    const again = await buildSample(folder.path, { root, boot }, { outputDirectory: join(folder.path, 'again') });
    expect(again.digest).toBe(first.digest);
    expect(await readFile(join(again.layout, 'index.json'))).toEqual(await readFile(join(first.layout, 'index.json')));
    const over = await buildSample(folder.path, { root, boot });
    expect(over.digest).toBe(first.digest);
  });

  it('is another for other content, other facts or other frames', async () => {
    const digests = new Set<string>();
    for (const change of [{}, { version: '1.2.4' }, { rollbackIndex: 5 }, { frameSizeBytes: 32 * 1024 }]) {
      digests.add((await buildSample(folder.path, { root }, change)).digest);
    }
    digests.add((await buildSample(folder.path, { root: boot })).digest);
    expect(digests.size).toBe(5);
  });

  it('lies beside the images that the layout holds, and takes the place of its name', async () => {
    const first = await buildSample(folder.path, { root });
    const second = await buildSample(folder.path, { root: boot }, { refName: 'v2' });
    const found = (tag: string) => layoutSource(first.layout).resolve(parseReference(`registry.test/os:${tag}`), never);
    expect((await found('v1')).resolvedDigest).toBe(first.digest);
    expect((await found('v2')).resolvedDigest).toBe(second.digest);
    const third = await buildSample(folder.path, { root: boot }, { version: '3.0.0' });
    expect((await found('v1')).resolvedDigest).toBe(third.digest);
  });
});

describe('building an image', () => {
  const nothing = new Uint8Array(0);

  it('refuses an empty file, a missing one and a directory, and names file and partition', async () => {
    await expect(buildSample(folder.path, { root: nothing })).rejects.toMatchObject({
      code: 'usage-invalid',
      message: expect.stringMatching(/root\.img for partition root: it is empty/) as string,
    });
    for (const file of [join(folder.path, 'none.img'), folder.path]) {
      await expect(buildSample(folder.path, {}, { partitions: [{ name: 'root', file }] })).rejects.toMatchObject({
        code: 'usage-invalid',
        message: expect.stringContaining(file) as string,
      });
    }
  });

  it('refuses boot options without a kernel, an empty kernel, and payloads that a node would refuse', async () => {
    const build = (change: Partial<BuildInput>) => buildSample(folder.path, { root }, change);
    await expect(build({ bootOptions: 'quiet' })).rejects.toMatchObject({ code: 'usage-invalid' });
    const file = join(folder.path, 'payload');
    await writeFile(file, nothing);
    await expect(build({ payloads: [{ role: 'kernel', file }] })).rejects.toMatchObject({
      code: 'usage-invalid',
      message: expect.stringContaining('payload for the kernel: it is empty') as string,
    });
    await writeFile(file, boot);
    await expect(build({ payloads: [{ role: 'initrd', file }] })).rejects.toMatchObject({ code: 'manifest-invalid' });
  });

  it('refuses an image without partitions', async () => {
    await expect(buildSample(folder.path, {})).rejects.toMatchObject({ code: 'usage-invalid' });
  });

  it.each([0, -1, 1.5, 4095, 5000, Number.NaN, 8 * 1024 * 1024 + 1])(
    'refuses frames of %s bytes',
    async (frameSizeBytes) => {
      await expect(buildSample(folder.path, { root }, { frameSizeBytes })).rejects.toMatchObject({
        code: 'usage-invalid',
      });
    },
  );

  it.each(['', 'Root', '../root', 'ro ot', '-root', '__proto__', 'a'.repeat(33)])(
    'refuses the partition name %j',
    async (name) => {
      const { path } = folder;
      await buildSample(path, { root });
      const partitions = [{ name, file: join(path, 'root.img') }];
      await expect(buildSample(path, {}, { partitions })).rejects.toMatchObject({ code: 'manifest-invalid' });
    },
  );

  it.each([
    ['no name', { name: '' }],
    ['no kind of node', { compatible: [] }],
    ['a rollback index below zero', { rollbackIndex: -1 }],
    ['a minimum agent that is no version', { minimumAgent: 'new' }],
  ])('refuses %s, as a node would', async (_what, change) => {
    await expect(buildSample(folder.path, { root }, change)).rejects.toMatchObject({ code: 'manifest-invalid' });
  });

  it('refuses a partition twice, and two partitions of the same content, which a node cannot tell apart', async () => {
    const file = join(folder.path, 'root.img');
    await buildSample(folder.path, { root }, { outputDirectory: join(folder.path, 'other') });
    for (const names of [
      ['root', 'root'],
      ['root', 'boot'],
    ]) {
      const partitions = names.map((name) => ({ name, file }));
      await expect(buildSample(folder.path, {}, { partitions })).rejects.toMatchObject({ code: 'manifest-invalid' });
    }
  });

  it('names nothing and leaves no half of a file behind when it is refused', async () => {
    await expect(buildSample(folder.path, { root, boot: nothing })).rejects.toMatchObject({ code: 'usage-invalid' });
    const layout = join(folder.path, 'image');
    await expect(stat(join(layout, 'index.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(join(layout, 'blobs'))).toEqual(['sha256']);
  });

  it('leaves a directory that holds something else alone', async () => {
    const layout = join(folder.path, 'image');
    await buildSample(folder.path, { root });
    await rm(join(layout, 'oci-layout'));
    await expect(buildSample(folder.path, { root })).rejects.toMatchObject({ code: 'archive-invalid' });
    await mkdir(join(folder.path, 'empty'));
    await expect(
      buildSample(folder.path, { root }, { outputDirectory: join(folder.path, 'empty') }),
    ).resolves.toBeDefined();
  });
});
