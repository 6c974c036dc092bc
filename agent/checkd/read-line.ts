import type { Duplex } from 'node:stream';
import { AgentError } from '../core/errors.ts';

/**
 * The next line of `stream`, without its end; `undefined` where it ends before. What follows in the same piece is dropped: the
 * two sides take turns. Rejects with `check-refused` once `limitBytes` came without an end, and with the error of the stream.
 */
export async function readLine(stream: Duplex, limitBytes: number): Promise<string | undefined> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    const end = piece.indexOf(0x0a);
    pieces.push(end < 0 ? piece : piece.subarray(0, end));
    sizeBytes += end < 0 ? piece.byteLength : end + 1;
    if (sizeBytes > limitBytes) {
      throw new AgentError('check-refused', `cannot take the message: it is over ${limitBytes} bytes`);
    }
    if (end >= 0) return Buffer.concat(pieces).toString('utf8');
  }
  return undefined;
}
