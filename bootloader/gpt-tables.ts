import type { DiskRegions } from './disk-regions.ts';
import { BootloaderError } from './errors.ts';
import {
  arrayBlocks,
  arrayBytes,
  checkArray,
  checkPlaces,
  encodeHeader,
  type GptEntry,
  type GptHeader,
  listEntries,
  parseHeader,
} from './gpt-codec.ts';

/** One of the two tables, as it lies on the disk. */
interface Table {
  readonly header: GptHeader;
  readonly array: Uint8Array;
}

type TableName = 'primary' | 'backup';

/** A disk's two tables, of which one counts: the primary one wherever it is valid, as for the loaders. */
export interface GptTables {
  readonly counting: TableName;
  /** Where both tables lie, the broken or missing one as it has to be. */
  readonly headers: Readonly<Record<TableName, GptHeader>>;
  /** The entries that count. */
  readonly array: Uint8Array;
  readonly entries: readonly GptEntry[];
  /** Whether both tables are valid and say the same. */
  readonly areEqual: boolean;
}

const primaryLba = 1;

/** Reads both tables. Rejects with `boot-env-corrupt` when neither is valid, and with `boot-env-unreadable`. */
export async function readTables(disk: DiskRegions): Promise<GptTables> {
  const diskBlocks = Math.floor(disk.sizeBytes / disk.blockBytes);
  const primary = await readTable(disk, primaryLba, diskBlocks);
  // A disk that grew has its backup where the primary table says, and no longer at its end.
  const backupLba = primary.table?.header.otherLba ?? diskBlocks - 1;
  const backup = await readTable(disk, backupLba, diskBlocks);
  // A lone backup has to be one of a primary table in LBA 1: nothing looks for it anywhere else.
  const lone = backup.table?.header.otherLba === primaryLba ? backup.table : undefined;
  const counted = primary.table ?? lone;
  if (counted === undefined) {
    throw new BootloaderError('boot-env-corrupt', 'cannot read the partition table: neither of its copies is valid', {
      cause: primary.error,
    });
  }
  const headers = {
    primary: primary.table?.header ?? counterpart(counted.header, diskBlocks),
    backup: isPairOf(counted, backup.table) ? backup.table.header : counterpart(counted.header, diskBlocks),
  };
  return {
    counting: primary.table === undefined ? 'backup' : 'primary',
    headers,
    array: counted.array,
    entries: listEntries(counted.header, counted.array),
    areEqual: primary.table !== undefined && isPairOf(counted, backup.table) && isSameArray(counted, backup.table),
  };
}

async function readTable(
  disk: DiskRegions,
  lba: number,
  diskBlocks: number,
): Promise<{ readonly table?: Table; readonly error?: BootloaderError }> {
  try {
    const { blockBytes } = disk;
    if (diskBlocks <= lba || lba < 1) {
      throw new BootloaderError('boot-env-corrupt', `cannot read the partition table: the disk has no LBA ${lba}`);
    }
    const header = parseHeader(await disk.read(lba * blockBytes, blockBytes), lba, diskBlocks);
    const array = await disk.read(header.arrayLba * blockBytes, arrayBytes(header));
    checkArray(header, array);
    return { table: { header, array } };
  } catch (error) {
    // One broken table is what the other is for.
    if (error instanceof BootloaderError && error.code === 'boot-env-corrupt') return { error };
    throw error;
  }
}

/** Whether `other` is a table of the same disk and shape: one that was left by an earlier partitioning is not. */
function isPairOf(counted: Table, other: Table | undefined): other is Table {
  if (other === undefined) return false;
  if (other.header.lba === counted.header.lba) return true;
  const shape = ({ header }: Table) => [
    header.firstUsableLba,
    header.lastUsableLba,
    header.entryCount,
    header.entryBytes,
    Buffer.from(header.bytes.subarray(56, 72)).toString('hex'),
  ];
  return (
    other.header.otherLba === counted.header.lba &&
    shape(counted).every((value, index) => value === shape(other)[index])
  );
}

function isSameArray(one: Table, other: Table): boolean {
  return Buffer.compare(one.array, other.array) === 0;
}

/** The header that a broken other table has to have: its array where tools put it, beside its header. */
function counterpart(header: GptHeader, diskBlocks: number): GptHeader {
  const isPrimary = header.otherLba === primaryLba;
  const made: GptHeader = {
    ...header,
    lba: header.otherLba,
    otherLba: header.lba,
    arrayLba: isPrimary ? primaryLba + 1 : header.otherLba - arrayBlocks(header),
  };
  checkPlaces(made, diskBlocks);
  return made;
}

/**
 * Makes `array` the entries of both tables and proves each by reading it back. Rejects with `boot-env-write-failed`.
 * Power lost anywhere leaves the table that counted, or the new one, whole.
 */
export async function writeTables(disk: DiskRegions, tables: GptTables, array: Uint8Array): Promise<void> {
  const isNew = Buffer.compare(array, tables.array) !== 0;
  // What counts may still be unsynced: the process that wrote it can have died before its flush. The other table must
  // not be touched before it is on the disk, else power lost could tear both.
  await disk.sync();
  if (!isNew && tables.areEqual) return;
  // The table that does not count comes first. While the primary one counts, a half-written backup is not looked at,
  // and a complete one is believed only once the primary is invalid. While the backup counts, the primary is invalid
  // already, and becomes what counts in the moment in which its last sector is there.
  const first = tables.counting === 'primary' ? 'backup' : 'primary';
  await writeTable(disk, tables.headers[first], array);
  // Power lost from here on: one table is new and whole on the disk, and the other old, torn (and so invalid) or new.
  if (isNew) await writeTable(disk, tables.headers[tables.counting], array);
}

async function writeTable(disk: DiskRegions, header: GptHeader, array: Uint8Array): Promise<void> {
  const { blockBytes } = disk;
  const block = encodeHeader(header, array);
  await disk.write(array, header.arrayLba * blockBytes);
  await disk.write(block, header.lba * blockBytes);
  await disk.sync();
  const [readArray, readBlock] = [
    await disk.read(header.arrayLba * blockBytes, array.byteLength),
    await disk.read(header.lba * blockBytes, blockBytes),
  ];
  if (Buffer.compare(readArray, array) !== 0 || Buffer.compare(readBlock, block) !== 0) {
    throw new BootloaderError('boot-env-write-failed', 'cannot write the partition table: it reads back differently', {
      details: { lba: header.lba },
    });
  }
}
