import type { IndexHead } from '../block-index/index-head.ts';
import { digestBytes } from '../block-index/layout.ts';
import { MemoryDigests } from '../delta/digest-source.ts';
import { findBlocks } from '../delta/find-blocks.ts';
import type { FrameTable } from '../frame-table.ts';
import type { Frame } from '../frames/frame.ts';
import { framesToFetch } from '../plan-reads.ts';
import { SegmentTable } from '../reuse/known-segments.ts';
import { patchLayout, patchLimits } from './layout.ts';
import type { FrameRun } from './patch-head.ts';

/**
 * The frames of an image that a node with the earlier one misses, before it fetches anything of the index but its frames:
 * what it finds, it finds in the same way. `oldDigests` are those of the earlier content's blocks.
 */
export async function framesMissing(
  head: IndexHead,
  table: FrameTable,
  oldDigests: Uint8Array,
): Promise<readonly Frame[]> {
  const old = new MemoryDigests(oldDigests);
  const digests = new Uint8Array(head.blockCount * digestBytes);
  await new SegmentTable(head).putKnown(old, {
    write: async (firstBlock, found) => {
      digests.set(found, firstBlock * digestBytes);
    },
  });
  const extents = await findBlocks(new MemoryDigests(digests), undefined, old);
  return framesToFetch(table.frames(), extents).filter(({ isZero }) => !isZero);
}

/** Frames of one region in the order of the image. */
export interface RegionPlan {
  readonly frames: readonly Frame[];
  readonly runs: readonly FrameRun[];
}

/** Puts frames, which ascend, into regions of up to 1 MiB; a larger frame has one of its own. */
export function* planRegions(frames: readonly Frame[]): Generator<RegionPlan> {
  let held: Frame[] = [];
  let sizeBytes = 0;
  for (const frame of frames) {
    if (held.length > 0 && sizeBytes + frame.contentSizeBytes > patchLimits.regionContentBytes) {
      yield { frames: held, runs: runsOf(held) };
      held = [];
      sizeBytes = 0;
    }
    held.push(frame);
    sizeBytes += frame.contentSizeBytes;
  }
  if (held.length > 0) yield { frames: held, runs: runsOf(held) };
}

function runsOf(frames: readonly Frame[]): readonly FrameRun[] {
  const runs: { firstFrame: number; frameCount: number }[] = [];
  for (const { index } of frames) {
    const last = runs.at(-1);
    const isNext = last?.firstFrame !== undefined && last.firstFrame + last.frameCount === index;
    if (isNext && last.frameCount < patchLayout.countLimit) last.frameCount += 1;
    else runs.push({ firstFrame: index, frameCount: 1 });
  }
  return runs;
}
