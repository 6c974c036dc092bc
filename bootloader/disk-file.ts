import { constants } from 'node:fs';
import { access, type FileHandle, open, readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { DiskRegions } from './disk-regions.ts';
import { BootloaderError, type BootloaderErrorCode } from './errors.ts';
import { ProcessLock } from './process-lock.ts';

const sectorsOfSysfsBytes = 512;

interface DiskShape {
  readonly sizeBytes: number;
  readonly blockBytes: number;
}

/**
 * A whole disk, or an image of one in a file. It is written in place, never truncated and never grown. It is not opened
 * with O_EXCL: the kernel refuses that for a disk of which any partition is mounted, and the booted slot's always is.
 */
export class DiskFile implements DiskRegions {
  readonly sizeBytes: number;
  readonly blockBytes: number;
  readonly #path: string;
  readonly #lock: ProcessLock;

  private constructor(path: string, lockPath: string, { sizeBytes, blockBytes }: DiskShape) {
    this.#path = path;
    this.#lock = new ProcessLock(lockPath);
    this.sizeBytes = sizeBytes;
    this.blockBytes = blockBytes;
  }

  /**
   * The disk at `path`; `imageBlockBytes` is the logical block of an image, which cannot say it itself. `lockPath` is
   * where processes of ours keep each other out. Rejects with `boot-env-unreadable`.
   */
  static async open(path: string, lockPath: string, imageBlockBytes: 512 | 4096 = 512): Promise<DiskFile> {
    const shape = await attempt('boot-env-unreadable', 'open', path, constants.O_RDONLY, (handle) =>
      shapeOf(handle, path, imageBlockBytes),
    );
    return new DiskFile(path, lockPath, shape);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return attempt('boot-env-unreadable', 'read', this.#path, constants.O_RDONLY, async (handle) => {
      this.#check(offset, length);
      const bytes = Buffer.alloc(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      if (bytesRead !== length) throw new Error(`it ended after ${bytesRead} of ${length} bytes`);
      return bytes;
    });
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await attempt('boot-env-write-failed', 'write', this.#path, constants.O_RDWR, async (handle) => {
      this.#check(offset, bytes.byteLength);
      const { bytesWritten } = await handle.write(bytes, 0, bytes.byteLength, offset);
      if (bytesWritten !== bytes.byteLength)
        throw new Error(`only ${bytesWritten} of ${bytes.byteLength} bytes were taken`);
    });
  }

  async sync(): Promise<void> {
    await attempt('boot-env-write-failed', 'flush', this.#path, constants.O_RDWR, (handle) => handle.datasync());
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#lock.locked(change);
  }

  #check(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > this.sizeBytes) {
      throw new Error(`${length} bytes at ${offset} do not lie in its ${this.sizeBytes} bytes`);
    }
  }
}

async function attempt<T>(
  code: BootloaderErrorCode,
  verb: string,
  path: string,
  flags: number,
  use: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  try {
    const handle = await open(path, flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BootloaderError(code, `cannot ${verb} the disk ${path}: ${reason}`, { details: { path }, cause });
  }
}

async function shapeOf(handle: FileHandle, path: string, imageBlockBytes: number): Promise<DiskShape> {
  const stat = await handle.stat();
  if (stat.isFile()) return { sizeBytes: stat.size, blockBytes: imageBlockBytes };
  if (!stat.isBlockDevice()) throw new Error('it is neither a block device nor a file');
  const folder = `/sys/class/block/${basename(await realpath(path))}`;
  if (await isThere(`${folder}/partition`)) throw new Error('it is a partition; want the whole disk');
  const number = async (name: string) => Number((await readFile(`${folder}/${name}`, 'utf8')).trim());
  return {
    sizeBytes: (await number('size')) * sectorsOfSysfsBytes,
    blockBytes: await number('queue/logical_block_size'),
  };
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
