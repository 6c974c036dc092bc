import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestBlocks } from '../../../partitions/block-index/block-digest.ts';
import { SegmentCutter } from '../../../partitions/block-index/cut-segments.ts';
import { BlockIndexEncoder } from '../../../partitions/block-index/encode-index.ts';
import { decodeFrameEntries } from '../../../partitions/block-index/frame-entries.ts';
import { IndexHead } from '../../../partitions/block-index/index-head.ts';
import { blockBytes, digestBytes, indexLimits } from '../../../partitions/block-index/layout.ts';
import type { IndexBytes } from '../../../partitions/block-index/part-reader.ts';
import { readFrames, readIndexHead, readSegments } from '../../../partitions/block-index/read-index.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { asLayer, contentOf, encodeIndex, rangesOf, sampleBlock } from './index-samples.ts';
import { codeOf } from './samples.ts';

const frameBytes = 4 * blockBytes;
/** Sixteen blocks: a frame of zeros, repeated blocks, zeros in between, and a part of a block at the end. */
const goldenSeeds = [1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 7, 8, 0, 0, 0, 0, 9];
const goldenRule = { minBlocks: 1, everyBlocks: 2, maxBlocks: 4, zeroRunBlocks: 3 };
const goldenContent = contentOf(goldenSeeds, 1000);
const golden = () => asLayer(encodeIndex(goldenContent, frameBytes, { framesPerGroup: 2, cutRule: goldenRule }));
const every = (count: number) => Array.from({ length: count }, (_, index) => index);

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
}

/** Everything that an index says of `content`, read back by ranges. */
async function readAll(layer: ReturnType<typeof asLayer>, contentSizeBytes: number) {
  const bytes = rangesOf(layer.bytes);
  const head = await readIndexHead(layer.signed, contentSizeBytes, bytes);
  const frames = await all(readFrames(head, bytes));
  const segments = await all(readSegments(head, bytes, every(head.segmentCount)));
  const digests = new Uint8Array(head.blockCount * digestBytes);
  for (const { segment, digests: part } of segments) digests.set(part, segment.firstBlock * digestBytes);
  return { head, frames, digests };
}

describe('a block index', () => {
  it('has the bytes that version 1 has', () => {
    const path = join(import.meta.dirname, 'fixtures', 'block-index-v1.bin');
    expect(golden().bytes.equals(readFileSync(path))).toBe(true);
  });

  it('tells each frame of the golden file, also those of zeros and the last part of one', async () => {
    const layer = asLayer(encodeIndex(goldenContent, frameBytes, { framesPerGroup: 2, cutRule: goldenRule }));
    const { head, frames } = await readAll(layer, goldenContent.byteLength);
    expect(frames.map(({ isZero }) => isZero)).toEqual([false, true, false, true, false]);
    expect(frames.map(({ contentSizeBytes }) => contentSizeBytes)).toEqual([16384, 16384, 16384, 16384, 5096]);
    let compressed = 0;
    for (const frame of frames) {
      const content = goldenContent.subarray(frame.contentOffsetBytes).subarray(0, frame.contentSizeBytes);
      expect(Buffer.from(frame.sha256)).toEqual(createHash('sha256').update(content).digest());
      expect(frame.compressedOffsetBytes).toBe(compressed);
      compressed += frame.compressedSizeBytes;
    }
    expect(head.framesSizeBytes).toBe(compressed);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('gives back frames and digests of random content %i', async (seed) => {
    const random = new SeededRandom(seed);
    const seeds = every(random.below(400)).flatMap(() =>
      random.below(4) > 0 ? [1 + random.below(50)] : Array<number>(random.below(9)).fill(0),
    );
    const content = contentOf(seeds, 1 + random.below(blockBytes - 1));
    const size = blockBytes * (1 + random.below(8));
    const layer = asLayer(
      encodeIndex(content, size, {
        framesPerGroup: 1 + random.below(5),
        cutRule: { ...goldenRule, maxBlocks: 1 + random.below(40) },
      }),
    );
    const { head, frames, digests } = await readAll(layer, content.byteLength);
    expect(Buffer.from(digests).equals(digestBlocks(content))).toBe(true);
    expect(head.frameCount).toBe(frames.length);
    for (const frame of frames) {
      const part = content.subarray(frame.contentOffsetBytes, frame.contentOffsetBytes + frame.contentSizeBytes);
      expect(Buffer.from(frame.sha256).equals(createHash('sha256').update(part).digest())).toBe(true);
      expect(frame.isZero).toBe(part.byteLength === size && part.every((byte) => byte === 0));
    }
    expect(frames.at(-1)?.contentOffsetBytes).toBe((frames.length - 1) * size);
  });

  it('costs 16 bytes a block and next to nothing for zeros', () => {
    const full = asLayer(encodeIndex(contentOf(every(2048).map((seed) => seed + 1)), 16 * blockBytes));
    expect(full.bytes.byteLength).toBeLessThan(2048 * digestBytes * 1.25);
    const encoder = new BlockIndexEncoder(16 * blockBytes);
    const zeros = new Uint8Array(16 * blockBytes);
    for (let frame = 0; frame < 4096; frame += 1) encoder.add(zeros, 21);
    expect(encoder.finish().sizeBytes).toBeLessThan(3000); // for 256 MiB
  });

  it('lists frames of any number of blocks, up to a whole one', async () => {
    const encoder = new BlockIndexEncoder(frameBytes, { framesPerGroup: 3 });
    const sizes = [1, 4, 2, 4, 4, 3].map((blocks) => blocks * blockBytes).concat(77);
    const content = contentOf([1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0, 8, 9, 10], 77);
    let at = 0;
    for (const size of sizes) encoder.add(content.subarray(at, (at += size)), 50);
    const { frames, head } = await readAll(asLayer(encoder.finish()), content.byteLength);
    expect(frames.map(({ contentSizeBytes }) => contentSizeBytes)).toEqual(sizes);
    expect(frames.map(({ isZero }) => isZero)).toEqual([false, false, false, true, true, false, false]);
    expect(head.group(1)).toMatchObject({ firstFrame: 3, frameCount: 3, firstBlock: 7, blockCount: 11 });
  });

  it('is the same for the same frames', () => {
    expect(golden().bytes.equals(golden().bytes)).toBe(true);
  });

  it('lists a frame of zeros like any other where its compressed size differs', async () => {
    const encoder = new BlockIndexEncoder(blockBytes);
    for (const size of [21, 22, 21]) encoder.add(sampleBlock(0), size);
    const { frames } = await readAll(asLayer(encoder.finish()), 3 * blockBytes);
    expect(frames.map(({ isZero, compressedSizeBytes }) => [isZero, compressedSizeBytes])).toEqual([
      [true, 21],
      [false, 22],
      [true, 21],
    ]);
  });
});

describe('reading a block index', () => {
  const layer = golden();
  const size = goldenContent.byteLength;

  it('asks for the head alone, and for the parts that are wanted, near ones in one range', async () => {
    const asked: { offset: number; sizeBytes: number }[] = [];
    const bytes = rangesOf(layer.bytes, asked);
    const head = await readIndexHead(layer.signed, size, bytes);
    expect(asked).toEqual([{ offset: 0, sizeBytes: layer.signed.headSizeBytes }]);
    asked.length = 0;
    const wanted = every(head.segmentCount).filter((index) => !head.segment(index).isZero);
    const [first = 0, last = 0] = [wanted[0], wanted.at(-1)];
    await all(readSegments(head, bytes, [first, last], 0));
    expect(asked).toEqual([head.segment(first).digests, head.segment(last).digests]);
    asked.length = 0;
    expect(await all(readSegments(head, bytes, [first, last], 1000))).toHaveLength(2);
    expect(asked).toEqual([
      {
        offset: head.segment(first).digests.offset,
        sizeBytes: layer.bytes.byteLength - head.segment(first).digests.offset,
      },
    ]);
    asked.length = 0;
    expect(await all(readFrames(head, bytes, [1], 0))).toHaveLength(2);
    expect(asked).toEqual([head.group(1).entries]);
  });

  it('asks for nothing where all that is wanted is zeros', async () => {
    const asked: { offset: number; sizeBytes: number }[] = [];
    const zeros = asLayer(encodeIndex(Buffer.alloc(8 * frameBytes), frameBytes, { framesPerGroup: 2 }));
    const frames = await all(readFrames(zeros.head, rangesOf(zeros.bytes, asked)));
    expect(frames.map(({ isZero }) => isZero)).toEqual(every(8).map(() => true));
    expect(await all(readSegments(zeros.head, rangesOf(zeros.bytes, asked), every(zeros.head.segmentCount)))).toEqual(
      [],
    );
    expect(asked).toEqual([]);
  });

  it('answers each flipped bit of the layer with a coded error', async () => {
    for (let bit = 0; bit < layer.bytes.byteLength * 8; bit += 1) {
      const bytes = Buffer.from(layer.bytes);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(await codeOf(() => readAll({ ...layer, bytes }, size))).toBe('digest-mismatch');
    }
  });

  it('answers each flipped bit of a head that somebody signed with a coded error, or reads it', async () => {
    const headBytes = layer.bytes.subarray(0, layer.signed.headSizeBytes);
    for (let bit = 0; bit < headBytes.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(headBytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const code = await codeOf(async () => {
        const head = new IndexHead(flipped);
        for (const group of every(head.groupCount)) {
          const { offset, sizeBytes } = head.group(group).entries;
          decodeFrameEntries(head, group, layer.bytes.subarray(offset, offset + sizeBytes));
        }
      });
      expect(['block-index-invalid', 'digest-mismatch', 'no error']).toContain(code);
    }
  });

  it('answers each truncation of a head with a coded error', async () => {
    for (let sizeBytes = 0; sizeBytes < layer.signed.headSizeBytes; sizeBytes += 1) {
      const cut = Uint8Array.from(layer.bytes.subarray(0, sizeBytes));
      expect(await codeOf(async () => new IndexHead(cut))).toBe('block-index-invalid');
    }
    const longer = Uint8Array.from([...layer.bytes.subarray(0, layer.signed.headSizeBytes), 0]);
    expect(await codeOf(async () => new IndexHead(longer))).toBe('block-index-invalid');
  });

  it('tells a source that ends early from one that gives more', async () => {
    const source = (change: (bytes: Uint8Array) => Uint8Array): IndexBytes =>
      async function* (ranges) {
        for await (const piece of rangesOf(layer.bytes)(ranges)) yield change(piece);
      };
    const cut = source((bytes) => bytes.subarray(1));
    const more = source((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]));
    for (const read of [
      (bytes: IndexBytes) => readIndexHead(layer.signed, size, bytes),
      (bytes: IndexBytes) => all(readFrames(layer.head, bytes, [1])),
      (bytes: IndexBytes) => all(readSegments(layer.head, bytes, [0])),
    ]) {
      expect(await codeOf(() => read(cut))).toBe('download-truncated');
      expect(await codeOf(() => read(more))).toBe('layer-too-large');
    }
  });

  it('refuses a head that contradicts the signed sizes of layer and content, or is too large to hold', async () => {
    const bytes = rangesOf(layer.bytes);
    const { signed } = layer;
    expect(await codeOf(() => readIndexHead(signed, size + 1, bytes))).toBe('block-index-invalid');
    const longer = { ...signed, layerSizeBytes: signed.layerSizeBytes + 16 };
    expect(await codeOf(() => readIndexHead(longer, size, bytes))).toBe('block-index-invalid');
    const huge = { ...signed, headSizeBytes: indexLimits.headBytes + 1, layerSizeBytes: 2 ** 40 };
    expect(await codeOf(() => readIndexHead(huge, size, () => expect.unreachable()))).toBe('block-index-invalid');
  });

  it('lets an error of its source through as it is', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield layer.bytes.subarray(0, 10);
      throw new RangeError('the network is gone');
    }
    await expect(readIndexHead(layer.signed, size, failing)).rejects.toThrow(RangeError);
  });

  it('closes its source when it is left early', async () => {
    let isClosed = false;
    const bytes: IndexBytes = async function* (ranges) {
      try {
        yield* rangesOf(layer.bytes)(ranges);
      } finally {
        isClosed = true;
      }
    };
    for await (const frame of readFrames(layer.head, bytes)) if (frame.index === 0) break;
    expect(isClosed).toBe(true);
  });

  it('skips what a newer writer adds to the fixed part of the head', () => {
    const head = layer.bytes.subarray(0, layer.signed.headSizeBytes);
    const newer = Buffer.concat([head.subarray(0, 64), Buffer.from('something more'), head.subarray(64)]);
    newer.writeUInt32LE(64 + 14, 8);
    const read = new IndexHead(Uint8Array.from(newer));
    expect(read.group(1).sha256).toEqual(layer.head.group(1).sha256);
    expect(read.segment(0).digest).toEqual(layer.head.segment(0).digest);
  });

  it.each([
    ['flags that it must know', 12, 1],
    ['blocks of another size', 32, 8192],
    ['frames that are no whole blocks', 36, 5000],
    ['frames larger than a decoder holds', 36, 16 * 1024 * 1024],
    ['no frames a group', 40, 0],
    ['too many frames a group', 40, 2000],
    ['too many frames', 48, 0xffffffff],
    ['no frames', 48, 0],
    ['too many segments', 52, 0xffffffff],
    ['a large frame of zeros', 44, 0xffffffff],
    ['a huge content', 20, 0xffffffff],
  ])('refuses %s', async (_what, at, value) => {
    const head = Buffer.from(layer.bytes.subarray(0, layer.signed.headSizeBytes));
    head.writeUInt32LE(value, at);
    expect(await codeOf(async () => new IndexHead(head))).toBe('block-index-invalid');
  });
});

describe('cutting segments', () => {
  const digestsOf = (from: number, count: number) => digestBlocks(contentOf(every(count).map((seed) => from + seed)));
  const cut = (digests: Uint8Array) => {
    const cutter = new SegmentCutter();
    return [...cutter.push(digests), ...cutter.finish()];
  };

  it('finds the same segments behind blocks that were put before them', () => {
    const tail = digestsOf(1, 3000);
    const before = cut(tail);
    const after = cut(Buffer.concat([digestsOf(10_000, 37), tail]));
    const known = new Set(before.map(({ digest }) => Buffer.from(digest ?? []).toString('hex')));
    const kept = after.filter(({ digest }) => known.has(Buffer.from(digest ?? []).toString('hex')));
    expect(before.length).toBeGreaterThan(20);
    expect(kept.length).toBeGreaterThan(before.length - 4);
  });

  it('cuts nothing longer than it may, where all digests are alike', () => {
    const same = digestBlocks(contentOf(Array<number>(2000).fill(5)));
    const counts = cut(same).map(({ blockCount }) => blockCount);
    expect(Math.max(...counts)).toBeLessThanOrEqual(512);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2000);
  });

  it('makes a long run of zeros segments without digests, however long', () => {
    const segments = cut(new Uint8Array(100_000 * digestBytes));
    expect(segments.map(({ blockCount, digests }) => [blockCount, digests])).toEqual([
      [32_767, undefined],
      [32_767, undefined],
      [32_767, undefined],
      [1699, undefined],
    ]);
  });
});
