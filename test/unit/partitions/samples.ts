import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { PartitionError } from '../../../partitions/errors.ts';

/** Bytes that look random and compress to about half, the same on each run. */
export function sampleBytes(sizeBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < sizeBytes; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = (state >>> 8) & 0x0f;
  }
  return bytes;
}

/** The bytes in pieces of `pieceBytes`. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** All bytes of a source. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const bytes of source) parts.push(bytes);
  return Buffer.concat(parts);
}

/** The code of the `PartitionError` that `action` ends in; any other error is thrown on. */
export async function codeOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof PartitionError) return error.code;
    throw error;
  }
  return 'no error';
}

/** What the zstd tool makes of `input`. */
export function zstdTool(args: readonly string[], input: Uint8Array): Buffer {
  return execFileSync('zstd', ['-q', '-c', ...args], { input, maxBuffer: 256 * 1024 * 1024 });
}

export function sha256Of(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
