import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError, type BootloaderErrorCode, writeFailureCode } from './errors.ts';
import { encodeEnvironment, environmentBytes } from './grubenv.ts';
import { ProcessLock } from './process-lock.ts';

const maxBytes = 64 * 1024;

function fail(code: BootloaderErrorCode, verb: string, path: string, cause: unknown): BootloaderError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BootloaderError(code, `cannot ${verb} ${path}: ${reason}`, { details: { path }, cause });
}

/**
 * A loader's environment in a file of fixed size. Written in place and never truncated: a loader that does not replay
 * its file system's journal must find the same blocks, and a power cut must not find an empty file.
 */
export class DurableFile implements EnvironmentFile {
  readonly #path: string;
  readonly #lock: ProcessLock;

  /** `lockPath` is where processes of ours keep each other out; it need not survive a boot. */
  constructor(path: string, lockPath: string) {
    this.#path = path;
    this.#lock = new ProcessLock(lockPath);
  }

  async read(): Promise<Uint8Array> {
    try {
      return await this.#with('r', async (handle) => {
        const { size } = await handle.stat();
        if (size < 1 || size > maxBytes) throw new Error(`it has ${size} bytes, want 1 to ${maxBytes}`);
        const bytes = Buffer.alloc(size);
        const { bytesRead } = await handle.read(bytes, 0, size, 0);
        if (bytesRead !== size) throw new Error(`it ended after ${bytesRead} of ${size} bytes`);
        return bytes;
      });
    } catch (cause) {
      throw fail('boot-env-unreadable', 'read', this.#path, cause);
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    try {
      await this.#with(constants.O_RDWR, async (handle) => {
        const { size } = await handle.stat();
        if (offset + bytes.byteLength > size) throw new Error(`it has ${size} bytes, and never grows`);
        const { bytesWritten } = await handle.write(bytes, 0, bytes.byteLength, offset);
        if (bytesWritten !== bytes.byteLength)
          throw new Error(`only ${bytesWritten} of ${bytes.byteLength} bytes were taken`);
      });
    } catch (cause) {
      throw fail(writeFailureCode(cause), 'write', this.#path, cause);
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#with(constants.O_RDWR, (handle) => handle.datasync());
    } catch (cause) {
      throw fail(writeFailureCode(cause), 'flush', this.#path, cause);
    }
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#lock.locked(change);
  }

  async #with<T>(flags: string | number, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await open(this.#path, flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }
}

/** Creates an environment without variables at `path`, durable with its name. Rejects when there is a file already. */
export async function createEnvironment(path: string): Promise<void> {
  try {
    const handle = await open(path, 'wx', 0o644);
    try {
      await handle.write(encodeEnvironment([], [], environmentBytes));
      await handle.sync();
    } finally {
      await handle.close();
    }
    const directory = await open(dirname(path), 'r');
    await directory.sync().finally(() => directory.close());
  } catch (cause) {
    throw fail(writeFailureCode(cause), 'create', path, cause);
  }
}
