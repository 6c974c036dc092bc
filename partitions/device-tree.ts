import { readdir, readFile, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { PartitionError } from './errors.ts';

/** What stands at a path. */
export interface DeviceIdentity {
  readonly kind: 'block' | 'file' | 'other';
  /** `major:minor` of a block device, `device/inode` of anything else: equal for the same thing under any name. */
  readonly id: string;
  /** Size of a file; 0 for a device. */
  readonly fileSizeBytes: number;
}

/** Writes a `dev_t` of Linux as `major:minor` (gnu_dev_major(3)). */
export function formatDeviceNumber(device: number): string {
  const bits = BigInt(device);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn);
  const minor = (bits & 0xffn) | ((bits >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}

/** The identity that `stats` tells. */
export function identityOf(stats: Stats): DeviceIdentity {
  if (stats.isBlockDevice()) return { kind: 'block', id: formatDeviceNumber(stats.rdev), fileSizeBytes: 0 };
  return {
    kind: stats.isFile() ? 'file' : 'other',
    id: `${stats.dev}/${stats.ino}`,
    fileSizeBytes: stats.isFile() ? stats.size : 0,
  };
}

/** Looks at `path`, through links. Throws `slot-device-unreadable`. */
export async function identify(path: string): Promise<DeviceIdentity> {
  try {
    return identityOf(await stat(path));
  } catch (cause) {
    throw new PartitionError('slot-device-unreadable', `cannot find device ${path}: it does not exist or is hidden`, {
      details: { device: path },
      cause,
    });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Reads the block devices that sysfs knows. `sysPath` is `/sys` but in tests. */
export class DeviceTree {
  readonly #sysPath: string;

  constructor(sysPath: string) {
    this.#sysPath = sysPath;
  }

  /** Size of a block device. Throws `slot-device-unreadable`. */
  async sizeBytes(deviceNumber: string): Promise<number> {
    // The kernel counts in 512 bytes here, whatever the device's own sectors are.
    return (await this.#readNumber(deviceNumber, 'size')) * 512;
  }

  /** The smallest unit of direct I/O: 512 or 4096. Throws `slot-device-unreadable`. */
  async alignmentBytes(deviceNumber: string): Promise<number> {
    const isPartition = (await this.#list(deviceNumber, '.')).includes('partition');
    const file = `${isPartition ? '../' : ''}queue/logical_block_size`;
    return (await this.#readNumber(deviceNumber, file)) <= 512 ? 512 : 4096;
  }

  /** Names of what is built on the device: device mapper, md, bcache. */
  async holders(deviceNumber: string): Promise<readonly string[]> {
    return this.#list(deviceNumber, 'holders');
  }

  /** Device numbers of all that the device is built on, at any depth. */
  async slaves(deviceNumber: string): Promise<ReadonlySet<string>> {
    return this.#collect(deviceNumber, new Set(), 'slaves');
  }

  /** Device numbers of the partitions that the kernel sees on the device. */
  async partitions(deviceNumber: string): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const name of await this.#list(deviceNumber, '.')) {
      if (!(await this.#list(deviceNumber, name)).includes('partition')) continue;
      found.add((await this.#read(deviceNumber, `${name}/dev`)).trim());
    }
    return found;
  }

  async #collect(deviceNumber: string, found: Set<string>, folder: string): Promise<Set<string>> {
    for (const name of await this.#list(deviceNumber, folder)) {
      const next = (await this.#read(deviceNumber, `${folder}/${name}/dev`)).trim();
      if (found.has(next)) continue;
      found.add(next);
      await this.#collect(next, found, folder);
    }
    return found;
  }

  async #list(deviceNumber: string, folder: string): Promise<readonly string[]> {
    try {
      return await readdir(this.#at(deviceNumber, folder));
    } catch (error) {
      if (isMissing(error)) return [];
      throw this.#unreadable(deviceNumber, folder, error);
    }
  }

  async #readNumber(deviceNumber: string, file: string): Promise<number> {
    const text = (await this.#read(deviceNumber, file)).trim();
    if (!/^\d{1,15}$/.test(text)) throw this.#unreadable(deviceNumber, file, undefined);
    return Number(text);
  }

  async #read(deviceNumber: string, file: string): Promise<string> {
    try {
      return await readFile(this.#at(deviceNumber, file), 'utf8');
    } catch (error) {
      throw this.#unreadable(deviceNumber, file, error);
    }
  }

  // Not path.join: `..` has to go up from where the link of the device leads.
  #at(deviceNumber: string, file: string): string {
    return `${this.#sysPath}/dev/block/${deviceNumber}/${file}`;
  }

  #unreadable(deviceNumber: string, file: string, cause: unknown): PartitionError {
    return new PartitionError(
      'slot-device-unreadable',
      `cannot read device ${deviceNumber}: ${this.#at(deviceNumber, file)} gives no answer`,
      { details: { deviceNumber, file }, ...(cause === undefined ? {} : { cause }) },
    );
  }
}
