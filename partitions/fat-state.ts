/**
 * Whether a FAT file system was left in order (Microsoft's FAT specification 1.03, "FAT Volume Initialization" and the
 * second entry of the FAT; Linux fs/fat). Little-endian, in the boot sector:
 *
 *     11  2  bytes a sector            22  2  sectors of a FAT; 0: FAT32
 *     13  1  sectors a cluster         32  4  sectors of the file system, where 19 is 0
 *     14  2  sectors before the FAT    36  4  FAT32: sectors of a FAT
 *     16  1  FATs                      37  1  FAT12, FAT16: bit 0 is set while Linux has it mounted for writing
 *     17  2  entries of the root       65  1  FAT32: the same
 *     19  2  sectors of the file system      510  2  0x55 0xAA
 *
 * In the FAT's second entry a bit is *cleared* while the file system is mounted: bit 27 in FAT32, bit 15 in FAT16.
 */

/** The bytes that `parseFatState` needs: boot sector and second entry of the FAT. */
export interface FatBytes {
  readonly bootSector: Uint8Array;
  /** The first 8 bytes of the FAT. */
  readonly fatStart: Uint8Array;
}

/** What a FAT file system says of itself. */
export type FatState = 'clean' | 'dirty';

export const bootSectorBytes = 512;

const mostFat12Clusters = 4084;
const mostFat16Clusters = 65_524;

interface Geometry {
  readonly kind: 12 | 16 | 32;
  readonly fatOffset: number;
}

/** Where the FAT begins, in bytes; `undefined` for what is no FAT file system. */
export function fatOffsetOf(bootSector: Uint8Array): number | undefined {
  return geometryOf(bootSector)?.fatOffset;
}

/** Whether the file system was left in order; `undefined` for what is no FAT file system. */
export function parseFatState({ bootSector, fatStart }: FatBytes): FatState | undefined {
  const geometry = geometryOf(bootSector);
  if (geometry === undefined || fatStart.byteLength < 8) return undefined;
  const view = new DataView(fatStart.buffer, fatStart.byteOffset, fatStart.byteLength);
  const { kind } = geometry;
  const state = bootSector[kind === 32 ? 65 : 37] ?? 0;
  const isMarkedClean =
    kind === 32
      ? (view.getUint32(4, true) & 0x0800_0000) !== 0
      : kind === 16
        ? (view.getUint16(2, true) & 0x8000) !== 0
        : true;
  return (state & 1) === 0 && isMarkedClean ? 'clean' : 'dirty';
}

function geometryOf(bytes: Uint8Array): Geometry | undefined {
  if (bytes.byteLength < bootSectorBytes || bytes[510] !== 0x55 || bytes[511] !== 0xaa) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sectorBytes = view.getUint16(11, true);
  const clusterSectors = view.getUint8(13);
  const reserved = view.getUint16(14, true);
  const fats = view.getUint8(16);
  const isPowerOfTwo = (value: number) => value > 0 && (value & (value - 1)) === 0;
  if (!isPowerOfTwo(sectorBytes) || sectorBytes < 512 || sectorBytes > 4096) return undefined;
  if (!isPowerOfTwo(clusterSectors) || reserved === 0 || fats === 0) return undefined;
  const smallFat = view.getUint16(22, true);
  const fatSectors = smallFat === 0 ? view.getUint32(36, true) : smallFat;
  const rootSectors = Math.ceil((view.getUint16(17, true) * 32) / sectorBytes);
  const sectors = view.getUint16(19, true) === 0 ? view.getUint32(32, true) : view.getUint16(19, true);
  const clusters = Math.floor((sectors - reserved - fats * fatSectors - rootSectors) / clusterSectors);
  if (fatSectors === 0 || clusters < 1) return undefined;
  // Linux takes a size of 0 for FAT32; so small a FAT32 is made by no tool of ours.
  const kind =
    smallFat === 0 ? 32 : clusters <= mostFat12Clusters ? 12 : clusters <= mostFat16Clusters ? 16 : undefined;
  return kind === undefined ? undefined : { kind, fatOffset: reserved * sectorBytes };
}
