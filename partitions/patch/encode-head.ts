import { patchLayout, patchLimits } from './layout.ts';
import type { PatchRegion } from './patch-head.ts';

/** What a head says besides its regions. */
export interface PatchTotals {
  readonly contentSizeBytes: number;
  readonly frameCount: number;
  /** Whole blocks of the earlier partition. */
  readonly blockCount: number;
}

/** A region whose payload has a size, and lies nowhere yet. */
export type PlacelessRegion = Omit<PatchRegion, 'payload'> & { readonly payloadSizeBytes: number };

const { magic, fixedBytes, regionBytes, runBytes, rangeBytes, countLimit } = patchLayout;

/**
 * The head of a patch whose payloads follow it in the order of `regions`. Throws a `RangeError` for what the layout cannot
 * say: more than 65535 runs or ranges in a region, or a head over its limit.
 */
export function encodePatchHead(totals: PatchTotals, regions: readonly PlacelessRegion[]): Uint8Array {
  const runs = regions.flatMap((region) => region.runs);
  const ranges = regions.flatMap((region) => region.ranges);
  const sizeBytes = fixedBytes + regions.length * regionBytes + runs.length * runBytes + ranges.length * rangeBytes;
  if (sizeBytes > patchLimits.headBytes) {
    throw new RangeError(`cannot encode the patch: its head has ${sizeBytes} bytes`);
  }
  const head = Buffer.alloc(sizeBytes);
  head.write(magic, 0, 'latin1');
  head.writeUInt32LE(fixedBytes, 8);
  head.writeBigUInt64LE(BigInt(totals.contentSizeBytes), 16);
  head.writeUInt32LE(totals.frameCount, 24);
  head.writeUInt32LE(totals.blockCount, 28);
  head.writeUInt32LE(regions.length, 32);
  head.writeUInt32LE(runs.length, 36);
  head.writeUInt32LE(ranges.length, 40);
  let at: number = fixedBytes;
  for (const region of regions) {
    if (Math.max(region.runs.length, region.ranges.length) > countLimit) {
      throw new RangeError('cannot encode the patch: a region has too many runs or ranges');
    }
    head.writeUInt32LE(region.payloadSizeBytes, at);
    head.writeUInt32LE(region.contentSizeBytes, at + 4);
    head.writeUInt16LE(region.runs.length, at + 8);
    at = head.writeUInt16LE(region.ranges.length, at + 10);
  }
  for (const { firstFrame, frameCount } of runs)
    at = head.writeUInt16LE(frameCount, head.writeUInt32LE(firstFrame, at));
  for (const { firstBlock, blockCount } of ranges) {
    at = head.writeUInt16LE(blockCount, head.writeUInt32LE(firstBlock, at));
  }
  return head;
}
