import { type FileHandle, open } from 'node:fs/promises';
import { PartitionError } from './errors.ts';
import { bootSectorBytes, fatOffsetOf, type FatState, parseFatState } from './fat-state.ts';

/**
 * Whether the FAT file system of a device that is not mounted was left in order; `undefined` for what is no FAT file
 * system. Rejects with `boot-partition-unmountable` when the device can't be read.
 */
export async function readFatState(device: string): Promise<FatState | undefined> {
  try {
    const handle = await open(device, 'r');
    try {
      const bootSector = await readAt(handle, 0, bootSectorBytes);
      const fatOffset = fatOffsetOf(bootSector);
      if (fatOffset === undefined) return undefined;
      return parseFatState({ bootSector, fatStart: await readAt(handle, fatOffset, 8) });
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PartitionError('boot-partition-unmountable', `cannot read ${device}: ${reason}`, {
      details: { device },
      cause,
    });
  }
}

async function readAt(handle: FileHandle, offset: number, sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  const { bytesRead } = await handle.read(bytes, 0, sizeBytes, offset);
  return bytes.subarray(0, bytesRead);
}
