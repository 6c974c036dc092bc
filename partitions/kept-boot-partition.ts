import { readdir, readFile } from 'node:fs/promises';
import type { BootAccess, BootPartition } from './boot-partition.ts';
import { PartitionError } from './errors.ts';
import { parseMountInfo } from './mount-info.ts';

/** A boot partition that the system keeps mounted, or mounts by itself when its path is used. */
export class KeptBootPartition implements BootPartition {
  readonly #path: string;
  readonly #isFolderAllowed: boolean;
  readonly #procPath: string;

  /** `isFolderAllowed`: take a folder that nothing is mounted on, as tests and the demo have it. */
  constructor(path: string, isFolderAllowed: boolean, procPath = '/proc') {
    this.#path = path;
    this.#isFolderAllowed = isFolderAllowed;
    this.#procPath = procPath;
  }

  async use<T>(access: BootAccess, act: (root: string) => Promise<T>): Promise<T> {
    if (!this.#isFolderAllowed) await this.#check(access);
    return act(this.#path);
  }

  async #check(access: BootAccess): Promise<void> {
    const details = { path: this.#path };
    // An automount mounts when its folder is read.
    await readdir(this.#path).catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PartitionError('boot-partition-unmountable', `cannot use the boot partition: ${reason}`, {
        details,
        cause,
      });
    });
    const mounts = parseMountInfo(await readFile(`${this.#procPath}/self/mountinfo`, 'utf8'));
    const mount = mounts.findLast(({ mountPoint }) => mountPoint === this.#path);
    if (mount === undefined || mount.fileSystem === 'autofs') {
      // Its mount point is an empty folder, which would look like a loader without entries.
      throw new PartitionError(
        'boot-partition-unmountable',
        `cannot use the boot partition: nothing is mounted on ${this.#path}`,
        { details },
      );
    }
    if (access !== 'read' && mount.isReadOnly) {
      throw new PartitionError(
        'boot-partition-read-only',
        `cannot write to the boot partition: ${this.#path} is mounted read-only`,
        { details },
      );
    }
  }
}
