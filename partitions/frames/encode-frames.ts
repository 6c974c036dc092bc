import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { cutEvenly } from './cut-frames.ts';
import { encodeSeekTable, type SeekEntry } from './seek-table.ts';

/** Largest frame: a decoder holds a whole one, compressed and decoded. */
export const maxFrameBytes = 8 * 1024 * 1024;

const compress = promisify(zlib.zstdCompress);

/** More than any frame of `contentBytes` takes (zstd.h, ZSTD_COMPRESSBOUND, and the checksum). */
function roomFor(contentBytes: number): number {
  return contentBytes + Math.ceil(contentBytes / 256) + 1024;
}

function encodeFrame(content: Uint8Array, level: number): Promise<Uint8Array> {
  return compress(content, {
    // Output that fills its buffer exactly makes Node call zstd once more, which then adds an empty frame.
    chunkSize: roomFor(content.byteLength),
    params: {
      [zlib.constants.ZSTD_c_compressionLevel]: level,
      [zlib.constants.ZSTD_c_contentSizeFlag]: 1,
      [zlib.constants.ZSTD_c_checksumFlag]: 1,
    },
    pledgedSrcSize: content.byteLength,
  });
}

/** As many as libuv has threads. */
const framesInFlight = 4;

/** Sees a frame that has content; it must not keep it. */
export type OnFrame = (content: Uint8Array, compressedSizeBytes: number) => void;

/**
 * Encodes content as independent zstd frames of `frameSizeBytes` (1 B to 8 MiB) of content each, with content size and
 * checksum, and the seek table as the last frame; `zstd -d` reads the whole. The same content, size and level give the
 * same bytes with the same zstd. Empty content is one empty frame. `onFrame` sees the frames in order. Throws a
 * `RangeError` for a size out of range.
 */
export async function* encodeFrames(
  source: AsyncIterable<Uint8Array>,
  frameSizeBytes: number,
  level: number,
  onFrame: OnFrame = () => undefined,
): AsyncGenerator<Uint8Array> {
  if (!Number.isInteger(frameSizeBytes) || frameSizeBytes < 1 || frameSizeBytes > maxFrameBytes) {
    throw new RangeError(`cannot encode frames: frameSizeBytes is ${frameSizeBytes}, want 1 to ${maxFrameBytes}`);
  }
  yield* encodeCutFrames(cutEvenly(source, frameSizeBytes), level, onFrame);
}

/** As `encodeFrames`, of content that is cut into frames already; each in memory of its own. */
export async function* encodeCutFrames(
  contents: AsyncIterable<Uint8Array>,
  level: number,
  onFrame: OnFrame = () => undefined,
): AsyncGenerator<Uint8Array> {
  const entries: SeekEntry[] = [];
  const pending: { readonly content: Uint8Array; readonly frame: Promise<Uint8Array> }[] = [];
  async function* finish(leftInFlight: number): AsyncGenerator<Uint8Array> {
    while (pending.length > leftInFlight) {
      const next = pending.shift();
      if (next === undefined) return;
      const frame = await next.frame;
      entries.push({ compressedSizeBytes: frame.byteLength, contentSizeBytes: next.content.byteLength });
      if (next.content.byteLength > 0) onFrame(next.content, frame.byteLength);
      yield frame;
    }
  }
  try {
    for await (const content of contents) {
      pending.push({ content, frame: encodeFrame(content, level) });
      yield* finish(framesInFlight);
    }
    if (entries.length === 0 && pending.length === 0) {
      const content = new Uint8Array(0);
      pending.push({ content, frame: encodeFrame(content, level) });
    }
    yield* finish(0);
  } finally {
    // An error of the source comes first; what is still in flight must not end the process.
    await Promise.allSettled(pending.map(({ frame }) => frame));
  }
  yield encodeSeekTable(entries);
}
