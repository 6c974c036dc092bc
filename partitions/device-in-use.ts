import { readFile } from 'node:fs/promises';
import { type DeviceIdentity, type DeviceTree, identify } from './device-tree.ts';
import { PartitionError } from './errors.ts';
import { parseMountInfo, parseSwaps } from './mount-info.ts';

/** Who uses a device, in words; `undefined` when nobody does. */
export type DeviceUser = string | undefined;

async function readProc(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    // Not knowing what is mounted is no leave to write.
    throw new PartitionError('slot-device-unreadable', `cannot tell what is mounted: ${path} cannot be read`, {
      details: { path },
      cause,
    });
  }
}

async function idOf(path: string): Promise<string | undefined> {
  if (!path.startsWith('/')) return undefined;
  try {
    return (await identify(path)).id;
  } catch (error) {
    // A source or swap file may be gone, or be in another namespace; then the device number has to tell.
    if (error instanceof PartitionError && error.code === 'slot-device-unreadable') return undefined;
    throw error;
  }
}

/**
 * Says who uses the device or file: a mount (by device number, and by source for file systems with a number of their
 * own), a holder (device mapper, md), or swap; partitions of a whole disk count. The kernel's `O_EXCL` is the guard;
 * this tells the operator why, and covers files.
 */
export async function findDeviceUser(device: DeviceIdentity, tree: DeviceTree, procPath: string): Promise<DeviceUser> {
  const ids = new Set([device.id]);
  if (device.kind === 'block') for (const id of await tree.partitions(device.id)) ids.add(id);
  for (const mount of parseMountInfo(await readProc(`${procPath}/self/mountinfo`))) {
    const isMounted = ids.has(mount.deviceNumber) || ids.has((await idOf(mount.source)) ?? '');
    if (isMounted) return `it is mounted at ${mount.mountPoint}`;
  }
  for (const path of parseSwaps(await readProc(`${procPath}/swaps`))) {
    if (ids.has((await idOf(path)) ?? '')) return `it is swapped to as ${path}`;
  }
  if (device.kind !== 'block') return undefined;
  for (const id of ids) {
    const [holder] = await tree.holders(id);
    if (holder !== undefined) return `${holder} is built on it`;
  }
  return undefined;
}
