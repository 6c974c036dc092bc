import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BootDirectory } from './boot-directory.ts';
import { copyFile } from './copy-file.ts';
import { BootloaderError, type BootloaderErrorCode, writeFailureCode } from './errors.ts';
import { ProcessLock } from './process-lock.ts';

const maxNames = 1024;

/** The ESP or XBOOTLDR as the kernel mounts it. */
export class MountedBootDirectory implements BootDirectory {
  readonly #root: string;
  readonly #lock: ProcessLock;
  /** Files that this process wrote or renamed, and did not sync yet. */
  readonly #unsynced = new Set<string>();

  /** `lockPath` is where processes of ours keep each other out; it need not survive a boot. */
  constructor(root: string, lockPath: string) {
    this.#root = root;
    this.#lock = new ProcessLock(lockPath);
  }

  async list(path: string): Promise<readonly string[]> {
    return this.#attempt('boot-env-unreadable', 'list', path, async (full) => {
      const entries = await readdir(full, { withFileTypes: true }).catch((error: unknown) => {
        if (isCode(error, 'ENOENT')) return [];
        throw error;
      });
      if (entries.length > maxNames) throw new Error(`it has ${entries.length} names, want at most ${maxNames}`);
      return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    });
  }

  async read(path: string, limitBytes: number): Promise<Uint8Array> {
    return this.#attempt('boot-env-unreadable', 'read', path, (full) =>
      withFile(full, 'r', async (handle) => {
        const { size } = await handle.stat();
        if (size > limitBytes) throw new Error(`it has ${size} bytes, want at most ${limitBytes}`);
        const bytes = Buffer.alloc(size);
        const { bytesRead } = await handle.read(bytes, 0, size, 0);
        if (bytesRead !== size) throw new Error(`it ended after ${bytesRead} of ${size} bytes`);
        return bytes;
      }),
    );
  }

  async readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#attempt('boot-env-unreadable', 'read', path, (full) =>
      withFile(full, 'r', async (handle) => {
        const bytes = Buffer.alloc(lengthBytes);
        let done = 0;
        for (let read = 1; read > 0 && done < lengthBytes; done += read) {
          ({ bytesRead: read } = await handle.read(bytes, done, lengthBytes - done, offsetBytes + done));
        }
        return bytes.subarray(0, done);
      }),
    );
  }

  async makeFolder(path: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'make', path, async (full) => {
      const first = await mkdir(full, { recursive: true });
      // A folder is a name in the one above it.
      for (let made = full; first !== undefined && made.length >= first.length; made = dirname(made)) {
        await withFile(dirname(made), 'r', (handle) => handle.sync());
      }
    });
  }

  async copyNew(from: string, to: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'write', to, (full) => copyFile(this.#path(from), full));
  }

  async writeNew(path: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'write', path, (full) =>
      withFile(full, 'wx', async (handle) => {
        this.#unsynced.add(full);
        await handle.writeFile(bytes);
      }),
    );
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'rename', from, async (full) => {
      // FAT has no links and Node no rename that refuses: our own processes are kept out by the lock.
      if (await isThere(this.#path(to))) throw new Error(`${to} is there already`);
      await this.#move(full, to);
    });
  }

  async replaceByRename(from: string, to: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'rename', from, (full) => this.#move(full, to));
  }

  async remove(path: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'remove', path, async (full) => {
      await rm(full, { force: true });
      this.#unsynced.delete(full);
    });
  }

  async sync(path: string): Promise<void> {
    await this.#attempt('boot-env-write-failed', 'flush', path, async (full) => {
      for (const file of [...this.#unsynced].filter((name) => name.startsWith(`${full}/`))) {
        await syncIfThere(file);
        this.#unsynced.delete(file);
      }
      await withFile(full, 'r', (handle) => handle.sync());
    });
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#lock.locked(change);
  }

  async #move(full: string, to: string): Promise<void> {
    const target = this.#path(to);
    await rename(full, target);
    this.#unsynced.delete(full);
    // Linux gives the new name of a file on FAT no cluster and no length until the file itself is synced once more: power
    // lost after a sync of the folder alone leaves a file that is empty.
    this.#unsynced.add(target);
  }

  #path(path: string): string {
    if (path !== '' && path.split('/').some((name) => name === '' || name === '.' || name === '..')) {
      throw new Error('it is no path in the file system');
    }
    return join(this.#root, path);
  }

  async #attempt<T>(
    code: BootloaderErrorCode,
    verb: string,
    path: string,
    act: (full: string) => Promise<T>,
  ): Promise<T> {
    try {
      return await act(this.#path(path));
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      // What the kernel says of a directory or a chain of clusters that is damaged.
      const isDamaged = isCode(cause, 'EIO') || isCode(cause, 'EUCLEAN');
      const reason = isDamaged ? `${text}; run fsck.vfat -a on its device while it is not mounted` : text;
      const found = code === 'boot-env-write-failed' ? writeFailureCode(cause) : code;
      throw new BootloaderError(found, `cannot ${verb} ${path} on the boot partition: ${reason}`, {
        details: { path, root: this.#root },
        cause,
      });
    }
  }
}

async function withFile<T>(path: string, flags: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(path, flags, 0o644);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

/** A file may be gone by another process since an earlier sync failed: it must not keep every later one from its end. */
async function syncIfThere(path: string): Promise<void> {
  try {
    await withFile(path, 'r+', (handle) => handle.sync());
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (isCode(error, 'ENOENT')) return false;
      throw error;
    },
  );
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
