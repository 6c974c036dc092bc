import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { FrameTable } from '../../../partitions/frame-table.ts';
import type { Frame } from '../../../partitions/frames/frame.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const blockBytes = 4096;
const shaOf = (text: string) => createHash('sha256').update(text).digest();

it('gives back each frame as it came, in any order, zeros among them', async () => {
  const random = new SeededRandom(7);
  const frames: Frame[] = [];
  let [contentOffsetBytes, compressedOffsetBytes] = [0, 0];
  for (let index = 0; index < 3000; index += 1) {
    const isZero = random.below(3) === 0;
    const blocks = isZero ? 16 : 1 + random.below(16);
    const contentSizeBytes = index === 2999 ? 5000 : blocks * blockBytes;
    const compressedSizeBytes = isZero ? 21 : 22 + random.below(60_000);
    const sha256 = isZero ? shaOf('zeros') : shaOf(`frame ${index}`);
    const offsets = { contentOffsetBytes, compressedOffsetBytes };
    frames.push({ index, ...offsets, contentSizeBytes, compressedSizeBytes, sha256, isZero });
    contentOffsetBytes += contentSizeBytes;
    compressedOffsetBytes += compressedSizeBytes;
  }
  async function* source(): AsyncGenerator<Frame> {
    yield* frames;
  }
  const totals = { frameCount: frames.length, frameSizeBytes: 16 * blockBytes, contentSizeBytes: contentOffsetBytes };
  const table = await FrameTable.read(source(), totals);
  const plain = ({ sha256, ...frame }: Frame) => ({ ...frame, sha256: Buffer.from(sha256).toString('hex') });
  expect(Array.from(table.frames(), plain)).toEqual(frames.map(plain));
  for (const index of [2999, 64, 63, 1024, 0]) expect(plain(table.frame(index))).toEqual(plain(frames[index]!));
});
