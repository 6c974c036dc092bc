import { blockBytes } from '../block-index/layout.ts';
import { PartitionError } from '../errors.ts';
import type { FrameTable } from '../frame-table.ts';
import { frameLimitBytes } from '../frames/frame.ts';
import type { ByteRange } from '../slot-writer.ts';
import { patchLayout, patchLimits } from './layout.ts';

const { fixedBytes, regionBytes, runBytes, rangeBytes } = patchLayout;

/** Frames that follow one another. */
export interface FrameRun {
  readonly firstFrame: number;
  readonly frameCount: number;
}

/** Blocks that follow one another. */
export interface BlockRange {
  readonly firstBlock: number;
  readonly blockCount: number;
}

/** Frames that are decoded together, and what they refer to. */
export interface PatchRegion {
  /** Where the payload lies in the layer. */
  readonly payload: ByteRange;
  readonly contentSizeBytes: number;
  readonly runs: readonly FrameRun[];
  /** The blocks of the earlier partition that are the dictionary. */
  readonly ranges: readonly BlockRange[];
}

function invalid(reason: string): PartitionError {
  return new PartitionError('patch-invalid', `cannot use the patch: ${reason}`);
}

/**
 * The regions of a patch for the frames of `table`, out of the head of its layer of `layerSizeBytes`. All that they say
 * is within the limits of the layout, within the layer and within `oldSizeBytes` of the earlier partition's device; whether
 * it is true, only decoding tells. Throws `patch-invalid`.
 */
export function parsePatchHead(
  bytes: Uint8Array,
  layerSizeBytes: number,
  table: FrameTable,
  oldSizeBytes: number,
): readonly PatchRegion[] {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { regionsAt, regionCount, runCount, rangeCount, blockCount } = checkFixedPart(head, table);
  if (blockCount > Math.floor(oldSizeBytes / blockBytes)) {
    throw invalid(`it is for a partition of ${blockCount} blocks, and the one that is booted is smaller`);
  }
  const runsAt = regionsAt + regionCount * regionBytes;
  const rangesAt = runsAt + runCount * runBytes;
  const runs = new Runs(head, runsAt, runCount, table);
  const ranges = new Ranges(head, rangesAt, rangeCount, blockCount);
  const regions: PatchRegion[] = [];
  let payloadAt = head.byteLength;
  for (let index = 0; index < regionCount; index += 1) {
    const at = regionsAt + index * regionBytes;
    const sizeBytes = head.readUInt32LE(at);
    const contentSizeBytes = head.readUInt32LE(at + 4);
    if (sizeBytes === 0 || sizeBytes > frameLimitBytes(contentSizeBytes)) {
      throw invalid(`the payload of region ${index} has ${sizeBytes} bytes for ${contentSizeBytes}`);
    }
    const found = runs.take(head.readUInt16LE(at + 8), contentSizeBytes, index);
    const dictionary = ranges.take(head.readUInt16LE(at + 10), index);
    regions.push({ payload: { offset: payloadAt, sizeBytes }, contentSizeBytes, runs: found, ranges: dictionary });
    payloadAt += sizeBytes;
  }
  if (!runs.isDone || !ranges.isDone) throw invalid('it lists more than its regions have');
  if (payloadAt !== layerSizeBytes) throw invalid(`its payloads end at ${payloadAt}, the layer at ${layerSizeBytes}`);
  return regions;
}

/** Checks what tells the format and the partition, and gives the counts of the tables. */
function checkFixedPart(head: Buffer, table: FrameTable) {
  if (head.byteLength < fixedBytes || head.byteLength > patchLimits.headBytes) {
    throw invalid(`its head has ${head.byteLength} bytes, want ${fixedBytes} to ${patchLimits.headBytes}`);
  }
  const found = head.toString('latin1', 0, 8);
  if (found !== patchLayout.magic) {
    throw invalid(`want ${patchLayout.magic} at its start, found ${JSON.stringify(found)}`);
  }
  const regionsAt = head.readUInt32LE(8);
  if (regionsAt < fixedBytes || regionsAt > head.byteLength) throw invalid(`its tables begin at ${regionsAt}`);
  const flags = head.readUInt32LE(12);
  if (flags !== 0) throw invalid(`it has flags that this agent does not know (${flags.toString(16)})`);
  const contentSizeBytes = head.readBigUInt64LE(16);
  if (contentSizeBytes !== BigInt(table.contentSizeBytes) || head.readUInt32LE(24) !== table.count) {
    throw invalid('it gives another partition than the image has');
  }
  const [regionCount, runCount, rangeCount] = [head.readUInt32LE(32), head.readUInt32LE(36), head.readUInt32LE(40)];
  const endBytes = regionsAt + regionCount * regionBytes + runCount * runBytes + rangeCount * rangeBytes;
  if (endBytes !== head.byteLength) throw invalid(`its tables end at ${endBytes}, and it has ${head.byteLength} bytes`);
  return { regionsAt, regionCount, runCount, rangeCount, blockCount: head.readUInt32LE(28) };
}

/** Takes the runs of frames of one region after the other. */
class Runs {
  readonly #head: Buffer;
  readonly #table: FrameTable;
  #at: number;
  #left: number;
  #nextFrame = 0;

  constructor(head: Buffer, at: number, count: number, table: FrameTable) {
    this.#head = head;
    this.#at = at;
    this.#left = count;
    this.#table = table;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  take(count: number, contentSizeBytes: number, region: number): readonly FrameRun[] {
    if (count === 0 || count > this.#left) throw invalid(`region ${region} has ${count} runs of frames`);
    const runs: FrameRun[] = [];
    let sizeBytes = 0;
    let frames = 0;
    for (let index = 0; index < count; index += 1) {
      const firstFrame = this.#head.readUInt32LE(this.#at);
      const frameCount = this.#head.readUInt16LE(this.#at + 4);
      this.#at += runBytes;
      if (firstFrame < this.#nextFrame || frameCount === 0 || firstFrame + frameCount > this.#table.count) {
        throw invalid(`region ${region} has ${frameCount} frames from ${firstFrame} on`);
      }
      this.#nextFrame = firstFrame + frameCount;
      const first = this.#table.frame(firstFrame);
      const last = this.#table.frame(firstFrame + frameCount - 1);
      sizeBytes += last.contentOffsetBytes + last.contentSizeBytes - first.contentOffsetBytes;
      frames += frameCount;
      runs.push({ firstFrame, frameCount });
    }
    this.#left -= count;
    if (sizeBytes !== contentSizeBytes || (frames > 1 && sizeBytes > patchLimits.regionContentBytes)) {
      throw invalid(`region ${region} states ${contentSizeBytes} bytes, its frames have ${sizeBytes}`);
    }
    return runs;
  }
}

/** Takes the dictionary of one region after the other. */
class Ranges {
  readonly #head: Buffer;
  readonly #blockCount: number;
  #at: number;
  #left: number;

  constructor(head: Buffer, at: number, count: number, blockCount: number) {
    this.#head = head;
    this.#at = at;
    this.#left = count;
    this.#blockCount = blockCount;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  take(count: number, region: number): readonly BlockRange[] {
    if (count > this.#left) throw invalid(`region ${region} has ${count} ranges of blocks`);
    const ranges: BlockRange[] = [];
    let blocks = 0;
    for (let index = 0; index < count; index += 1) {
      const firstBlock = this.#head.readUInt32LE(this.#at);
      const blockCount = this.#head.readUInt16LE(this.#at + 4);
      this.#at += rangeBytes;
      blocks += blockCount;
      if (blockCount === 0 || firstBlock + blockCount > this.#blockCount) {
        throw invalid(`region ${region} refers to ${blockCount} blocks from ${firstBlock} on`);
      }
      ranges.push({ firstBlock, blockCount });
    }
    this.#left -= count;
    if (blocks * blockBytes > patchLimits.dictionaryBytes) throw invalid(`region ${region} refers to ${blocks} blocks`);
    return ranges;
  }
}
