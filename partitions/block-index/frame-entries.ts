import { createHash } from 'node:crypto';
import { PartitionError } from '../errors.ts';
import { type Frame, frameLimitBytes } from '../frames/frame.ts';
import type { FrameGroup, IndexHead } from './index-head.ts';
import { layout } from './layout.ts';

const { compressedSizeBytes: sizeFieldBytes, sha256Bytes } = layout;

/** What the entries of a group say of one frame. */
export interface FrameFacts {
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
  const sizes = Buffer.alloc(sizeFieldBytes * listed.length);
  listed.forEach((frame, index) => sizes.writeUInt32LE(frame.compressedSizeBytes, index * sizeFieldBytes));
  return Buffer.concat([bitmap, sizes, ...listed.map(({ sha256 }) => sha256)]);
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
  if (bytes.byteLength !== bitmapBytes + listed * (sizeFieldBytes + sha256Bytes)) {
    throw invalid(group, `has entries of ${bytes.byteLength} bytes for ${listed} frames`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let compressedOffsetBytes = group.compressedOffsetBytes;
  let taken = 0;
  const frames = zeros.map((isZero, at) => {
    const shaAt = bitmapBytes + listed * sizeFieldBytes + taken * sha256Bytes;
    const frame = toFrame(head, group.firstFrame + at, compressedOffsetBytes, {
      isZero,
      compressedSizeBytes: isZero
        ? head.zeroFrameSizeBytes
        : view.getUint32(bitmapBytes + taken * sizeFieldBytes, true),
      sha256: isZero ? head.zeroFrameSha256 : bytes.subarray(shaAt, shaAt + sha256Bytes),
    });
    compressedOffsetBytes += frame.compressedSizeBytes;
    taken += isZero ? 0 : 1;
    return frame;
  });
  if (compressedOffsetBytes !== group.compressedOffsetBytes + group.compressedSizeBytes) {
    throw invalid(group, 'has frames of another size than the head says');
  }
  return frames;
}

function toFrame(head: IndexHead, index: number, compressedOffsetBytes: number, facts: FrameFacts): Frame {
  const contentSizeBytes = head.frameContentBytes(index);
  const { compressedSizeBytes, isZero } = facts;
  const refuse = (reason: string) =>
    new PartitionError('block-index-invalid', `cannot read the block index: frame ${index} ${reason}`);
  if (isZero && contentSizeBytes !== head.frameSizeBytes) throw refuse('is called whole, and is the rest');
  if (compressedSizeBytes < 1 || compressedSizeBytes > frameLimitBytes(contentSizeBytes)) {
    throw refuse(`has ${contentSizeBytes} bytes of content in ${compressedSizeBytes}`);
  }
  const contentOffsetBytes = index * head.frameSizeBytes;
  return { index, contentOffsetBytes, contentSizeBytes, compressedOffsetBytes, ...facts };
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
