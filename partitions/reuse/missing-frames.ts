import type { IndexHead } from '../block-index/index-head.ts';
import { blockBytes } from '../block-index/layout.ts';
import type { FrameSet } from '../frame-set.ts';
import type { FrameTable } from '../frame-table.ts';
import type { Frame } from '../frames/frame.ts';
import { rangesOfFrames } from '../plan-reads.ts';
import type { ByteRange } from '../slot-writer.ts';

/** The frames with content that are not `done`. */
export function* missingFrames(table: FrameTable, done?: FrameSet): Generator<Frame> {
  for (const frame of table.frames()) if (!frame.isZero && done?.has(frame.index) !== true) yield frame;
}

/** What `frames`, which ascend, take to fetch. */
export function fetchBytesOf(frames: Iterable<Frame>): number {
  return sizeOf(rangesOfFrames(frames));
}

/** All bytes of `ranges`. */
export function sizeOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Those of `segments`, which ascend, that have blocks of frames that are to be fetched. */
export function segmentsOfMissing(
  head: IndexHead,
  table: FrameTable,
  done: FrameSet,
  segments: readonly number[],
): readonly number[] {
  let first = 0;
  return segments.filter((index) => {
    const { firstBlock, blockCount } = head.segment(index);
    const startBytes = firstBlock * blockBytes;
    const endBytes = startBytes + blockCount * blockBytes;
    while (first + 1 < table.count && table.frame(first + 1).contentOffsetBytes <= startBytes) first += 1;
    for (let at = first; at < table.count; at += 1) {
      const { contentOffsetBytes, isZero } = table.frame(at);
      if (contentOffsetBytes >= endBytes) break;
      if (!isZero && !done.has(at)) return true;
    }
    return false;
  });
}
