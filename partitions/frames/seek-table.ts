/**
 * The seek table of the zstd seekable format (facebook/zstd, contrib/seekable_format), the last frame of a layer:
 *
 *     magic u32 0x184D2A5E | size u32 of what follows | entries: compressed u32, content u32 | footer
 *     footer: frames u32 | descriptor u8 (bit 7: entries carry a checksum; bits 6..2 must be 0) | magic u32 0x8F92EAB1
 *
 * All numbers are little-endian. Ordinary decoders skip the frame, as its magic marks it skippable.
 */
import { PartitionError } from '../errors.ts';

/** One frame of the table. */
export interface SeekEntry {
  readonly compressedSizeBytes: number;
  readonly contentSizeBytes: number;
}

/** The format's own limit on frames. */
export const maxSeekFrames = 0x8000000;
/** Size of the footer, which is enough to learn the size of the table. */
export const seekFooterBytes = 9;

const skippableMagic = 0x184d2a5e;
const seekableMagic = 0x8f92eab1;
const headerBytes = 8;
const entryBytes = 8;

function corrupt(reason: string): PartitionError {
  return new PartitionError('layer-corrupt', `cannot read the seek table: ${reason}`);
}

/** Encodes the table as a skippable frame. Throws a `RangeError` where a size does not fit 32 bits. */
export function encodeSeekTable(entries: readonly SeekEntry[]): Uint8Array {
  if (entries.length > maxSeekFrames) throw new RangeError(`cannot encode the seek table: ${entries.length} frames`);
  const bodyBytes = entries.length * entryBytes + seekFooterBytes;
  const bytes = Buffer.alloc(headerBytes + bodyBytes);
  let at = bytes.writeUInt32LE(skippableMagic, 0);
  at = bytes.writeUInt32LE(bodyBytes, at);
  for (const entry of entries) {
    at = bytes.writeUInt32LE(entry.compressedSizeBytes, at);
    at = bytes.writeUInt32LE(entry.contentSizeBytes, at);
  }
  at = bytes.writeUInt32LE(entries.length, at);
  at = bytes.writeUInt8(0, at);
  bytes.writeUInt32LE(seekableMagic, at);
  return bytes;
}

/**
 * Size of the whole table frame, told by the last `seekFooterBytes` bytes of a layer; `undefined` when the layer ends
 * in no seek table. Throws `layer-corrupt` for a footer that breaks the format.
 */
export function seekTableSizeBytes(footer: Uint8Array): number | undefined {
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  if (footer.byteLength !== seekFooterBytes || view.getUint32(5, true) !== seekableMagic) return undefined;
  const frames = view.getUint32(0, true);
  const descriptor = view.getUint8(4);
  if (frames > maxSeekFrames) throw corrupt(`it states ${frames} frames, the limit is ${maxSeekFrames}`);
  if ((descriptor & 0x7c) !== 0) throw corrupt('a reserved bit is set');
  return headerBytes + frames * (entryBytes + ((descriptor & 0x80) === 0 ? 0 : 4)) + seekFooterBytes;
}

/** Decodes a whole table frame; checksums of entries are skipped, as layers have digests. Throws `layer-corrupt`. */
export function decodeSeekTable(bytes: Uint8Array): readonly SeekEntry[] {
  if (bytes.byteLength < headerBytes + seekFooterBytes) throw corrupt(`it has only ${bytes.byteLength} bytes`);
  const sizeBytes = seekTableSizeBytes(bytes.subarray(bytes.byteLength - seekFooterBytes));
  if (sizeBytes === undefined) throw corrupt('its footer is missing');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isWhole = sizeBytes === bytes.byteLength && view.getUint32(4, true) === sizeBytes - headerBytes;
  if (!isWhole || view.getUint32(0, true) !== skippableMagic) throw corrupt('its header contradicts its footer');
  const frames = view.getUint32(sizeBytes - seekFooterBytes, true);
  const strideBytes = frames === 0 ? entryBytes : (sizeBytes - headerBytes - seekFooterBytes) / frames;
  return Array.from({ length: frames }, (_, index) => {
    const at = headerBytes + index * strideBytes;
    return { compressedSizeBytes: view.getUint32(at, true), contentSizeBytes: view.getUint32(at + 4, true) };
  });
}
