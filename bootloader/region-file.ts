import { constants } from 'node:fs';
import { type FileHandle, open, readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError, type BootloaderErrorCode } from './errors.ts';
import { ProcessLock } from './process-lock.ts';

const sectorsOfSysfsBytes = 512;

/** Where a region lies. */
export interface Region {
  readonly device: string;
  /** Below zero: from the end of the device. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * A loader's environment in a part of a block device or a file. It is written in place, never truncated, never grown,
 * and never outside its region.
 */
export class RegionFile implements EnvironmentFile {
  readonly #region: Region;
  readonly #lock: ProcessLock;

  /**
   * `lockPath` is where processes of ours keep each other out; regions of one environment share it, and one of them
   * takes it. It does not keep fw_setenv out, whose lock Node cannot take.
   */
  constructor(region: Region, lockPath: string) {
    this.#region = region;
    this.#lock = new ProcessLock(lockPath);
  }

  async read(): Promise<Uint8Array> {
    return this.#with('boot-env-unreadable', 'read', constants.O_RDONLY, async (handle, start) => {
      const bytes = Buffer.alloc(this.#region.sizeBytes);
      const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, start);
      if (bytesRead !== bytes.byteLength) throw new Error(`it ended after ${bytesRead} of ${bytes.byteLength} bytes`);
      return bytes;
    });
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#with('boot-env-write-failed', 'write', constants.O_RDWR, async (handle, start) => {
      const { sizeBytes } = this.#region;
      if (!Number.isInteger(offset) || offset < 0 || offset + bytes.byteLength > sizeBytes) {
        throw new Error(`${bytes.byteLength} bytes at ${offset} leave its region of ${sizeBytes} bytes`);
      }
      const { bytesWritten } = await handle.write(bytes, 0, bytes.byteLength, start + offset);
      if (bytesWritten !== bytes.byteLength)
        throw new Error(`only ${bytesWritten} of ${bytes.byteLength} bytes were taken`);
    });
  }

  async sync(): Promise<void> {
    await this.#with('boot-env-write-failed', 'flush', constants.O_RDWR, (handle) => handle.datasync());
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#lock.locked(change);
  }

  async #with<T>(
    code: BootloaderErrorCode,
    verb: string,
    flags: number,
    use: (handle: FileHandle, start: number) => Promise<T>,
  ): Promise<T> {
    const { device, offsetBytes, sizeBytes } = this.#region;
    try {
      const handle = await open(device, flags);
      try {
        const size = await sizeOf(handle, device);
        const start = offsetBytes < 0 ? size + offsetBytes : offsetBytes;
        if (start < 0 || start + sizeBytes > size) {
          throw new Error(`${sizeBytes} bytes at ${offsetBytes} do not lie in its ${size} bytes`);
        }
        return await use(handle, start);
      } finally {
        await handle.close();
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new BootloaderError(code, `cannot ${verb} the environment on ${device}: ${reason}`, {
        details: { device, offsetBytes },
        cause,
      });
    }
  }
}

async function sizeOf(handle: FileHandle, device: string): Promise<number> {
  const stat = await handle.stat();
  if (stat.isFile()) return stat.size;
  // A character device is raw flash: it has to be erased first, and a plain write would destroy what is there.
  if (!stat.isBlockDevice()) throw new Error('it is neither a block device nor a file');
  const sectors = Number((await readFile(`/sys/class/block/${basename(await realpath(device))}/size`, 'utf8')).trim());
  return sectors * sectorsOfSysfsBytes;
}
