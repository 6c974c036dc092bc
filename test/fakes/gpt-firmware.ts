/**
 * The loaders that choose by GPT attributes, in simulation over a disk's bytes: GRUB's `gptprio.next` (Flatcar,
 * Bottlerocket) and ChromeOS's firmware. It shares no code with the product, so that both can only be wrong separately.
 */

export interface GptBoot {
  /** The GUID of the partition that starts, in upper case, or `rescue`. */
  readonly started: string;
  /** The disk as the loader leaves it. */
  readonly disk: Uint8Array;
}

export interface GptLoader {
  readonly rules: 'gptprio' | 'chromeos';
  readonly blockBytes: number;
  /** The type of partition that the loader looks at, in upper case. */
  readonly type: string;
}

interface Table {
  readonly headerAt: number;
  readonly arrayAt: number;
  readonly count: number;
  readonly entryBytes: number;
}

const polynomial = 0xedb88320;

function checksum(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? polynomial : 0);
  }
  return (register ^ 0xffffffff) >>> 0;
}

function headerSum(header: Buffer): number {
  const bytes = Buffer.from(header.subarray(0, header.readUInt32LE(12)));
  bytes.writeUInt32LE(0, 16);
  return checksum(bytes);
}

function openTable(disk: Buffer, lba: number, blockBytes: number): Table | undefined {
  const headerAt = lba * blockBytes;
  const header = disk.subarray(headerAt, headerAt + blockBytes);
  if (header.toString('latin1', 0, 8) !== 'EFI PART' || header.readUInt32LE(12) > blockBytes) return undefined;
  if (header.readUInt32LE(16) !== headerSum(header)) return undefined;
  const table = {
    headerAt,
    arrayAt: Number(header.readBigUInt64LE(72)) * blockBytes,
    count: header.readUInt32LE(80),
    entryBytes: header.readUInt32LE(84),
  };
  return checksum(arrayOf(disk, table)) === header.readUInt32LE(88) ? table : undefined;
}

function arrayOf(disk: Buffer, { arrayAt, count, entryBytes }: Table): Buffer {
  return disk.subarray(arrayAt, arrayAt + count * entryBytes);
}

function guidOf(bytes: Buffer): string {
  const swapped = Buffer.concat([
    Buffer.from(bytes.subarray(0, 4)).reverse(),
    Buffer.from(bytes.subarray(4, 6)).reverse(),
    Buffer.from(bytes.subarray(6, 8)).reverse(),
    bytes.subarray(8, 16),
  ]).toString('hex');
  return swapped.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5').toUpperCase();
}

/** One boot. */
export function bootGpt({ rules, blockBytes, type }: GptLoader, image: Uint8Array): GptBoot {
  const disk = Buffer.from(image);
  const last = disk.byteLength / blockBytes - 1;
  const primary = openTable(disk, 1, blockBytes);
  const backup = openTable(disk, last, blockBytes);
  const table = primary ?? backup;
  if (table === undefined) return { started: 'rescue', disk };
  let best: Buffer | undefined;
  // ChromeOS's firmware takes priority 0 when there is nothing else; gptprio never does.
  let bestPriority = rules === 'chromeos' ? -1 : 0;
  for (let index = 0; index < table.count; index += 1) {
    const entry = arrayOf(disk, table).subarray(index * table.entryBytes, (index + 1) * table.entryBytes);
    const priority = (entry[54] ?? 0) & 15;
    const mayBoot = (entry[54] ?? 0) >> 4 > 0 || ((entry[55] ?? 0) & 1) === 1;
    if (guidOf(entry) !== type || !mayBoot || priority <= bestPriority) continue;
    best = entry;
    bestPriority = priority;
  }
  if (best === undefined) return { started: 'rescue', disk };
  const started = guidOf(best.subarray(16));
  count(rules, best);
  // Both tables are written wherever they are known; a broken one is made anew from the other.
  const array = Buffer.from(arrayOf(disk, table));
  saveTable(disk, backup ?? rebuilt(disk, table, last, blockBytes), array);
  saveTable(disk, primary ?? rebuilt(disk, table, 1, blockBytes), array);
  return { started, disk };
}

/** Takes a try. */
function count(rules: GptLoader['rules'], entry: Buffer): void {
  const bits = entry[54] ?? 0;
  const isSuccessful = ((entry[55] ?? 0) & 1) === 1;
  if (rules === 'gptprio') {
    if (bits >= 16) entry[54] = bits - 16;
  } else if (!isSuccessful) {
    // The last try clears the priority with it.
    entry[54] = bits >= 32 ? bits - 16 : 0;
  }
}

function rebuilt(disk: Buffer, from: Table, lba: number, blockBytes: number): Table {
  const headerAt = lba * blockBytes;
  const source = disk.subarray(from.headerAt, from.headerAt + blockBytes);
  const other = source.readBigUInt64LE(24);
  const arrayBlocks = Math.ceil((from.count * from.entryBytes) / blockBytes);
  const arrayLba = lba === 1 ? 2 : lba - arrayBlocks;
  source.copy(disk, headerAt);
  disk.writeBigUInt64LE(BigInt(lba), headerAt + 24);
  disk.writeBigUInt64LE(other, headerAt + 32);
  disk.writeBigUInt64LE(BigInt(arrayLba), headerAt + 72);
  return { ...from, headerAt, arrayAt: arrayLba * blockBytes };
}

function saveTable(disk: Buffer, table: Table, array: Buffer): void {
  array.copy(disk, table.arrayAt);
  const header = disk.subarray(table.headerAt, table.headerAt + 4096);
  header.writeUInt32LE(checksum(array), 88);
  header.writeUInt32LE(headerSum(header), 16);
}
