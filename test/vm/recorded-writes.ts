import { type FileHandle, open } from 'node:fs/promises';
import { type BlockLogEntry, decodeLogEntry, decodeLogHead, headBytes } from './block-log.ts';

/** A write of a recording, its bytes read when they are wanted. */
export interface RecordedWrite {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly read: () => Promise<Buffer>;
}

/**
 * Reads a recording of a machine's writes (`block-log.ts`) in its order: what was written between two flushes, again and
 * again, and last what was never flushed. Discards are passed over: the disks of the machines keep what they had.
 */
export async function* readFlushes(
  path: string,
): AsyncGenerator<{ readonly writes: readonly RecordedWrite[]; readonly isFlushed: boolean }> {
  const log = await open(path, 'r');
  try {
    const size = (await log.stat()).size;
    // A boot that wrote nothing has a log without a head.
    if (size === 0) return;
    const head = decodeLogHead(await readAt(log, 0, headBytes));
    let writes: RecordedWrite[] = [];
    let at = head.sectorBytes;
    // The count is right up to the latest flush; behind it a killed emulator may have left anything.
    for (let count = 0; count < head.entries; count += 1) {
      const entry = decodeLogEntry(await readAt(log, at, headBytes), at, head);
      if (entry.flushesFirst) {
        yield { writes, isFlushed: true };
        writes = [];
      }
      if (entry.kind === 'write') writes.push(recorded(log, entry));
      at = entry.nextAt;
    }
    if (writes.length > 0) yield { writes, isFlushed: false };
  } finally {
    await log.close();
  }
}

function recorded(log: FileHandle, { offsetBytes, sizeBytes, dataAt }: BlockLogEntry): RecordedWrite {
  return { offsetBytes, sizeBytes, read: () => readAt(log, dataAt, sizeBytes) };
}

async function readAt(file: FileHandle, at: number, sizeBytes: number): Promise<Buffer> {
  const bytes = Buffer.alloc(sizeBytes);
  const { bytesRead } = await file.read(bytes, 0, sizeBytes, at);
  return bytes.subarray(0, bytesRead);
}
