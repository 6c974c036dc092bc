import type { IndexHead } from './block-index/index-head.ts';
import { blockBytes } from './block-index/layout.ts';
import { mergeRanges } from './block-index/merge-ranges.ts';
import { type Extent, ExtentList } from './delta/extent-list.ts';
import type { Frame } from './frames/frame.ts';
import type { ByteRange } from './slot-writer.ts';

/** What reading costs. */
export interface ReadCosts {
  /** What a request costs besides its bytes, in bytes: ranges as near as that are fetched in one. */
  readonly requestBytes: number;
  /** Reads of the booted slot as near as that are made in one, through what lies between. */
  readonly gapBlocks: number;
  /** The largest read of the booted slot, and the stretch of the image within which reads are sorted. */
  readonly readBlocks: number;
}

/**
 * A request costs its headers and a part of a round trip; 16 KiB is what passes in 30 ms at 4 Mbit/s. A read costs about
 * 0.13 ms before its first byte, in which 128 KiB pass on ordinary flash.
 */
export const defaultReadCosts: ReadCosts = { requestBytes: 16 * 1024, gapBlocks: 32, readBlocks: 256 };

/** One read of the booted slot, and where its blocks belong. */
export interface CopyRead {
  readonly sourceBlock: number;
  readonly blockCount: number;
  /** In the order of their source; blocks between them are read and dropped, and a block may be in several. */
  readonly pieces: readonly CopyPiece[];
}

/** Blocks of the booted slot that belong into the image from `block` on. */
export interface CopyPiece {
  readonly block: number;
  readonly sourceBlock: number;
  readonly blockCount: number;
}

/** The groups of frames whose entries have to be read: those that hold blocks to fetch, ascending. */
export function groupsToRead(head: IndexHead, extents: ExtentList): readonly number[] {
  const groups: number[] = [];
  let group = 0;
  for (const { kind, block, blockCount } of extents) {
    if (kind !== 'fetch') continue;
    const end = block + blockCount;
    for (; group < head.groupCount; group += 1) {
      const found = head.group(group);
      const groupEnd = found.firstBlock + found.blockCount;
      if (found.firstBlock >= end) break;
      if (groupEnd > block && groups.at(-1) !== group) groups.push(group);
      // The next extent may begin in the same group.
      if (groupEnd > end) break;
    }
  }
  return groups;
}

/** Of `frames`, which ascend, those that hold blocks to fetch. */
export function framesToFetch(frames: Iterable<Frame>, extents: ExtentList): readonly Frame[] {
  const wanted: Frame[] = [];
  let next = 0;
  for (const frame of frames) {
    const endBytes = frame.contentOffsetBytes + frame.contentSizeBytes;
    for (; next < extents.length; next += 1) {
      const { kind, block, blockCount } = extents.at(next);
      if (kind === 'fetch' && (block + blockCount) * blockBytes > frame.contentOffsetBytes) break;
    }
    if (next === extents.length) break;
    if (extents.at(next).block * blockBytes < endBytes) wanted.push(frame);
  }
  return wanted;
}

/**
 * The same extents, but that what would be copied into one of `frames`, which ascend and are fetched anyhow, comes with
 * the frame: for nothing, and by one read less. What is in place stays.
 */
export function takeFromFrames(extents: ExtentList, frames: readonly Frame[]): ExtentList {
  const taken = new ExtentList();
  let next = 0;
  for (const { kind, block, blockCount, sourceBlock } of extents) {
    if (kind !== 'copy') {
      taken.push(kind, blockCount);
      continue;
    }
    const end = block + blockCount;
    for (let at = block; at < end;) {
      while (endBlockOf(frames[next]) <= at) next += 1;
      const frame = frames[next];
      const frameBlock = frame === undefined ? end : frame.contentOffsetBytes / blockBytes;
      const isFetched = frameBlock <= at;
      const to = Math.min(end, isFetched ? endBlockOf(frame) : frameBlock);
      if (isFetched) taken.push('fetch', to - at);
      else taken.push('copy', to - at, sourceBlock + at - block);
      at = to;
    }
  }
  return taken;
}

/** The block behind a frame; endless where there is none. */
function endBlockOf(frame: Frame | undefined): number {
  if (frame === undefined) return Infinity;
  return Math.ceil((frame.contentOffsetBytes + frame.contentSizeBytes) / blockBytes);
}

/** The closed ranges of the layer that hold `frames`, which ascend; frames as near as a request costs are in one. */
export function rangesOfFrames(frames: Iterable<Frame>, costs: ReadCosts = defaultReadCosts): readonly ByteRange[] {
  function* ranges(): Generator<ByteRange> {
    for (const { compressedOffsetBytes, compressedSizeBytes } of frames) {
      yield { offset: compressedOffsetBytes, sizeBytes: compressedSizeBytes };
    }
  }
  return mergeRanges(ranges(), costs.requestBytes);
}

/**
 * The reads of the booted slot, for one stretch of the image of `readBlocks` after the other; within a stretch they
 * ascend, and near ones are one.
 */
export function* copyReads(extents: Iterable<Extent>, costs: ReadCosts = defaultReadCosts): Generator<CopyRead> {
  let stretch = 0;
  let pieces: CopyPiece[] = [];
  for (const { kind, block, blockCount, sourceBlock } of extents) {
    if (kind !== 'copy') continue;
    for (let at = 0; at < blockCount;) {
      const found = Math.floor((block + at) / costs.readBlocks);
      if (found !== stretch) {
        yield* mergeCopies(pieces, costs);
        pieces = [];
        stretch = found;
      }
      const count = Math.min(blockCount - at, (stretch + 1) * costs.readBlocks - block - at);
      pieces.push({ block: block + at, sourceBlock: sourceBlock + at, blockCount: count });
      at += count;
    }
  }
  yield* mergeCopies(pieces, costs);
}

function* mergeCopies(pieces: readonly CopyPiece[], costs: ReadCosts): Generator<CopyRead> {
  let held: CopyPiece[] = [];
  let from = 0;
  let to = 0;
  for (const piece of pieces.toSorted((one, other) => one.sourceBlock - other.sourceBlock)) {
    const pieceEnd = piece.sourceBlock + piece.blockCount;
    const isNear = piece.sourceBlock - to <= costs.gapBlocks && Math.max(to, pieceEnd) - from <= costs.readBlocks;
    if (held.length > 0 && !isNear) {
      yield { sourceBlock: from, blockCount: to - from, pieces: held };
      held = [];
    }
    if (held.length === 0) {
      from = piece.sourceBlock;
      to = pieceEnd;
    }
    to = Math.max(to, pieceEnd);
    held.push(piece);
  }
  if (held.length > 0) yield { sourceBlock: from, blockCount: to - from, pieces: held };
}
