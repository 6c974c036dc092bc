import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError, type BootloaderErrorCode } from './errors.ts';
import { encodeEnvironment, environmentBytes } from './grubenv.ts';

const maxBytes = 64 * 1024;
const lockWaitMs = 10_000;
const lockPollMs = 25;

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
  readonly #lockPath: string;

  /** `lockPath` is where processes of ours keep each other out; it need not survive a boot. */
  constructor(path: string, lockPath: string) {
    this.#path = path;
    this.#lockPath = lockPath;
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
      throw fail('boot-env-write-failed', 'write', this.#path, cause);
    }
  }

  async sync(): Promise<void> {
    try {
      await this.#with(constants.O_RDWR, (handle) => handle.datasync());
    } catch (cause) {
      throw fail('boot-env-write-failed', 'flush', this.#path, cause);
    }
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    await this.#lock();
    try {
      return await change();
    } finally {
      await rm(this.#lockPath, { force: true });
    }
  }

  async #with<T>(flags: string | number, use: (handle: FileHandle) => Promise<T>): Promise<T> {
    const handle = await open(this.#path, flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }

  async #lock(): Promise<void> {
    for (let waitedMs = 0; waitedMs < lockWaitMs; waitedMs += lockPollMs) {
      try {
        const handle = await open(this.#lockPath, 'wx', 0o600);
        await handle.write(String(process.pid)).finally(() => handle.close());
        return;
      } catch (cause) {
        if (!isCode(cause, 'EEXIST')) throw fail('boot-env-write-failed', 'lock', this.#lockPath, cause);
      }
      if (!(await this.#removeStaleLock())) await delay(lockPollMs);
    }
    throw new BootloaderError('boot-env-write-failed', `cannot lock ${this.#lockPath}: another process holds it`);
  }

  /** A process that was killed leaves its lock behind; who holds it is told by its pid. */
  async #removeStaleLock(): Promise<boolean> {
    const text = await readFile(this.#lockPath, 'utf8').catch(() => undefined);
    if (text === undefined) return true;
    const pid = Number(text);
    // An empty lock is one whose holder is between creating it and writing its pid.
    if (text === '' || !Number.isInteger(pid) || pid === process.pid || isAlive(pid)) return false;
    await rm(this.#lockPath, { force: true });
    return true;
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
    throw fail('boot-env-write-failed', 'create', path, cause);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Anything but "no such process" means that there is one.
    return !isCode(error, 'ESRCH');
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
