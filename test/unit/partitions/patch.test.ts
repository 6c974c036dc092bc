import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { PartitionError } from '../../../partitions/errors.ts';
import { encodePatchHead } from '../../../partitions/patch/encode-head.ts';
import { parsePatchHead, type PatchRegion } from '../../../partitions/patch/patch-head.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import {
  deviceBytes,
  estimate,
  imageOf,
  isWritten,
  layerOf,
  nodeWith,
  offerOf,
  type PatchedImage,
  patchOf,
  update,
} from './patch-samples.ts';
import { codeOf, collect, sampleBytes, zstdTool } from './samples.ts';

const kibibyte = 1024;

/** Files of 40 to 300 KiB, block by block as in a file system. */
function systemOf(files: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    files.map((file) => Buffer.concat([file, Buffer.alloc((4096 - (file.byteLength % 4096)) % 4096)])),
  );
}

const files = Array.from({ length: 16 }, (_, index) => sampleBytes((40 + 17 * index) * kibibyte + 123, index + 1));

/** A file as a new release has it: bytes put in near its start, and some changed every 3 KiB. */
function released(file: Uint8Array): Uint8Array {
  const changed = Buffer.concat([file.subarray(0, 500), Buffer.from('a new release'), file.subarray(500)]);
  for (let at = 2000; at < changed.byteLength; at += 3000) changed[at] = (changed[at] ?? 0) ^ 0x55;
  return changed;
}

const old = systemOf(files);
const changed = systemOf(files.map((file, index) => (index % 5 === 2 ? released(file) : file)));

/** The blocks that a region refers to. */
function dictionaryOf({ ranges }: Pick<PatchRegion, 'ranges'>): Buffer {
  return Buffer.concat(
    ranges.map(({ firstBlock, blockCount }) => old.subarray(firstBlock * 4096, (firstBlock + blockCount) * 4096)),
  );
}

interface Sample {
  readonly image: PatchedImage;
  readonly patch: Awaited<ReturnType<typeof patchOf>>;
}

let made: Promise<Sample> | undefined;

async function sample(): Promise<Sample> {
  made ??= (async () => {
    const image = await imageOf(changed);
    return { image, patch: await patchOf(old, image) };
  })();
  return made;
}

describe('the head of a patch', () => {
  const golden = () =>
    encodePatchHead({ contentSizeBytes: 1_000_000, frameCount: 16, blockCount: 700 }, [
      {
        payloadSizeBytes: 300,
        contentSizeBytes: 196_608,
        runs: [
          { firstFrame: 1, frameCount: 2 },
          { firstFrame: 5, frameCount: 1 },
        ],
        ranges: [
          { firstBlock: 10, blockCount: 20 },
          { firstBlock: 690, blockCount: 10 },
        ],
      },
      { payloadSizeBytes: 77, contentSizeBytes: 16_960, runs: [{ firstFrame: 15, frameCount: 1 }], ranges: [] },
    ]);
  const goldenImage = () => imageOf(sampleBytes(1_000_000));

  it('has the bytes that version 1 has', () => {
    const path = join(import.meta.dirname, 'fixtures', 'patch-head-v1.bin');
    expect(Buffer.from(golden()).equals(readFileSync(path))).toBe(true);
  });

  it('is read as it was written, and skips what a newer writer adds to its fixed part', async () => {
    const { table } = await goldenImage();
    const head = golden();
    const regions = parsePatchHead(head, head.byteLength + 377, table, 700 * 4096);
    expect(regions.map(({ payload }) => payload)).toEqual([
      { offset: head.byteLength, sizeBytes: 300 },
      { offset: head.byteLength + 300, sizeBytes: 77 },
    ]);
    expect(regions[0]?.runs[1]).toEqual({ firstFrame: 5, frameCount: 1 });
    expect(regions[0]?.ranges[1]).toEqual({ firstBlock: 690, blockCount: 10 });
    const longer = Buffer.concat([head.subarray(0, 64), Buffer.alloc(8, 7), head.subarray(64)]);
    longer.writeUInt32LE(72, 8);
    expect(parsePatchHead(longer, longer.byteLength + 377, table, 700 * 4096)[1]?.runs).toEqual(regions[1]?.runs);
  });

  it('is refused when it is cut, longer, for another partition, or for more blocks than are booted', async () => {
    const { table } = await goldenImage();
    const head = golden();
    const parse = (bytes: Uint8Array, layerBytes = head.byteLength + 377, oldBytes = 700 * 4096) =>
      codeOf(async () => parsePatchHead(bytes, layerBytes, table, oldBytes));
    for (let cut = 0; cut < head.byteLength; cut += 1) expect(await parse(head.subarray(0, cut))).toBe('patch-invalid');
    expect(await parse(Buffer.concat([head, Buffer.alloc(1)]))).toBe('patch-invalid');
    expect(await parse(head, head.byteLength + 378)).toBe('patch-invalid');
    expect(await parse(head, head.byteLength + 377, 700 * 4096 - 1)).toBe('patch-invalid');
    const { table: other } = await imageOf(sampleBytes(999_999));
    expect(await codeOf(async () => parsePatchHead(head, head.byteLength + 377, other, 700 * 4096))).toBe(
      'patch-invalid',
    );
  });

  it('says nothing out of bounds with any of its bits turned', async () => {
    const { table } = await goldenImage();
    const head = golden();
    for (let bit = 0; bit < head.byteLength * 8; bit += 1) {
      const turned = Buffer.from(head);
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      try {
        let nextFrame = 0;
        for (const { payload, runs, ranges } of parsePatchHead(turned, head.byteLength + 377, table, 700 * 4096)) {
          expect(payload.offset + payload.sizeBytes).toBeLessThanOrEqual(head.byteLength + 377);
          for (const { firstFrame, frameCount } of runs) {
            expect(firstFrame).toBeGreaterThanOrEqual(nextFrame);
            nextFrame = firstFrame + frameCount;
          }
          for (const { firstBlock, blockCount } of ranges) expect(firstBlock + blockCount).toBeLessThanOrEqual(700);
          expect(nextFrame).toBeLessThanOrEqual(16);
        }
      } catch (error) {
        if (!(error instanceof PartitionError) || error.code !== 'patch-invalid') throw error;
      }
    }
  });
});

describe('a patch', () => {
  it('is the same for the same contents, and its payloads are what zstd --patch-from reads', async () => {
    const { image, patch } = await sample();
    expect(Buffer.from((await patchOf(old, image)).bytes).equals(Buffer.from(patch.bytes))).toBe(true);
    const [region] = patch.regions;
    expect(region).toBeDefined();
    const dictionary = dictionaryOf(region!);
    expect(dictionary.byteLength).toBeGreaterThan(0);
    const folder = mkdtempSync(join(tmpdir(), 'kaon-patch-'));
    try {
      writeFileSync(join(folder, 'old'), dictionary);
      const content = zstdTool(['-d', `--patch-from=${join(folder, 'old')}`], region!.payload);
      expect(content.byteLength).toBe(region!.contentSizeBytes);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('gives what changed for a small part of the bytes, and nothing else of the layer is fetched', async () => {
    const { image, patch } = await sample();
    const byIndex = nodeWith(old);
    const without = await update(byIndex, image);
    const node = nodeWith(old);
    const took = await update(node, image, { patch });
    expect(isWritten(node, image)).toBe(true);
    expect(took.faults).toEqual([]);
    expect(took.layerBytes).toBe(0);
    expect(took.patchedBytes).toBeGreaterThan(0);
    expect(took.patchBytes).toBe(patch.bytes.byteLength);
    expect(took.patchBytes).toBeLessThan(without.layerBytes / 8);
    expect(took.indexBytes).toBeLessThanOrEqual(without.indexBytes);
  });

  it('is left alone where what it gives costs less in the layer', async () => {
    const { image, patch } = await sample();
    const node = nodeWith(old);
    const large = { ...patch.offer, headSizeBytes: 3 * 1024 * kibibyte };
    const took = await update(node, image, { patch: { ...patch, offer: large } });
    expect(took).toMatchObject({ patchBytes: 0, patchedBytes: 0 });
    expect(isWritten(node, image)).toBe(true);
  });

  it('for a booted slot that is not like the image is not paid for', async () => {
    const { image, patch } = await sample();
    const node = nodeWith(sampleBytes(2_000_000, 99));
    const took = await update(node, image, { patch });
    expect(isWritten(node, image)).toBe(true);
    const whole = image.bytes.byteLength + image.indexBytes.byteLength;
    expect(took.allBytes).toBeLessThanOrEqual(whole);
  });
});

describe('an estimate', () => {
  /** A node that hashed its booted slot in an earlier update and kept the digests. */
  async function knowingNode(booted: Uint8Array = old) {
    const node = nodeWith(booted);
    await update(node, (await sample()).image);
    return node;
  }

  it('says what the ways to a partition would fetch, as the write then does', async () => {
    const { image, patch } = await sample();
    const node = await knowingNode();
    const { ways } = await estimate(node, image, patch);
    expect(ways).toMatchObject({ name: 'root', fullBytes: image.bytes.byteLength, way: 'patch' });
    node.devices.disk('b', 'root').corrupt(0, new Uint8Array(deviceBytes));
    const took = await update(node, image, { patch });
    expect(took.patchBytes + took.indexBytes + took.layerBytes).toBe(ways?.patchBytes);
    const { ways: without } = await estimate(node, image);
    expect(without).toMatchObject({ way: 'index', indexBytes: ways?.indexBytes });
    expect(without?.patchBytes).toBeUndefined();
    node.devices.disk('b', 'root').corrupt(0, new Uint8Array(deviceBytes));
    const byIndex = await update(node, image);
    // What it learns of the index spares frames, so that it is no more than that.
    expect(byIndex.indexBytes + byIndex.layerBytes).toBeLessThanOrEqual(without?.indexBytes ?? 0);
  });

  it('writes nothing, and keeps nothing but what was kept before', async () => {
    const { image, patch } = await sample();
    const node = await knowingNode();
    const before = Buffer.from(node.devices.disk('b', 'root').durableBytes());
    await estimate(node, image, patch);
    expect(before.equals(node.devices.disk('b', 'root').durableBytes())).toBe(true);
    const { ways } = await estimate(node, image, patch);
    expect(ways?.way).toBe('patch');
  });

  it('knows the whole layer alone where nothing is kept of the booted slot, or it holds something else', async () => {
    const { image, patch } = await sample();
    const whole = { name: 'root', fullBytes: image.bytes.byteLength, way: 'full' };
    expect((await estimate(nodeWith(old), image, patch)).ways).toEqual(whole);
    const node = await knowingNode();
    node.devices.disk('a', 'root').corrupt(0, sampleBytes(old.byteLength, 77));
    expect((await estimate(node, image, patch)).ways).toEqual(whole);
  });

  it('tells of a patch that cannot be read, and counts without it', async () => {
    const { image, patch } = await sample();
    const bytes = Buffer.from(patch.bytes);
    bytes[0] = 0;
    const { ways, faults } = await estimate(await knowingNode(), image, {
      bytes,
      offer: offerOf(bytes, patch.offer.headSizeBytes),
    });
    expect(ways?.way).toBe('index');
    expect(faults).toHaveLength(1);
  });
});

describe('a patch that lies', () => {
  /** Plays it, and expects the image for never more than the whole of it. */
  async function expectHarmless(patch: Pick<Sample['patch'], 'bytes' | 'offer'>, booted: Uint8Array = old) {
    const { image } = await sample();
    const node = nodeWith(booted);
    const took = await update(node, image, { patch });
    expect(isWritten(node, image)).toBe(true);
    expect(took.allBytes).toBeLessThanOrEqual(image.bytes.byteLength + image.indexBytes.byteLength);
    return took;
  }

  it('of its bytes, anywhere, ends in the image', async () => {
    const { patch } = await sample();
    const random = new SeededRandom(5);
    for (let turn = 0; turn < 12; turn += 1) {
      const bytes = Buffer.from(patch.bytes);
      const at = random.below(bytes.byteLength);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      await expectHarmless({ bytes, offer: { ...offerOf(bytes, patch.offer.headSizeBytes) } });
    }
  });

  it('about which blocks it needs ends in the image, and is told of', async () => {
    const { image, patch } = await sample();
    const regions = patch.regions.map((region) => ({
      ...region,
      ranges: region.ranges.map(({ blockCount }) => ({ firstBlock: 0, blockCount })),
    }));
    const honest = await expectHarmless(patch);
    const took = await expectHarmless(layerOf(old, image, regions));
    expect(took.patchedBytes).toBeLessThan(honest.patchedBytes);
    expect(took.faults).toHaveLength(1);
  });

  it('about the memory that a payload takes is not believed, whatever it would give', async () => {
    const { image, patch } = await sample();
    const regions = await Promise.all(
      patch.regions.map(async (region) => {
        const dictionary = dictionaryOf(region);
        const content = zlib.zstdDecompressSync(region.payload, { dictionary });
        // What comes in pieces is of unknown size to zstd, which then states the window that it was told.
        const stream = zlib.createZstdCompress({ dictionary, params: { [zlib.constants.ZSTD_c_windowLog]: 27 } });
        stream.write(content.subarray(0, 4096));
        stream.end(content.subarray(4096));
        const payload = await collect(stream);
        return { ...region, payload, payloadSizeBytes: payload.byteLength };
      }),
    );
    const took = await expectHarmless(layerOf(old, image, regions));
    expect(took.patchBytes).toBeGreaterThan(0);
    expect(took.patchedBytes).toBe(0);
  });

  it('with payloads that decode to more than they state, or not at all, ends in the image', async () => {
    const { image, patch } = await sample();
    const bomb = zlib.zstdCompressSync(Buffer.alloc(64 * 1024 * kibibyte));
    for (const payload of [bomb, Buffer.from('no zstd at all')]) {
      const regions = patch.regions.map((region) => ({ ...region, payload, payloadSizeBytes: payload.byteLength }));
      const took = await expectHarmless(layerOf(old, image, regions));
      expect(took.patchedBytes).toBe(0);
      expect(took.faults.length).toBeGreaterThan(0);
    }
  });

  it('about one region alone still gives the others', async () => {
    const { image } = await sample();
    const halves = await patchOf(old, await imageOf(changed));
    const [first] = halves.regions;
    expect(first).toBeDefined();
    const broken = { ...first!, payload: Buffer.alloc(first!.payload.byteLength, 1) };
    const took = await expectHarmless(layerOf(old, image, [broken, ...halves.regions.slice(1)]));
    expect(took.patchedBytes > 0).toBe(halves.regions.length > 1);
  });

  it('and a source that fails in its middle leave the rest to the index', async () => {
    const { image, patch } = await sample();
    const node = nodeWith(old);
    const took = await update(node, image, {
      patch,
      source: (digest, usual, ranges) =>
        digest === patch.offer.layerDigest && (ranges?.[0]?.offset ?? 0) > 0 ? failing() : usual(digest, ranges),
    });
    expect(isWritten(node, image)).toBe(true);
    expect(took.faults).toHaveLength(1);
    expect(took.layerBytes).toBeGreaterThan(0);
  });

  it('about another booted slot than the one that runs ends in the image', async () => {
    const { patch } = await sample();
    const booted = Buffer.from(old);
    for (let at = 0; at < booted.byteLength; at += 9000) booted[at] = 1;
    await expectHarmless(patch, booted);
  });
});

async function* failing(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(10);
  throw new PartitionError('download-truncated', 'cannot read the layer: its source failed');
}

describe('patches of random images', () => {
  it('give what was signed, byte for byte, for never more than the whole', async () => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const random = new SeededRandom(seed);
      const before = Array.from({ length: 1 + random.below(10) }, () =>
        random.below(8) === 0
          ? Buffer.alloc(random.below(100_000))
          : sampleBytes(1 + random.below(200_000), 1 + random.below(1e6)),
      );
      const after = before.flatMap((file) => {
        const kind = random.below(5);
        if (kind === 0) return [];
        if (kind === 1) return [released(Buffer.concat([file, Buffer.alloc(600)])), file];
        return kind === 2 ? [sampleBytes(1 + random.below(50_000), random.below(1e6)), file] : [file];
      });
      const content = systemOf(after).subarray(0, 3_900_000 - random.below(3));
      if (content.byteLength === 0) continue;
      const booted = systemOf(before).subarray(0, 3_999_999);
      const image = await imageOf(content, random);
      const patch = await patchOf(booted, image);
      const node = nodeWith(booted);
      const took = await update(node, image, { patch });
      expect({ seed, faults: took.faults, isWritten: isWritten(node, image) }).toEqual({
        seed,
        faults: [],
        isWritten: true,
      });
      expect(took.allBytes).toBeLessThanOrEqual(image.bytes.byteLength + image.indexBytes.byteLength);
    }
  });
});
