import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { digestBlock, digestBlocks } from '../../../partitions/block-index/block-digest.ts';
import { BlockIndexEncoder } from '../../../partitions/block-index/encode-index.ts';
import { blockBytes, digestBytes } from '../../../partitions/block-index/layout.ts';
import { readFrames, readSegments } from '../../../partitions/block-index/read-index.ts';
import { cheapestWay } from '../../../partitions/delta/choose-way.ts';
import { DeviceDigests, IndexDigests, MemoryDigests } from '../../../partitions/delta/digest-source.ts';
import { ExtentList } from '../../../partitions/delta/extent-list.ts';
import { findBlocks } from '../../../partitions/delta/find-blocks.ts';
import type { Frame } from '../../../partitions/frames/frame.ts';
import {
  copyReads,
  framesToFetch,
  groupsToRead,
  rangesOfFrames,
  takeFromFrames,
} from '../../../partitions/plan-reads.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { asLayer, contentOf, rangesOf } from './index-samples.ts';

const costs = { requestBytes: 300, gapBlocks: 3, readBlocks: 16 };
const digestsOf = (seeds: readonly number[]) => new MemoryDigests(digestBlocks(contentOf(seeds)));
const every = (count: number) => Array.from({ length: count }, (_, index) => index);
const shown = (extents: ExtentList) =>
  [...extents].map(({ kind, blockCount, sourceBlock }) =>
    kind === 'copy' ? `copy ${blockCount} of ${sourceBlock}` : `${kind} ${blockCount}`,
  );

/** A layer of frames of random sizes up to `frameBlocks`, with its index. */
function encodeLayer(content: Uint8Array, frameBlocks: number, random: SeededRandom) {
  const encoder = new BlockIndexEncoder(frameBlocks * blockBytes, { framesPerGroup: 1 + random.below(4) });
  const frames: Buffer[] = [];
  for (let at = 0; at < content.byteLength;) {
    const part = content.subarray(at, at + blockBytes * (1 + random.below(frameBlocks)));
    const frame = zlib.zstdCompressSync(part, { pledgedSrcSize: part.byteLength });
    encoder.add(part, frame.byteLength);
    frames.push(frame);
    at += part.byteLength;
  }
  return { layer: Buffer.concat(frames), index: asLayer(encoder.finish()) };
}

/** The content of `frames`, fetched by merged ranges. */
function fetchFrames(layer: Uint8Array, frames: readonly Frame[]) {
  const ranges = rangesOfFrames(frames, costs);
  const decoded = frames.map((frame) => {
    const isInRange = ranges.some(
      ({ offset, sizeBytes }) =>
        offset <= frame.compressedOffsetBytes &&
        offset + sizeBytes >= frame.compressedOffsetBytes + frame.compressedSizeBytes,
    );
    expect(isInRange).toBe(true);
    const from = frame.compressedOffsetBytes;
    return { frame, content: zlib.zstdDecompressSync(layer.subarray(from, from + frame.compressedSizeBytes)) };
  });
  return { decoded, fetchBytes: ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), ranges };
}

interface Slots {
  readonly booted: Buffer;
  readonly inactive: Buffer;
}

/** Writes an image onto the inactive slot by a plan, as a careful writer would: hashing all that it keeps or copies. */
async function update(
  slots: Slots,
  { layer, index }: ReturnType<typeof encodeLayer>,
  hints: { readonly inPlace: MemoryDigests | undefined; readonly booted: MemoryDigests | undefined },
  windowBlocks: number,
): Promise<{ fetchBytes: number; requests: number }> {
  const bytes = rangesOf(index.bytes);
  const { head } = index;
  const digests = new Uint8Array(head.blockCount * digestBytes);
  for await (const { segment, digests: part } of readSegments(head, bytes, every(head.segmentCount)))
    digests.set(part, segment.firstBlock * digestBytes);
  const wanted = new MemoryDigests(digests);
  const framesFor = async (extents: ExtentList) => {
    const found: Frame[] = [];
    for await (const frame of readFrames(head, bytes, groupsToRead(head, extents))) found.push(frame);
    return framesToFetch(found, extents);
  };
  const isRight = (content: Uint8Array, block: number) =>
    Buffer.compare(digestBlock(content), digests.subarray(block * digestBytes, (block + 1) * digestBytes)) === 0;
  const write = (content: Uint8Array, block: number) => slots.inactive.set(content, block * blockBytes);

  const found = await findBlocks(wanted, hints.inPlace, hints.booted, windowBlocks);
  const frames = await framesFor(found);
  const extents = takeFromFrames(found, frames);
  expect(extents.blockCount).toBe(head.blockCount);
  const wrong = new Set<number>();
  for (const { kind, block, blockCount } of extents) {
    for (let at = block; at < block + blockCount; at += 1) {
      if (kind === 'zero') write(new Uint8Array(blockBytes), at);
      if (kind === 'keep' && !isRight(slots.inactive.subarray(at * blockBytes, (at + 1) * blockBytes), at))
        wrong.add(at);
    }
  }
  const copied = new Set<number>();
  for (const { sourceBlock, blockCount, pieces } of copyReads(extents, costs)) {
    expect(blockCount).toBeLessThanOrEqual(costs.readBlocks);
    const read = slots.booted.subarray(sourceBlock * blockBytes, (sourceBlock + blockCount) * blockBytes);
    for (const piece of pieces) {
      for (const at of every(piece.blockCount)) {
        const block = read.subarray((piece.sourceBlock - sourceBlock + at) * blockBytes).subarray(0, blockBytes);
        expect(copied.has(piece.block + at)).toBe(false);
        copied.add(piece.block + at);
        if (isRight(block, piece.block + at)) write(block, piece.block + at);
        else wrong.add(piece.block + at);
      }
    }
  }
  expect(copied.size).toBe(extents.blocksOf('copy'));
  const rest = new ExtentList();
  for (const block of every(head.blockCount)) rest.push(wrong.has(block) ? 'fetch' : 'keep', 1);
  let fetchBytes = 0;
  let requests = 0;
  for (const round of [frames, await framesFor(rest)]) {
    const fetched = fetchFrames(layer, round);
    for (const { frame, content } of fetched.decoded) {
      const padded = Buffer.alloc(Math.ceil(content.byteLength / blockBytes) * blockBytes);
      content.copy(padded);
      write(padded, frame.contentOffsetBytes / blockBytes);
    }
    fetchBytes += fetched.fetchBytes;
    requests += fetched.ranges.length;
  }
  return { fetchBytes, requests };
}

/** Random content of which a part is that of `seeds`, moved, repeated or left out. */
function changed(seeds: readonly number[], random: SeededRandom): number[] {
  const changedSeeds: number[] = [];
  const count = 1 + random.below(12);
  for (let part = 0; part < count; part += 1) {
    const from = random.below(seeds.length);
    const length = 1 + random.below(30);
    const kind = random.below(5);
    if (kind === 0) changedSeeds.push(...Array<number>(length).fill(0));
    else if (kind === 1) changedSeeds.push(...every(length).map(() => 1 + random.below(5)));
    else if (kind === 2) changedSeeds.push(...every(length).map(() => 1000 + random.below(100_000)));
    else changedSeeds.push(...seeds.slice(from, from + length));
  }
  return changedSeeds.length === 0 ? [1] : changedSeeds;
}

describe('a plan', () => {
  it.each(every(150))('rebuilds a random image from random slots, seed %i', async (seed) => {
    const random = new SeededRandom(seed);
    const base = every(100).map((block) => (random.below(6) === 0 ? 0 : block + 1));
    const bootedSeeds = changed(base, random);
    const imageSeeds = changed(random.below(2) === 0 ? bootedSeeds : base, random);
    const content = contentOf(imageSeeds, random.below(blockBytes));
    const sizeBytes = Math.ceil(content.byteLength / blockBytes) * blockBytes;
    const inactive = Buffer.alloc(sizeBytes);
    contentOf(changed(imageSeeds, random)).copy(inactive);
    // A part of an earlier try is in place.
    if (random.below(2) === 0) content.copy(inactive, 0, 0, blockBytes * random.below(imageSeeds.length));
    const slots = { booted: contentOf(bootedSeeds), inactive };
    // What is said of a slot may be wrong.
    const told = (seeds: readonly number[]) =>
      random.below(4) === 0 ? digestsOf(changed(seeds, random).slice(0, seeds.length)) : digestsOf(seeds);
    const booted = random.below(8) === 0 ? undefined : told(bootedSeeds);
    const inPlace = random.below(3) === 0 ? undefined : new MemoryDigests(digestBlocks(inactive));
    const encoded = encodeLayer(content, 1 + random.below(12), random);
    const wasRight = booted === undefined || Buffer.compare(await whole(booted), digestBlocks(slots.booted)) === 0;
    const { fetchBytes, requests } = await update(slots, encoded, { inPlace, booted }, 1 + random.below(80));
    expect(slots.inactive.subarray(0, content.byteLength).equals(content)).toBe(true);
    expect(slots.inactive.subarray(content.byteLength).every((byte) => byte === 0)).toBe(true);
    if (wasRight) expect(fetchBytes).toBeLessThanOrEqual(encoded.layer.byteLength);
    if (wasRight) expect(requests).toBeLessThanOrEqual(encoded.index.head.frameCount);
  });

  async function whole(source: MemoryDigests): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for await (const part of source.read(0, source.blockCount)) parts.push(part);
    return Buffer.concat(parts);
  }

  it('fetches nothing for the same image, and nothing for one of zeros', async () => {
    const same = digestsOf([1, 2, 0, 0, 3, 1]);
    expect(shown(await findBlocks(same, undefined, same))).toEqual(['copy 2 of 0', 'zero 2', 'copy 2 of 4']);
    expect(shown(await findBlocks(same, same, undefined))).toEqual(['keep 6']);
    expect(shown(await findBlocks(digestsOf([0, 0]), undefined, undefined))).toEqual(['zero 2']);
  });

  it('is the same for the same digests, however they come in pieces and windows', async () => {
    const random = new SeededRandom(7);
    const old = every(300).map(() => random.below(90));
    const image = every(300).map(() => random.below(120));
    const booted = digestsOf(old);
    const inOne = shown(await findBlocks(digestsOf(image), undefined, booted));
    const pieces = {
      blockCount: booted.blockCount,
      async *read(first: number, count: number) {
        for await (const part of booted.read(first, count)) {
          for (let at = 0; at < part.byteLength; at += 7 * digestBytes) yield part.subarray(at, at + 7 * digestBytes);
        }
      },
    };
    expect(shown(await findBlocks(digestsOf(image), undefined, pieces))).toEqual(inOne);
    const windows = await findBlocks(digestsOf(image), undefined, booted, 64);
    const whole = await findBlocks(digestsOf(image), undefined, booted);
    for (const kind of ['zero', 'copy', 'fetch'] as const) expect(windows.blocksOf(kind)).toBe(whole.blocksOf(kind));
  });

  it('goes on from the block before where equal blocks lie in several places', async () => {
    const extents = await findBlocks(digestsOf([8, 9, 5, 6, 7]), undefined, digestsOf([5, 1, 2, 9, 8, 9, 5, 6, 7]));
    expect(shown(extents)).toEqual(['copy 5 of 4']);
  });

  it('prefers the block at the same place to a first one elsewhere', async () => {
    const extents = await findBlocks(digestsOf([1, 2, 5, 3]), undefined, digestsOf([5, 9, 5, 9]));
    expect(shown(extents)).toEqual(['fetch 2', 'copy 1 of 2', 'fetch 1']);
  });

  it('keeps what is in place rather than copying it', async () => {
    const extents = await findBlocks(digestsOf([1, 2, 3, 4]), digestsOf([9, 2, 3]), digestsOf([1, 2, 3, 4]));
    expect(shown(extents)).toEqual(['copy 1 of 0', 'keep 2', 'copy 1 of 3']);
  });

  it('takes linear time where one block fills both slots', async () => {
    const same = digestBlock(contentOf([5]));
    const many = new Uint8Array(200_000 * digestBytes);
    for (let at = 0; at < many.byteLength; at += digestBytes) many.set(same, at);
    const extents = await findBlocks(new MemoryDigests(many), undefined, new MemoryDigests(many));
    expect(extents.blocksOf('copy')).toBe(200_000);
    expect(extents.length).toBeLessThan(10);
  });
});

describe('reads of the booted slot', () => {
  const list = (...extents: readonly (readonly ['copy' | 'fetch', number, number?])[]) => {
    const all = new ExtentList();
    for (const [kind, count, source] of extents) all.push(kind, count, source);
    return all;
  };

  it('go through gaps that cost less than another read, and are sorted within a stretch', () => {
    const extents = list(['copy', 2, 20], ['fetch', 1], ['copy', 2, 10], ['copy', 2, 15], ['copy', 1, 40]);
    expect([...copyReads(extents, costs)].map(({ sourceBlock, blockCount }) => [sourceBlock, blockCount])).toEqual([
      [10, 12],
      [40, 1],
    ]);
  });

  it('end where a stretch of the image or the largest read ends', () => {
    const long = [...copyReads(list(['copy', 40, 100]), costs)];
    expect(long.map(({ sourceBlock, blockCount }) => [sourceBlock, blockCount])).toEqual([
      [100, 16],
      [116, 16],
      [132, 8],
    ]);
    const spread = list(...every(6).map((at) => ['copy', 1, at * 4] as const));
    expect([...copyReads(spread, costs)].map(({ blockCount }) => blockCount)).toEqual([13, 5]);
  });

  it('leave out what comes with a frame that is fetched anyhow', () => {
    const frame = (block: number, blockCount: number): Frame => ({
      index: block,
      contentOffsetBytes: block * blockBytes,
      contentSizeBytes: blockCount * blockBytes,
      compressedOffsetBytes: block * 100,
      compressedSizeBytes: 100,
      sha256: new Uint8Array(32),
      isZero: false,
    });
    const frames = [frame(0, 4), frame(4, 4), frame(8, 4), frame(12, 4)];
    const extents = list(['copy', 6, 50], ['fetch', 1], ['copy', 7, 90], ['fetch', 1], ['copy', 1, 70]);
    const wanted = framesToFetch(frames, extents);
    expect(wanted.map(({ index }) => index)).toEqual([4, 12]);
    expect(shown(takeFromFrames(extents, wanted))).toEqual(['copy 4 of 50', 'fetch 4', 'copy 4 of 91', 'fetch 4']);
    expect(rangesOfFrames(wanted, { ...costs, requestBytes: 299 })).toHaveLength(2);
    expect(rangesOfFrames(wanted, { ...costs, requestBytes: 700 })).toEqual([{ offset: 400, sizeBytes: 900 }]);
  });
});

describe('digests', () => {
  const content = contentOf([1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 4, 0, 5], 100);

  it('are the same from an index as from the content itself', async () => {
    const { index } = encodeLayer(content, 4, new SeededRandom(3));
    const fromIndex = new IndexDigests(index.head, async (offset, size) => index.bytes.subarray(offset, offset + size));
    const buffer = new Uint8Array(3 * blockBytes);
    const fromDevice = new DeviceDigests(content.byteLength, buffer, async (into, offset) => {
      into.set(content.subarray(offset, offset + into.byteLength));
    });
    const want = digestBlocks(content);
    for (const source of [fromIndex, fromDevice]) {
      expect(source.blockCount).toBe(14);
      for (const [first, count] of [
        [0, 14],
        [3, 7],
        [9, 1],
        [12, 2],
      ] as const) {
        const parts: Uint8Array[] = [];
        for await (const part of source.read(first, count)) parts.push(part);
        expect(Buffer.concat(parts).equals(want.subarray(first * digestBytes, (first + count) * digestBytes))).toBe(
          true,
        );
      }
    }
  });
});

describe('the way of an update', () => {
  const full = { way: 'full', fetchBytes: 1000, requests: 1 } as const;

  it('is the cheapest by bytes and requests, and never costs more than the whole layer', () => {
    const index = { way: 'index', fetchBytes: 700, requests: 3 } as const;
    const patch = { way: 'patch', fetchBytes: 650, requests: 5 } as const;
    expect(cheapestWay(full, [index, patch], { requestBytes: 10 }).way).toBe('patch');
    expect(cheapestWay(full, [index, patch], { requestBytes: 100 }).way).toBe('index');
    expect(cheapestWay(full, [index, patch], { requestBytes: 200 }).way).toBe('full');
    expect(cheapestWay(full, [{ ...index, fetchBytes: 1001, requests: 1 }], { requestBytes: 0 }).way).toBe('full');
  });
});
