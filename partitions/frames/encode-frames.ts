import zlib from 'node:zlib';
import { encodeSeekTable, type SeekEntry } from './seek-table.ts';

/** Largest frame: a decoder holds a whole one, compressed and decoded. */
export const maxFrameBytes = 8 * 1024 * 1024;

function encodeFrame(content: Uint8Array, level: number): Uint8Array {
  return zlib.zstdCompressSync(content, {
    params: {
      [zlib.constants.ZSTD_c_compressionLevel]: level,
      [zlib.constants.ZSTD_c_contentSizeFlag]: 1,
      [zlib.constants.ZSTD_c_checksumFlag]: 1,
    },
    pledgedSrcSize: content.byteLength,
  });
}

/** Cuts `source` into parts of exactly `sizeBytes`; the last one may be smaller, none is empty. */
async function* cutEvenly(source: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Uint8Array> {
  const held = new Uint8Array(sizeBytes);
  let heldBytes = 0;
  for await (const bytes of source) {
    let at = 0;
    while (at < bytes.byteLength) {
      const part = bytes.subarray(at, at + sizeBytes - heldBytes);
      held.set(part, heldBytes);
      heldBytes += part.byteLength;
      at += part.byteLength;
      if (heldBytes === sizeBytes) {
        yield held;
        heldBytes = 0;
      }
    }
  }
  if (heldBytes > 0) yield held.subarray(0, heldBytes);
}

/**
 * Encodes content as independent zstd frames of `frameSizeBytes` (1 B to 8 MiB) of content each, with content size and
 * checksum, and the seek table as the last frame; `zstd -d` reads the whole. The same content, size and level give the
 * same bytes with the same zstd. Empty content is one empty frame. `onFrame` sees each frame that has content, in order,
 * and must not keep it. Throws a `RangeError` for a size out of range.
 */
export async function* encodeFrames(
  source: AsyncIterable<Uint8Array>,
  frameSizeBytes: number,
  level: number,
  onFrame: (content: Uint8Array, compressedSizeBytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  if (!Number.isInteger(frameSizeBytes) || frameSizeBytes < 1 || frameSizeBytes > maxFrameBytes) {
    throw new RangeError(`cannot encode frames: frameSizeBytes is ${frameSizeBytes}, want 1 to ${maxFrameBytes}`);
  }
  const entries: SeekEntry[] = [];
  for await (const content of cutEvenly(source, frameSizeBytes)) {
    const frame = encodeFrame(content, level);
    entries.push({ compressedSizeBytes: frame.byteLength, contentSizeBytes: content.byteLength });
    onFrame(content, frame.byteLength);
    yield frame;
  }
  if (entries.length === 0) {
    const frame = encodeFrame(new Uint8Array(0), level);
    entries.push({ compressedSizeBytes: frame.byteLength, contentSizeBytes: 0 });
    yield frame;
  }
  yield encodeSeekTable(entries);
}
