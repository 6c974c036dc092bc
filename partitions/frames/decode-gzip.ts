import zlib from 'node:zlib';
import { PartitionError } from '../errors.ts';
import { runDecoder } from './run-decoder.ts';

function nameError(cause: unknown): PartitionError {
  const isTruncated = cause instanceof Error && 'code' in cause && cause.code === 'Z_BUF_ERROR';
  return isTruncated
    ? new PartitionError('download-truncated', 'cannot decode the layer: it ends inside a gzip member', { cause })
    : new PartitionError('layer-corrupt', 'cannot decode the layer: a gzip member does not decode', { cause });
}

/**
 * Decodes gzip with one or more members (RFC 1952). Pulls from `source` no faster than it is pulled from. Throws
 * `download-truncated`, `layer-corrupt` (also for anything after the last member), or the error of `source`.
 */
export async function* decodeGzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let fedBytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const bytes of source) {
      fedBytes += bytes.byteLength;
      yield bytes;
    }
  }
  const decoder = zlib.createGunzip({ chunkSize: 256 * 1024 });
  yield* runDecoder(counted(), decoder, nameError);
  // Zeros after the last member end the stream without an error.
  if (decoder.bytesWritten !== fedBytes) {
    throw new PartitionError(
      'layer-corrupt',
      `cannot decode the layer: ${fedBytes - decoder.bytesWritten} bytes follow the last gzip member`,
    );
  }
}
