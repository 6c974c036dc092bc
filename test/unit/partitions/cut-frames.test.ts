import { describe, expect, it } from 'vitest';
import { digestBlocks } from '../../../partitions/block-index/block-digest.ts';
import { blockBytes, digestBytes } from '../../../partitions/block-index/layout.ts';
import { cutByKnown } from '../../../partitions/frames/cut-frames.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { contentOf } from './index-samples.ts';
import { inPieces } from './samples.ts';

/** Blocks up to 100 are known. */
const known = new Set<string>();
const knownDigests = digestBlocks(contentOf(Array.from({ length: 101 }, (_, seed) => seed)));
for (let at = 0; at < knownDigests.byteLength; at += digestBytes) {
  known.add(Buffer.from(knownDigests.subarray(at, at + digestBytes)).toString('hex'));
}

async function cut(seeds: readonly number[], tailBytes = 0, knownBlocks = 4, largeBlocks = 10): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  const sizes = { knownBytes: knownBlocks * blockBytes, largeBytes: largeBlocks * blockBytes };
  const isKnown = (digest: Uint8Array) => known.has(Buffer.from(digest).toString('hex'));
  for await (const frame of cutByKnown(inPieces(contentOf(seeds, tailBytes), 5000), isKnown, sizes)) frames.push(frame);
  return frames;
}

const blocksOf = async (seeds: readonly number[]) =>
  (await cut(seeds)).map(({ byteLength }) => byteLength / blockBytes);
const run = (from: number, count: number) => Array.from({ length: count }, (_, at) => from + at);
const zeros = (count: number) => Array<number>(count).fill(0);

describe('cutting frames by an earlier image', () => {
  it('puts new blocks into large frames of their own', async () => {
    expect(await blocksOf([...run(1, 6), ...run(200, 7), ...run(10, 5)])).toEqual([4, 2, 7, 4, 1]);
    expect(await blocksOf(run(200, 23))).toEqual([10, 10, 3]);
  });

  it('leaves one or two known blocks among new ones, and no more', async () => {
    expect(await blocksOf([200, 201, 1, 2, 202, 203])).toEqual([6]);
    expect(await blocksOf([200, 201, 1, 2, 3, 202, 203])).toEqual([2, 3, 2]);
  });

  it('leaves few zeros among known blocks, and makes large frames of many', async () => {
    expect(await blocksOf([1, 2, ...zeros(1), 3])).toEqual([4]);
    expect(await blocksOf([...zeros(25), 1])).toEqual([10, 10, 5, 1]);
  });

  it.each([1, 2, 3, 4, 5, 6])('loses and reorders nothing, seed %i', async (seed) => {
    const random = new SeededRandom(seed);
    const seeds = Array.from({ length: 60 }, () => run(random.below(3) * 90, 1 + random.below(8)))
      .flat()
      .map((value) => (random.below(5) === 0 ? 0 : value));
    const tailBytes = random.below(blockBytes);
    const frames = await cut(seeds, tailBytes, 1 + random.below(20), 1 + random.below(40));
    expect(Buffer.concat(frames).equals(contentOf(seeds, tailBytes))).toBe(true);
    for (const frame of frames.slice(0, -1)) expect(frame.byteLength % blockBytes).toBe(0);
    for (const frame of frames) expect(frame.byteLength).toBeGreaterThan(0);
  });

  it('gives nothing for nothing', async () => {
    expect(await cut([])).toEqual([]);
  });
});
