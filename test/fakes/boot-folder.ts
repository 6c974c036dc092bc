import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BootFiles } from './systemd-boot-firmware.ts';

/** A folder that stands for a boot partition, as the firmware sees it. */
export class BootFolder implements BootFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  get paths(): readonly string[] {
    return readdirSync(this.#root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(this.#root.length + 1))
      .toSorted();
  }

  textOf(path: string): string {
    return this.paths.includes(path) ? readFileSync(join(this.#root, path), 'latin1') : '';
  }

  put(path: string, text: string): void {
    mkdirSync(dirname(join(this.#root, path)), { recursive: true });
    writeFileSync(join(this.#root, path), text, 'latin1');
  }

  drop(path: string): void {
    rmSync(join(this.#root, path), { force: true });
  }
}
