import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What names a file of the cache, or what was made of it: its path, its size and when it was made. */
export async function keyOf(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return createHash('sha256').update(`${file} ${size} ${mtimeMs}`).digest('hex').slice(0, 16);
}

/** Files that cost much to make and stay the same from run to run: images, packages of the peers, sizes at level 19. */
export class Cache {
  readonly folder: string;
  readonly #say: (line: string) => void;

  constructor(folder: string, say: (line: string) => void) {
    this.folder = folder;
    this.#say = say;
  }

  /**
   * The path of `name`, made by `make` where it is missing: a file or a folder. `make` gets the path to fill and a folder
   * for whatever else it needs. A run that is broken off leaves nothing that looks whole.
   */
  async file(name: string, make: (path: string, folder: string) => Promise<void>): Promise<string> {
    const path = join(this.folder, name);
    if (existsSync(path)) return path;
    this.#say(`making ${path}`);
    await mkdir(this.folder, { recursive: true });
    const folder = await mkdtemp(join(this.folder, 'making-'));
    try {
      await make(join(folder, name), folder);
      await rename(join(folder, name), path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return path;
  }

  /** Removes everything whose name begins with `prefix`: what an older version made of the same. */
  async forget(prefix: string): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name.startsWith(prefix)) await rm(join(this.folder, name), { recursive: true });
    }
  }
}
