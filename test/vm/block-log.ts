/*
 * The log of all writes to a block device, as Linux's dm-log-writes and QEMU's blklogwrites keep it
 * (Documentation/admin-guide/device-mapper/log-writes.rst; drivers/md/dm-log-writes.c). All numbers are little-endian.
 *
 *   sector 0    offset  size
 *                    0     8  magic 0x006a736677736872
 *                    8     8  version, 1
 *                   16     8  number of entries
 *                   24     4  size of a sector in bytes, of the log and of the places in it
 *   sector 1 …  each entry begins a sector:
 *                    0     8  first sector that is written
 *                    8     8  number of sectors
 *                   16     8  flags: 1 flush, 2 forced unit access, 4 discard, 8 mark, 16 metadata
 *                   24     8  length of what follows in the same sector (marks), or of the data in whole sectors
 *               then, from the next sector on, the data: the number of sectors that are written, none for a discard
 */

const magic = 0x006a736677736872n;
const version = 1n;

/** Bytes of the log's head, and of the head of one entry. */
export const headBytes = 32;

const flushFlag = 1n;
const forcedFlag = 2n;
const discardFlag = 4n;
const markFlag = 8n;

/** Largest write of one entry that is believed, in bytes. */
const dataLimitBytes = 64 * 1024 * 1024;

/** What the head of a log says. */
export interface BlockLogHead {
  readonly entries: number;
  readonly sectorBytes: number;
}

/** One entry: what happened to the device, and where the next entry is. */
export interface BlockLogEntry {
  /**
   * - `write`: `sizeBytes` from `offsetBytes` on were written.
   * - `discard`: they may read as anything from here on.
   * - `flush`: all that was written before is durable.
   * - `mark`: a note for people.
   */
  readonly kind: 'write' | 'discard' | 'flush' | 'mark';
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** All that was written before is durable before this one is written. */
  readonly flushesFirst: boolean;
  /** Durable by itself once it is written. */
  readonly isForced: boolean;
  /** Where the log has the data of a write. */
  readonly dataAt: number;
  readonly nextAt: number;
}

/** Reads the head of a log out of its first `headBytes`. Throws an `Error` that names the field. */
export function decodeLogHead(bytes: Uint8Array): BlockLogHead {
  const head = viewOf(bytes, 'the head');
  if (head.getBigUint64(0, true) !== magic) throw new Error('cannot read the log of writes: its magic is wrong');
  if (head.getBigUint64(8, true) !== version) throw new Error('cannot read the log of writes: its version is not 1');
  const sectorBytes = head.getUint32(24, true);
  if (sectorBytes < 512 || sectorBytes > 65536 || (sectorBytes & (sectorBytes - 1)) !== 0) {
    throw new Error(`cannot read the log of writes: its sectors have ${sectorBytes} bytes`);
  }
  return { entries: bounded(head.getBigUint64(16, true), 2 ** 32, 'number of entries'), sectorBytes };
}

/** Reads the head of the entry at `at` out of its first `headBytes`. Throws an `Error` that names the field. */
export function decodeLogEntry(bytes: Uint8Array, at: number, { sectorBytes }: BlockLogHead): BlockLogEntry {
  const head = viewOf(bytes, `the entry at ${at}`);
  const flags = head.getBigUint64(16, true);
  const isDiscard = (flags & discardFlag) !== 0n;
  const isMark = (flags & markFlag) !== 0n;
  const first = bounded(head.getBigUint64(0, true), 2 ** 40, `first sector of the entry at ${at}`);
  // A discard may be as long as the device; what is written lies in the log itself.
  const limit = isDiscard ? 2 ** 40 : dataLimitBytes / sectorBytes;
  const count = bounded(head.getBigUint64(8, true), limit, `number of sectors of the entry at ${at}`);
  const dataAt = at + sectorBytes;
  const isFlush = (flags & flushFlag) !== 0n;
  return {
    kind: isMark ? 'mark' : isDiscard ? 'discard' : isFlush && count === 0 ? 'flush' : 'write',
    offsetBytes: first * sectorBytes,
    sizeBytes: count * sectorBytes,
    flushesFirst: isFlush,
    isForced: (flags & forcedFlag) !== 0n,
    dataAt,
    nextAt: isDiscard || isMark ? dataAt : dataAt + count * sectorBytes,
  };
}

function viewOf(bytes: Uint8Array, what: string): DataView {
  if (bytes.byteLength < headBytes) throw new Error(`cannot read the log of writes: ${what} is cut short`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bounded(value: bigint, limit: number, what: string): number {
  if (value > BigInt(limit))
    throw new Error(`cannot read the log of writes: the ${what} is ${value}, more than ${limit}`);
  return Number(value);
}
