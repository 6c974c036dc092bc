import { hash } from 'node:crypto';
import { PartitionError } from '../errors.ts';
import { maxFrameBytes } from '../frames/encode-frames.ts';
import { frameLimitBytes } from '../frames/frame.ts';
import type { ByteRange } from '../slot-writer.ts';
import { blockBytes, digestBytes, indexLimits, layout } from './layout.ts';

const { fixedBytes, groupBytes, segmentBytes, zeroSegmentBit } = layout;
const sha256Bytes = layout.entryBytes.sha256;

/** Frames whose entries are verified together. */
export interface FrameGroup {
  readonly firstFrame: number;
  readonly frameCount: number;
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly compressedOffsetBytes: number;
  readonly compressedSizeBytes: number;
  /** Where the entries lie in the index layer; of no bytes where all are whole frames of zeros. */
  readonly entries: ByteRange;
  /** SHA-256 of the entries, or no bytes. */
  readonly sha256: Uint8Array;
}

/** Blocks whose digests are verified together. */
export interface Segment {
  readonly firstBlock: number;
  readonly blockCount: number;
  /** All blocks are zeros; there are no digests then. */
  readonly isZero: boolean;
  /** Where the digests lie in the index layer. */
  readonly digests: ByteRange;
  /** The first 16 bytes of the SHA-256 of the digests, or no bytes. */
  readonly digest: Uint8Array;
}

function invalid(reason: string): PartitionError {
  return new PartitionError('block-index-invalid', `cannot read the block index: ${reason}`);
}

/**
 * A head that keeps to the format. Memory: its bytes, 20 bytes a group and 12 a segment. The constructor throws
 * `block-index-invalid`; whose head it is, the caller has to prove by its digest.
 */
export class IndexHead {
  readonly contentSizeBytes: number;
  /** Size of all frames in their layer, without the seek table. */
  readonly framesSizeBytes: number;
  readonly frameSizeBytes: number;
  readonly framesPerGroup: number;
  readonly zeroFrameSizeBytes: number;
  readonly blockCount: number;
  readonly frameCount: number;
  readonly groupCount: number;
  readonly segmentCount: number;
  readonly headSizeBytes: number;
  /** The head's own bytes. */
  readonly bytes: Uint8Array;
  readonly #groupsAt: number;
  readonly #segmentsAt: number;
  readonly #groupDigestsAt: number;
  readonly #segmentDigestsAt: number;
  /** For each group, and at last for what follows them: blocks, compressed sizes, entries and digests before it. */
  readonly #framedBefore: Uint32Array;
  readonly #compressedBefore: Float64Array;
  readonly #entriesBefore: Float64Array;
  readonly #listedBefore: Uint32Array;
  /** The same for segments: blocks, blocks with digests, and digests of segments. */
  readonly #blocksBefore: Uint32Array;
  readonly #digestsBefore: Uint32Array;
  readonly #provenBefore: Uint32Array;
  #zeroFrameSha256: Uint8Array | undefined;

  constructor(bytes: Uint8Array) {
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.bytes = bytes;
    this.headSizeBytes = bytes.byteLength;
    const tablesAt = checkFixedPart(head);
    this.contentSizeBytes = readSize(head, 16, 'the content');
    this.framesSizeBytes = readSize(head, 24, 'the frames');
    this.frameSizeBytes = head.readUInt32LE(36);
    this.framesPerGroup = head.readUInt32LE(40);
    this.zeroFrameSizeBytes = head.readUInt32LE(44);
    this.blockCount = Math.ceil(this.contentSizeBytes / blockBytes);
    checkUnits(this.frameSizeBytes, this.framesPerGroup, this.zeroFrameSizeBytes);
    this.frameCount = head.readUInt32LE(48);
    this.groupCount = Math.ceil(this.frameCount / this.framesPerGroup);
    this.segmentCount = head.readUInt32LE(52);
    this.#groupsAt = tablesAt;
    this.#segmentsAt = this.#groupsAt + groupBytes * this.groupCount;
    this.#groupDigestsAt = this.#segmentsAt + segmentBytes * this.segmentCount;
    if (this.#groupDigestsAt > head.byteLength) throw invalid('its tables are longer than it is');
    this.#framedBefore = new Uint32Array(this.groupCount + 1);
    this.#compressedBefore = new Float64Array(this.groupCount + 1);
    this.#entriesBefore = new Float64Array(this.groupCount + 1);
    this.#listedBefore = new Uint32Array(this.groupCount + 1);
    this.#readGroups(head);
    this.#blocksBefore = new Uint32Array(this.segmentCount + 1);
    this.#digestsBefore = new Uint32Array(this.segmentCount + 1);
    this.#provenBefore = new Uint32Array(this.segmentCount + 1);
    this.#readSegments(head);
    this.#segmentDigestsAt = this.#groupDigestsAt + sha256Bytes * (this.#listedBefore[this.groupCount] ?? 0);
    const endBytes = this.#segmentDigestsAt + digestBytes * (this.#provenBefore[this.segmentCount] ?? 0);
    if (endBytes !== head.byteLength)
      throw invalid(`its tables end at ${endBytes}, and it has ${head.byteLength} bytes`);
  }

  /** Size of the whole index layer. */
  get layerSizeBytes(): number {
    return this.digestsOffsetBytes + digestBytes * (this.#digestsBefore[this.segmentCount] ?? 0);
  }

  /** Where the digests of the blocks begin in the layer. */
  get digestsOffsetBytes(): number {
    return this.headSizeBytes + (this.#entriesBefore[this.groupCount] ?? 0);
  }

  /** Group `index`, from 0 to `groupCount` - 1. Throws a `RangeError` for another. */
  group(index: number): FrameGroup {
    checkRange('group', index, this.groupCount);
    const firstFrame = index * this.framesPerGroup;
    const [block = 0, afterBlock = 0] = this.#framedBefore.subarray(index, index + 2);
    const [compressed = 0, afterCompressed = 0] = this.#compressedBefore.subarray(index, index + 2);
    const [entries = 0, afterEntries = 0] = this.#entriesBefore.subarray(index, index + 2);
    const [listed = 0, afterListed = 0] = this.#listedBefore.subarray(index, index + 2);
    return {
      firstFrame,
      frameCount: Math.min(this.framesPerGroup, this.frameCount - firstFrame),
      firstBlock: block,
      blockCount: afterBlock - block,
      compressedOffsetBytes: compressed,
      compressedSizeBytes: afterCompressed - compressed,
      entries: { offset: this.headSizeBytes + entries, sizeBytes: afterEntries - entries },
      sha256: this.#slice(this.#groupDigestsAt, listed, afterListed, sha256Bytes),
    };
  }

  /** Segment `index`, from 0 to `segmentCount` - 1. Throws a `RangeError` for another. */
  segment(index: number): Segment {
    checkRange('segment', index, this.segmentCount);
    const [block = 0, afterBlock = 0] = this.#blocksBefore.subarray(index, index + 2);
    const [digest = 0, afterDigest = 0] = this.#digestsBefore.subarray(index, index + 2);
    const [proven = 0, afterProven = 0] = this.#provenBefore.subarray(index, index + 2);
    return {
      firstBlock: block,
      blockCount: afterBlock - block,
      isZero: afterDigest === digest,
      digests: {
        offset: this.digestsOffsetBytes + digest * digestBytes,
        sizeBytes: (afterDigest - digest) * digestBytes,
      },
      digest: this.#slice(this.#segmentDigestsAt, proven, afterProven, digestBytes),
    };
  }

  /** The segment that holds `block`, from 0 to `blockCount` - 1. Throws a `RangeError` for another. */
  segmentAt(block: number): number {
    checkRange('block', block, this.blockCount);
    let low = 0;
    let high = this.segmentCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#blocksBefore[middle] ?? 0) <= block) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** SHA-256 of a whole frame of zeros. */
  get zeroFrameSha256(): Uint8Array {
    this.#zeroFrameSha256 ??= hash('sha256', Buffer.alloc(this.frameSizeBytes), 'buffer');
    return this.#zeroFrameSha256;
  }

  #slice(at: number, from: number, to: number, sizeBytes: number): Uint8Array {
    return this.bytes.subarray(at + from * sizeBytes, at + to * sizeBytes);
  }

  #readGroups(head: Buffer): void {
    let blocks = 0;
    let compressed = 0;
    let entries = 0;
    let listed = 0;
    for (let index = 0; index < this.groupCount; index += 1) {
      const at = this.#groupsAt + index * groupBytes;
      const frames = Math.min(this.framesPerGroup, this.frameCount - index * this.framesPerGroup);
      const groupBlocks = head.readUInt32LE(at);
      const entriesSizeBytes = head.readUInt16LE(at + 8);
      if (groupBlocks < frames || groupBlocks > (frames * this.frameSizeBytes) / blockBytes) {
        throw invalid(`group ${index} has ${groupBlocks} blocks in ${frames} frames`);
      }
      blocks += groupBlocks;
      compressed += head.readUInt32LE(at + 4);
      entries += entriesSizeBytes;
      if (entriesSizeBytes > 0) listed += 1;
      // The sum must not wrap around in 32 bits before it is compared.
      if (blocks > this.blockCount) break;
      this.#framedBefore[index + 1] = blocks;
      this.#compressedBefore[index + 1] = compressed;
      this.#entriesBefore[index + 1] = entries;
      this.#listedBefore[index + 1] = listed;
    }
    if (blocks !== this.blockCount) throw invalid(`its groups do not have ${this.blockCount} blocks`);
    if (compressed !== this.framesSizeBytes) throw invalid('the sizes of its groups are not that of the frames');
  }

  #readSegments(head: Buffer): void {
    let blocks = 0;
    let digests = 0;
    let proven = 0;
    for (let index = 0; index < this.segmentCount; index += 1) {
      const word = head.readUInt16LE(this.#segmentsAt + index * segmentBytes);
      const count = word & ~zeroSegmentBit;
      if (count === 0) throw invalid(`segment ${index} has no block`);
      blocks += count;
      if ((word & zeroSegmentBit) === 0) {
        digests += count;
        proven += 1;
      }
      if (blocks > this.blockCount) break;
      this.#blocksBefore[index + 1] = blocks;
      this.#digestsBefore[index + 1] = digests;
      this.#provenBefore[index + 1] = proven;
    }
    if (blocks !== this.blockCount) throw invalid(`its segments do not have ${this.blockCount} blocks`);
  }
}

/** Checks what tells the format, and gives the place where the tables begin. */
function checkFixedPart(head: Buffer): number {
  if (head.byteLength < fixedBytes) throw invalid(`it has only ${head.byteLength} bytes`);
  if (head.byteLength > indexLimits.headBytes) {
    throw invalid(`its head has ${head.byteLength} bytes, the limit is ${indexLimits.headBytes}`);
  }
  const found = head.toString('latin1', 0, 8);
  if (found !== layout.magic) throw invalid(`want ${layout.magic} at its start, found ${JSON.stringify(found)}`);
  const tablesAt = head.readUInt32LE(8);
  if (tablesAt < fixedBytes || tablesAt > head.byteLength) throw invalid(`its tables begin at ${tablesAt}`);
  const flags = head.readUInt32LE(12);
  if (flags !== 0) throw invalid(`it has flags that this agent does not know (${flags.toString(16)})`);
  const foundBlockBytes = head.readUInt32LE(32);
  if (foundBlockBytes !== blockBytes) throw invalid(`its blocks have ${foundBlockBytes} bytes, want ${blockBytes}`);
  return tablesAt;
}

function readSize(head: Buffer, at: number, what: string): number {
  const value = head.readBigUInt64LE(at);
  if (value < 1n || value > BigInt(indexLimits.contentBytes)) {
    throw invalid(`it states ${value} bytes for ${what}, the limit is ${indexLimits.contentBytes}`);
  }
  return Number(value);
}

function checkUnits(frameSizeBytes: number, framesPerGroup: number, zeroFrameSizeBytes: number): void {
  if (frameSizeBytes < blockBytes || frameSizeBytes > maxFrameBytes || frameSizeBytes % blockBytes !== 0) {
    throw invalid(`its frames have ${frameSizeBytes} bytes, want a multiple of ${blockBytes} up to ${maxFrameBytes}`);
  }
  const groupContentBytes = framesPerGroup * frameSizeBytes;
  if (
    framesPerGroup < 1 ||
    framesPerGroup > indexLimits.framesPerGroup ||
    groupContentBytes > indexLimits.groupContentBytes
  ) {
    throw invalid(`its groups have ${framesPerGroup} frames of ${frameSizeBytes} bytes`);
  }
  if (zeroFrameSizeBytes > frameLimitBytes(frameSizeBytes)) {
    throw invalid(`a frame of zeros has ${zeroFrameSizeBytes} bytes`);
  }
}

function checkRange(what: string, index: number, count: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= count) {
    throw new RangeError(`cannot use ${what} ${index} of a block index: it has ${count}`);
  }
}
