import { mergeRanges } from '../block-index/merge-ranges.ts';
import { cheapestWay, type WayCost } from '../delta/choose-way.ts';
import type { FrameSet } from '../frame-set.ts';
import type { FrameTable } from '../frame-table.ts';
import type { PatchRegion } from '../patch/patch-head.ts';
import { defaultReadCosts, rangesOfFrames } from '../plan-reads.ts';
import type { ByteRange } from '../slot-writer.ts';
import { missingFrames, sizeOf } from './missing-frames.ts';

/** The ways to the frames of a partition that are not there, and the cheapest of them. */
export interface WayCosts {
  readonly full: WayCost;
  readonly index: WayCost;
  /** By the patch, and by the index what it does not give. */
  readonly patch: WayCost;
  readonly cheapest: WayCost;
}

/** Where the payloads of `regions`, which ascend, are fetched; near ones by one request. */
export function payloadRanges(regions: readonly PatchRegion[]): readonly ByteRange[] {
  return mergeRanges(
    regions.map(({ payload }) => payload),
    defaultReadCosts.requestBytes,
  );
}

/** The regions of a patch that give frames which are not `done`. */
export function regionsWanted(
  regions: readonly PatchRegion[],
  table: FrameTable,
  done: FrameSet,
): readonly PatchRegion[] {
  const isWanted = (index: number) => !done.has(index) && !table.frame(index).isZero;
  return regions.filter(({ runs }) =>
    runs.some(({ firstFrame, frameCount }) => {
      for (let index = firstFrame; index < firstFrame + frameCount; index += 1) if (isWanted(index)) return true;
      return false;
    }),
  );
}

/**
 * What each way still takes to the frames of `table` that are not `done`; `regions` are those of a patch that would be
 * used. What was fetched to know this is in none of them.
 */
export function wayCosts(
  table: FrameTable,
  done: FrameSet,
  regions: readonly PatchRegion[],
  layerSizeBytes: number,
): WayCosts {
  const missing = Array.from(missingFrames(table, done));
  const given = new Set<number>();
  for (const { firstFrame, frameCount } of regions.flatMap(({ runs }) => runs)) {
    for (let index = firstFrame; index < firstFrame + frameCount; index += 1) given.add(index);
  }
  const costOf = (way: WayCost['way'], ranges: readonly ByteRange[]): WayCost => ({
    way,
    fetchBytes: sizeOf(ranges),
    requests: ranges.length,
  });
  const full = { way: 'full', fetchBytes: layerSizeBytes, requests: 1 } as const;
  const index = costOf('index', rangesOfFrames(missing));
  const others = rangesOfFrames(missing.filter((frame) => !given.has(frame.index)));
  const patch = costOf('patch', [...payloadRanges(regions), ...others]);
  const ways = regions.length === 0 ? [index] : [index, patch];
  return { full, index, patch, cheapest: cheapestWay(full, ways, defaultReadCosts) };
}
