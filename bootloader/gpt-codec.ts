/**
 * The GUID partition table, as far as its attributes go. Little-endian; LBA is the disk's logical block, 512 or 4096.
 *
 *     header, at the start of its block        entry, `entryBytes` apart
 *       0  8  "EFI PART"                         0 16  type GUID, all zero when the entry is unused
 *       8  4  revision, 0x00010000              16 16  GUID of the partition
 *      12  4  header size, 92 or more           32  8  first LBA
 *      16  4  CRC-32 of the header with         40  8  last LBA
 *             this field zero                   48  8  attributes
 *      24  8  LBA of this header                56 72  name, UTF-16
 *      32  8  LBA of the other header
 *      40  8  first LBA for partitions         A GUID's first three fields are stored little-endian, its last
 *      48  8  last LBA for partitions          eight bytes as they are written.
 *      56 16  GUID of the disk
 *      72  8  first LBA of the entry array     The primary header is in LBA 1 with its array behind it, the backup
 *      80  4  number of entries                header in the last LBA with its array before it.
 *      84  4  bytes of an entry
 *      88  4  CRC-32 of the entry array
 */
import { crc32 } from 'node:zlib';
import { BootloaderError } from './errors.ts';

/** One of the two headers. `bytes` is its whole block, so that what is not ours stays as it is. */
export interface GptHeader {
  readonly bytes: Uint8Array;
  readonly lba: number;
  readonly otherLba: number;
  readonly firstUsableLba: number;
  readonly lastUsableLba: number;
  readonly arrayLba: number;
  readonly entryCount: number;
  readonly entryBytes: number;
}

/** An entry that is in use. GUIDs are in lower case. */
export interface GptEntry {
  readonly index: number;
  readonly typeGuid: string;
  readonly guid: string;
  readonly attributes: bigint;
}

const signature = 'EFI PART';
const revision = 0x0001_0000;
const leastHeaderBytes = 92;
const leastEntryBytes = 128;
const mostEntryBytes = 4096;
const mostEntries = 1024;
const mostArrayBytes = 512 * 1024;
const attributesOffset = 48;
const mostLba = BigInt(Number.MAX_SAFE_INTEGER) / 4096n;

function corrupt(reason: string): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read the partition table: ${reason}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Reads the header in `block`, which is LBA `lba` of a disk of `diskBlocks` blocks. Throws `boot-env-corrupt` unless its
 * checksum matches and everything that it points to lies on the disk, apart from each other.
 */
export function parseHeader(block: Uint8Array, lba: number, diskBlocks: number): GptHeader {
  if (block.byteLength !== 512 && block.byteLength !== 4096) {
    throw corrupt(`its block has ${block.byteLength} bytes, want 512 or 4096`);
  }
  if (Buffer.from(block.subarray(0, 8)).toString('latin1') !== signature) throw corrupt('it has no signature');
  const view = viewOf(block);
  if (view.getUint32(8, true) !== revision) throw corrupt(`its revision is ${view.getUint32(8, true)}`);
  const headerBytes = view.getUint32(12, true);
  if (headerBytes < leastHeaderBytes || headerBytes > block.byteLength) {
    throw corrupt(`its header says that it has ${headerBytes} bytes`);
  }
  if (view.getUint32(16, true) !== headerChecksum(block, headerBytes)) throw corrupt('its header fails its checksum');
  const header: GptHeader = {
    bytes: Uint8Array.from(block),
    lba: readLba(view, 24),
    otherLba: readLba(view, 32),
    firstUsableLba: readLba(view, 40),
    lastUsableLba: readLba(view, 48),
    arrayLba: readLba(view, 72),
    entryCount: view.getUint32(80, true),
    entryBytes: view.getUint32(84, true),
  };
  if (header.lba !== lba) throw corrupt(`its header in LBA ${lba} says that it is in LBA ${header.lba}`);
  checkPlaces(header, diskBlocks);
  return header;
}

function readLba(view: DataView, offset: number): number {
  const lba = view.getBigUint64(offset, true);
  // Bytes, not only blocks, have to be whole numbers: 4096 of them are in a block.
  if (lba > mostLba) throw corrupt(`LBA ${lba} is beyond any disk`);
  return Number(lba);
}

function headerChecksum(block: Uint8Array, headerBytes: number): number {
  const copy = Uint8Array.from(block.subarray(0, headerBytes));
  copy.fill(0, 16, 20);
  return crc32(copy);
}

/** Throws `boot-env-corrupt` when the header's array overlaps anything else, or leaves the disk. */
export function checkPlaces(header: GptHeader, diskBlocks: number): void {
  const { lba, otherLba, firstUsableLba, lastUsableLba, arrayLba, entryCount, entryBytes } = header;
  const isPowerOfTwo = (entryBytes & (entryBytes - 1)) === 0;
  if (entryBytes < leastEntryBytes || entryBytes > mostEntryBytes || !isPowerOfTwo) {
    throw corrupt(`its entries have ${entryBytes} bytes`);
  }
  if (entryCount < 1 || entryCount > mostEntries || entryCount * entryBytes > mostArrayBytes) {
    throw corrupt(`it has ${entryCount} entries of ${entryBytes} bytes`);
  }
  const arrayEnd = arrayLba + arrayBlocks(header);
  const isApart = arrayEnd <= firstUsableLba || arrayLba > lastUsableLba;
  const coversHeader = (place: number) => place >= arrayLba && place < arrayEnd;
  if (firstUsableLba > lastUsableLba || lastUsableLba >= diskBlocks || otherLba >= diskBlocks || otherLba < 1) {
    throw corrupt('its header points beyond the disk');
  }
  const isOtherInUse = otherLba >= firstUsableLba && otherLba <= lastUsableLba;
  if (arrayLba < 2 || arrayEnd > diskBlocks || !isApart || isOtherInUse || lba === otherLba) {
    throw corrupt('its parts overlap');
  }
  if (coversHeader(lba) || coversHeader(otherLba)) throw corrupt('its entries overlap a header');
}

/** How many bytes the entry array has. */
export function arrayBytes({ entryCount, entryBytes }: GptHeader): number {
  return entryCount * entryBytes;
}

/** How many blocks the entry array takes. */
export function arrayBlocks(header: GptHeader): number {
  return Math.ceil(arrayBytes(header) / header.bytes.byteLength);
}

/** Throws `boot-env-corrupt` unless `array` is the one that the header was made for. */
export function checkArray(header: GptHeader, array: Uint8Array): void {
  if (array.byteLength !== arrayBytes(header)) {
    throw corrupt(`its entries have ${array.byteLength} bytes, want ${arrayBytes(header)}`);
  }
  if (viewOf(header.bytes).getUint32(88, true) !== crc32(array)) throw corrupt('its entries fail their checksum');
}

/** The entries in use, in the order of the table. `array` has passed `checkArray`. */
export function listEntries(header: GptHeader, array: Uint8Array): readonly GptEntry[] {
  const entries: GptEntry[] = [];
  for (let index = 0; index < header.entryCount; index += 1) {
    const entry = array.subarray(index * header.entryBytes, (index + 1) * header.entryBytes);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    entries.push({
      index,
      typeGuid: formatGuid(entry.subarray(0, 16)),
      guid: formatGuid(entry.subarray(16, 32)),
      attributes: viewOf(entry).getBigUint64(attributesOffset, true),
    });
  }
  return entries;
}

/** The entry array with other attributes in the entries of `changes`, by their index; nothing else changes. */
export function withAttributes(header: GptHeader, array: Uint8Array, changes: ReadonlyMap<number, bigint>): Uint8Array {
  const next = Uint8Array.from(array);
  for (const [index, attributes] of changes) {
    viewOf(next).setBigUint64(index * header.entryBytes + attributesOffset, attributes, true);
  }
  return next;
}

/** The block of `header` for `array`: its places as given, both checksums made anew, all else as it is in `bytes`. */
export function encodeHeader(header: GptHeader, array: Uint8Array): Uint8Array {
  const block = Uint8Array.from(header.bytes);
  const view = viewOf(block);
  view.setBigUint64(24, BigInt(header.lba), true);
  view.setBigUint64(32, BigInt(header.otherLba), true);
  view.setBigUint64(72, BigInt(header.arrayLba), true);
  view.setUint32(88, crc32(array), true);
  view.setUint32(16, headerChecksum(block, view.getUint32(12, true)), true);
  return block;
}

/** The text of a stored GUID, in lower case. */
export function formatGuid(bytes: Uint8Array): string {
  const hex = (...order: readonly number[]) =>
    order.map((index) => (bytes[index] ?? 0).toString(16).padStart(2, '0')).join('');
  return [hex(3, 2, 1, 0), hex(5, 4), hex(7, 6), hex(8, 9), hex(10, 11, 12, 13, 14, 15)].join('-');
}
