import { createHash } from 'node:crypto';
import { PartitionError } from '../errors.ts';
import { type Frame, frameLimitBytes } from '../frames/frame.ts';
import type { FrameGroup, IndexHead } from './index-head.ts';
import { blockBytes, layout } from './layout.ts';

const { entryBytes } = layout;
const wholeEntryBytes = entryBytes.blocks + entryBytes.compressedSize + entryBytes.sha256;

/** What the entries of a group say of one frame. */
export interface FrameFacts {
  readonly blockCount: number;
  readonly compressedSizeBytes: number;
  readonly sha256: Uint8Array;
  /** A whole frame of zeros, compressed to the head's `zeroFrameSizeBytes`. */
  readonly isZero: boolean;
}

function invalid(group: FrameGroup, reason: string): PartitionError {
  return new PartitionError(
    'block-index-invalid',
    `cannot read the block index: the group of frame ${group.firstFrame} ${reason}`,
  );
}

/** Encodes the entries of a group, by the layout at the head of `index-head.ts`; of no bytes when all are zeros. */
export function encodeFrameEntries(frames: readonly FrameFacts[]): Uint8Array {
  const listed = frames.filter(({ isZero }) => !isZero);
  if (listed.length === 0) return new Uint8Array(0);
  const bitmap = Buffer.alloc(Math.ceil(frames.length / 8));
  frames.forEach(({ isZero }, index) => {
    if (isZero) bitmap.writeUInt8(bitmap.readUInt8(index >> 3) | (1 << (index & 7)), index >> 3);
  });
  const blocks = Buffer.alloc(entryBytes.blocks * listed.length);
  const sizes = Buffer.alloc(entryBytes.compressedSize * listed.length);
  listed.forEach(({ blockCount, compressedSizeBytes }, index) => {
    blocks.writeUInt16LE(blockCount, index * entryBytes.blocks);
    sizes.writeUInt32LE(compressedSizeBytes, index * entryBytes.compressedSize);
  });
  return Buffer.concat([bitmap, blocks, sizes, ...listed.map(({ sha256 }) => sha256)]);
}

/**
 * The frames of group `index` of `head`, from the bytes of its entries, whose digest is checked first. The digests of
 * the frames are views of `bytes`. Throws `digest-mismatch`, or `block-index-invalid` for entries that contradict the
 * head.
 */
export function decodeFrameEntries(head: IndexHead, index: number, bytes: Uint8Array): readonly Frame[] {
  const group = head.group(index);
  checkEntries(group, bytes);
  const bitmapBytes = bytes.byteLength === 0 ? 0 : Math.ceil(group.frameCount / 8);
  const zeros = Array.from(
    { length: group.frameCount },
    (_, at) => bitmapBytes === 0 || ((bytes[at >> 3] ?? 0) & (1 << (at & 7))) !== 0,
  );
  const listed = zeros.filter((isZero) => !isZero).length;
  if (bytes.byteLength !== bitmapBytes + listed * wholeEntryBytes) {
    throw invalid(group, `has entries of ${bytes.byteLength} bytes for ${listed} frames`);
  }
  const list = new EntryList(bytes.subarray(bitmapBytes), listed);
  const whole: FrameFacts = {
    blockCount: head.frameSizeBytes / blockBytes,
    compressedSizeBytes: head.zeroFrameSizeBytes,
    sha256: head.zeroFrameSha256,
    isZero: true,
  };
  let block = group.firstBlock;
  let compressedOffsetBytes = group.compressedOffsetBytes;
  const frames = zeros.map((isZero, at) => {
    const facts = isZero ? whole : list.next();
    const frame = toFrame(head, group.firstFrame + at, block, compressedOffsetBytes, facts);
    block += facts.blockCount;
    compressedOffsetBytes += facts.compressedSizeBytes;
    return frame;
  });
  const endBytes = group.compressedOffsetBytes + group.compressedSizeBytes;
  if (compressedOffsetBytes !== endBytes || block !== group.firstBlock + group.blockCount) {
    throw invalid(group, 'has frames of another size than the head says');
  }
  return frames;
}

/** The entries of frames that are listed, one after the other. */
class EntryList {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #count: number;
  #taken = 0;

  constructor(bytes: Uint8Array, count: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#count = count;
  }

  next(): FrameFacts {
    const index = this.#taken;
    this.#taken += 1;
    const sizesAt = this.#count * entryBytes.blocks;
    const shaAt = sizesAt + this.#count * entryBytes.compressedSize + index * entryBytes.sha256;
    return {
      blockCount: this.#view.getUint16(index * entryBytes.blocks, true),
      compressedSizeBytes: this.#view.getUint32(sizesAt + index * entryBytes.compressedSize, true),
      sha256: this.#bytes.subarray(shaAt, shaAt + entryBytes.sha256),
      isZero: false,
    };
  }
}

function toFrame(
  head: IndexHead,
  index: number,
  block: number,
  compressedOffsetBytes: number,
  { blockCount, compressedSizeBytes, sha256, isZero }: FrameFacts,
): Frame {
  const contentOffsetBytes = block * blockBytes;
  const sizeBytes = blockCount * blockBytes;
  const contentSizeBytes = Math.min(sizeBytes, head.contentSizeBytes - contentOffsetBytes);
  const refuse = (reason: string) =>
    new PartitionError('block-index-invalid', `cannot read the block index: frame ${index} ${reason}`);
  if (contentSizeBytes < 1 || sizeBytes > head.frameSizeBytes) throw refuse(`has ${blockCount} blocks`);
  if (isZero && contentSizeBytes !== sizeBytes) throw refuse('is called whole, and is not');
  if (compressedSizeBytes < 1 || compressedSizeBytes > frameLimitBytes(contentSizeBytes)) {
    throw refuse(`has ${contentSizeBytes} bytes of content in ${compressedSizeBytes}`);
  }
  return { index, contentOffsetBytes, contentSizeBytes, compressedOffsetBytes, compressedSizeBytes, sha256, isZero };
}

function checkEntries(group: FrameGroup, bytes: Uint8Array): void {
  if (bytes.byteLength !== group.entries.sizeBytes) {
    throw invalid(group, `has ${bytes.byteLength} bytes of entries, want ${group.entries.sizeBytes}`);
  }
  if (bytes.byteLength === 0) return;
  const found = createHash('sha256').update(bytes).digest();
  if (found.equals(group.sha256)) return;
  throw new PartitionError(
    'digest-mismatch',
    `cannot read the block index: the entries of the group of frame ${group.firstFrame} have another digest than signed`,
    { details: { found: found.toString('hex'), want: Buffer.from(group.sha256).toString('hex') } },
  );
}
