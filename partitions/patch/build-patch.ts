import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { digestBlocks } from '../block-index/block-digest.ts';
import type { IndexHead } from '../block-index/index-head.ts';
import { blockBytes, digestBytes } from '../block-index/layout.ts';
import type { FrameTable } from '../frame-table.ts';
import type { ReadContent } from '../delta/digest-source.ts';
import { AnchorTable, anchorBytes } from './anchors.ts';
import { chooseBlocks } from './choose-blocks.ts';
import type { PlacelessRegion } from './encode-head.ts';
import { patchLayout, patchLimits } from './layout.ts';
import { framesMissing, planRegions, type RegionPlan } from './missing-frames.ts';
import type { BlockRange } from './patch-head.ts';

/** The two contents that a patch is between. */
export interface PatchInput {
  readonly oldSizeBytes: number;
  readonly readOld: ReadContent;
  readonly readNew: ReadContent;
  /** The index of the new content. */
  readonly head: IndexHead;
  readonly table: FrameTable;
  readonly level: number;
}

/** A region of a patch, with its payload. */
export interface BuiltRegion extends PlacelessRegion {
  readonly payload: Uint8Array;
  /** What its frames take in the image's layer. */
  readonly layerBytes: number;
}

const pieceBytes = 1024 * 1024;
/** As many as libuv has threads. */
const regionsInFlight = 4;

const compress = promisify(zlib.zstdCompress);
const decompress = promisify(zlib.zstdDecompress);

/** Whole blocks of the earlier content: what a dictionary is made of. */
export function oldBlocksOf(oldSizeBytes: number): number {
  return Math.floor(oldSizeBytes / blockBytes);
}

/**
 * The regions of a patch, in order: of those frames that a node with the earlier image misses, as far as they are smaller
 * than in the layer. Each was decoded as a node decodes it. The same input gives the same regions, with the same zstd.
 * Memory: 4 MiB of digests a GiB of each content, the anchors of `AnchorTable`, and 8 MiB a region under way. Rejects
 * with the errors of reading.
 */
export async function* buildRegions(input: PatchInput): AsyncGenerator<BuiltRegion> {
  const { digests, anchors } = await scanOld(input);
  const pending: Promise<BuiltRegion | undefined>[] = [];
  try {
    for (const plan of planRegions(await framesMissing(input.head, input.table, digests))) {
      pending.push(buildRegion(input, plan, anchors));
      if (pending.length < regionsInFlight) continue;
      const built = await pending.shift();
      if (built !== undefined) yield built;
    }
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      const built = await next;
      if (built !== undefined) yield built;
    }
  } finally {
    // What is still under way must not end the process.
    await Promise.allSettled(pending);
  }
}

/** One pass over the earlier content. */
async function scanOld({ oldSizeBytes, readOld }: PatchInput) {
  const digests = new Uint8Array(Math.ceil(oldSizeBytes / blockBytes) * digestBytes);
  const anchors = new AnchorTable(oldSizeBytes);
  const held = new Uint8Array(anchorBytes - 1 + pieceBytes);
  for (let offset = 0; offset < oldSizeBytes; offset += pieceBytes) {
    // The end of the piece before comes first, so that no anchor is lost between two.
    held.copyWithin(0, pieceBytes);
    const piece = held.subarray(anchorBytes - 1, anchorBytes - 1 + Math.min(pieceBytes, oldSizeBytes - offset));
    await readOld(piece, offset);
    digests.set(digestBlocks(piece), (offset / blockBytes) * digestBytes);
    const scanned = offset === 0 ? piece : held.subarray(0, anchorBytes - 1 + piece.byteLength);
    anchors.add(scanned, offset + piece.byteLength - scanned.byteLength);
  }
  return { digests, anchors };
}

async function buildRegion(
  { oldSizeBytes, readOld, readNew, level }: PatchInput,
  { frames, runs }: RegionPlan,
  anchors: AnchorTable,
): Promise<BuiltRegion | undefined> {
  const contentSizeBytes = frames.reduce((sum, frame) => sum + frame.contentSizeBytes, 0);
  const layerBytes = frames.reduce((sum, frame) => sum + frame.compressedSizeBytes, 0);
  const content = new Uint8Array(contentSizeBytes);
  let at = 0;
  for (const frame of frames) {
    await readNew(content.subarray(at, at + frame.contentSizeBytes), frame.contentOffsetBytes);
    at += frame.contentSizeBytes;
  }
  const ranges = chooseBlocks(content, anchors, oldBlocksOf(oldSizeBytes));
  const dictionary = await readRanges(readOld, ranges);
  const { ZSTD_c_compressionLevel, ZSTD_c_contentSizeFlag, ZSTD_d_windowLogMax } = zlib.constants;
  const payload = await compress(content, {
    ...dictionary,
    // With room for all of it, zlib asks zstd once.
    chunkSize: contentSizeBytes + Math.ceil(contentSizeBytes / 128) + 1024,
    params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_contentSizeFlag]: 1 },
    pledgedSrcSize: contentSizeBytes,
  }).catch(() => undefined);
  const { regionBytes, runBytes, rangeBytes } = patchLayout;
  const headBytes = regionBytes + runs.length * runBytes + ranges.length * rangeBytes;
  if (payload === undefined || payload.byteLength + headBytes >= layerBytes) return undefined;
  // Blocks that begin as one of zstd's own dictionaries would be read as such: a region that they spoil is left out.
  const decoded = await decompress(payload, {
    ...dictionary,
    maxOutputLength: contentSizeBytes,
    params: { [ZSTD_d_windowLogMax]: patchLimits.windowLog },
  }).catch(() => undefined);
  if (decoded === undefined || Buffer.compare(decoded, content) !== 0) return undefined;
  return { payload, payloadSizeBytes: payload.byteLength, contentSizeBytes, runs, ranges, layerBytes };
}

/** The option of zlib for a dictionary of `ranges`; none where there is nothing in it. */
async function readRanges(
  readOld: ReadContent,
  ranges: readonly BlockRange[],
): Promise<{ readonly dictionary?: Uint8Array }> {
  const blocks = ranges.reduce((sum, { blockCount }) => sum + blockCount, 0);
  if (blocks === 0) return {};
  const dictionary = new Uint8Array(blocks * blockBytes);
  let at = 0;
  for (const { firstBlock, blockCount } of ranges) {
    await readOld(dictionary.subarray(at, at + blockCount * blockBytes), firstBlock * blockBytes);
    at += blockCount * blockBytes;
  }
  return { dictionary };
}
