import zlib from 'node:zlib';
import { PartitionError } from '../errors.ts';
import { frameLimitBytes } from './frame.ts';
import { runDecoder } from './run-decoder.ts';
import { ZstdBoundaries, type ZstdFrameHeader, type ZstdPiece } from './zstd-boundaries.ts';

/** A frame that states at most this much content is decoded by one bounded call. */
const wholeFrameBytes = 8 * 1024 * 1024;
const outputBytes = 256 * 1024;

function corrupt(reason: string, cause?: unknown): PartitionError {
  return new PartitionError(
    'layer-corrupt',
    `cannot decode the layer: ${reason}`,
    cause === undefined ? {} : { cause },
  );
}

/** Cuts `source` where zstd frames begin and end. Throws `layer-corrupt`, `download-truncated`, or its error. */
export async function* cutIntoPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<ZstdPiece, undefined> {
  const boundaries = new ZstdBoundaries();
  for await (const bytes of source) yield* boundaries.push(bytes);
  boundaries.end();
  return undefined;
}

/** The bytes of the frame that began, up to its end; leaves `pieces` open for the next frame. */
export async function* bytesOfFrame(pieces: AsyncGenerator<ZstdPiece, undefined>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { value: piece } = await pieces.next();
    if (piece === undefined || piece.kind === 'end') return;
    if (piece.kind === 'bytes') yield piece.bytes;
  }
}

async function decodeWhole(frame: AsyncIterable<Uint8Array>, contentSizeBytes: number): Promise<Uint8Array> {
  const limitBytes = frameLimitBytes(contentSizeBytes);
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const bytes of frame) {
    sizeBytes += bytes.byteLength;
    if (sizeBytes > limitBytes)
      throw corrupt(`a frame of ${contentSizeBytes} bytes has more than ${limitBytes} compressed`);
    parts.push(bytes);
  }
  let content: Buffer;
  try {
    content = zlib.zstdDecompressSync(Buffer.concat(parts), {
      maxOutputLength: Math.max(contentSizeBytes, 1),
      chunkSize: Math.max(contentSizeBytes, 64),
    });
  } catch (cause) {
    throw corrupt('a frame does not decode', cause);
  }
  if (content.byteLength !== contentSizeBytes) {
    throw corrupt(`a frame states ${contentSizeBytes} bytes and has ${content.byteLength}`);
  }
  return content;
}

/** Decodes one frame of any size as it comes. Throws `layer-corrupt`, or the error of `frame`. */
export async function* decodeStreaming(
  frame: AsyncIterable<Uint8Array>,
  header: ZstdFrameHeader,
): AsyncGenerator<Uint8Array> {
  const decoder = zlib.createZstdDecompress({ chunkSize: outputBytes });
  let sizeBytes = 0;
  for await (const bytes of runDecoder(frame, decoder, (cause) => corrupt('a frame does not decode', cause))) {
    sizeBytes += bytes.byteLength;
    yield bytes;
  }
  if (header.contentSizeBytes !== undefined && sizeBytes !== header.contentSizeBytes) {
    throw corrupt(`a frame states ${header.contentSizeBytes} bytes and has ${sizeBytes}`);
  }
}

/**
 * Decodes zstd frame by frame, each by a decoder of its own: Node's stream decoder stops after the first frame without
 * a word, and takes a truncated one as complete. Pulls from `source` no faster than it is pulled from. Memory: the
 * larger of 16 MiB and a frame's window (at most 128 MiB). Throws `download-truncated`, `layer-corrupt`, or the error
 * of `source`.
 */
export async function* decodeZstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = cutIntoPieces(source);
  try {
    for (;;) {
      const { value: piece } = await pieces.next();
      if (piece === undefined) return;
      if (piece.kind !== 'start') continue;
      const { contentSizeBytes } = piece.header;
      const frame = bytesOfFrame(pieces);
      if (contentSizeBytes !== undefined && contentSizeBytes <= wholeFrameBytes) {
        const content = await decodeWhole(frame, contentSizeBytes);
        if (content.byteLength > 0) yield content;
      } else {
        yield* decodeStreaming(frame, piece.header);
      }
    }
  } finally {
    await pieces.return(undefined);
  }
}
