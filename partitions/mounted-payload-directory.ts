import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PartitionError } from './errors.ts';
import { allocateAligned } from './linux-block-device.ts';
import type { FreeRoom, PayloadDirectory } from './payload-directory.ts';

const maxNames = 1024;
const readBytes = 1024 * 1024;
const blockBytes = 4096;

/** The ESP or XBOOTLDR as the kernel mounts it. */
export class MountedPayloadDirectory implements PayloadDirectory {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async files(folder: string): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]> {
    return this.#attempt('list', folder, async (full) => {
      const entries = await readdir(full, { withFileTypes: true }).catch((error: unknown) => {
        if (hasCode(error, 'ENOENT')) return [];
        throw error;
      });
      if (entries.length > maxNames) throw new Error(`it has ${entries.length} names, want at most ${maxNames}`);
      const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
      return Promise.all(names.map(async (name) => ({ name, sizeBytes: (await lstat(join(full, name))).size })));
    });
  }

  async room(): Promise<FreeRoom> {
    return this.#attempt('measure', '', async (full) => {
      const { bavail, bsize } = await statfs(full);
      return { freeBytes: bavail * bsize, clusterBytes: bsize };
    });
  }

  async makeFolder(path: string): Promise<void> {
    await this.#attempt('make', path, async (full) => {
      const first = await mkdir(full, { recursive: true });
      // A folder is a name in the one above it.
      for (let made = full; first !== undefined && made.length >= first.length; made = dirname(made)) {
        await syncPath(dirname(made));
      }
    });
  }

  async write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    const handle = await this.#attempt('write', path, (full) => open(full, 'wx', 0o644));
    try {
      // What the source throws is its own word, and not a failure of the partition.
      for await (const bytes of content) await this.#attempt('write', path, () => handle.writeFile(bytes));
      await this.#attempt('flush', path, () => handle.sync());
    } finally {
      await handle.close();
    }
  }

  async *content(path: string): AsyncGenerator<Uint8Array> {
    const handle = await this.#attempt('read', path, openToRead);
    const buffer = allocateAligned(readBytes);
    try {
      for (let offset = 0; ;) {
        const { bytesRead } = await this.#attempt('read', path, () => handle.read(buffer, 0, readBytes, offset));
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
        offset += bytesRead;
        // A direct read that ends inside a block was the last one; going on from there would not be aligned.
        if (offset % blockBytes !== 0) return;
      }
    } finally {
      await handle.close();
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt('rename', from, async (full) => {
      const target = this.#path(to);
      // Node has no rename that refuses; whoever else writes here is kept out by the caller.
      if (await isThere(target)) throw new Error(`${to} is there already`);
      await rename(full, target);
      // Linux gives the new name of a file on FAT no cluster and no length until the file itself is synced once more:
      // power lost after a sync of the folder alone leaves a file that is empty.
      await syncPath(target);
    });
  }

  async remove(path: string): Promise<void> {
    await this.#attempt('remove', path, (full) => rm(full, { force: true }));
  }

  async sync(folder: string): Promise<void> {
    await this.#attempt('flush', folder, syncPath);
  }

  #path(path: string): string {
    if (path !== '' && path.split('/').some((name) => name === '' || name === '.' || name === '..')) {
      throw new Error('it is no path in the file system');
    }
    return join(this.#root, path);
  }

  async #attempt<T>(verb: string, path: string, act: (full: string) => Promise<T>): Promise<T> {
    try {
      return await act(this.#path(path));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const code = hasCode(cause, 'EROFS') ? 'boot-partition-read-only' : 'boot-partition-failed';
      throw new PartitionError(code, `cannot ${verb} ${path || 'the root'} on the boot partition: ${reason}`, {
        details: { path, root: this.#root },
        cause,
      });
    }
  }
}

/** Opens past the page cache, so that what is read is what the device has; a file system without that is read as it is. */
async function openToRead(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECT);
    try {
      await handle.read(allocateAligned(blockBytes), 0, blockBytes, 0);
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    if (!hasCode(error, 'EINVAL')) throw error;
    return open(path, constants.O_RDONLY);
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    },
  );
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
