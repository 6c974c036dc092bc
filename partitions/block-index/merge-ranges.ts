import type { ByteRange } from '../slot-writer.ts';

/**
 * Merges ranges that ascend and do not overlap, where the gap between two costs less than `requestBytes`, what one more
 * request costs. Empty ranges are left out.
 */
export function mergeRanges(ranges: Iterable<ByteRange>, requestBytes: number): readonly ByteRange[] {
  const merged: ByteRange[] = [];
  for (const { offset, sizeBytes } of ranges) {
    if (sizeBytes === 0) continue;
    const last = merged.at(-1);
    const endBytes = last === undefined ? -Infinity : last.offset + last.sizeBytes;
    if (last !== undefined && offset - endBytes <= requestBytes) {
      merged[merged.length - 1] = { offset: last.offset, sizeBytes: offset + sizeBytes - last.offset };
    } else {
      merged.push({ offset, sizeBytes });
    }
  }
  return merged;
}
