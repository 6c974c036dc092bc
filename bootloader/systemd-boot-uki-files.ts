import { dirname } from 'node:path/posix';
import type { BlsEntry } from './bls-entry.ts';
import type { BootDirectory } from './boot-directory.ts';
import type { SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import { readUki } from './read-uki.ts';
import { ukiFolder } from './systemd-boot-menu.ts';
import { entryIdOf } from './systemd-boot-state.ts';

/** An image of a slot, wherever it is. */
export interface UkiFile {
  readonly path: string;
  readonly entry: BlsEntry;
}

/**
 * The images of both slots: in `EFI/Linux`, where the loader lists them, and `<prefix>/<slot>/staged.efi`, where it does
 * not. Each step is durable when it resolves. A proven image is never renamed, unless a copy of it is listed.
 */
export class UkiFiles {
  readonly #directory: BootDirectory;
  readonly #prefix: string;

  constructor(directory: BootDirectory, prefix: string) {
    this.#directory = directory;
    this.#prefix = prefix;
  }

  stagedPath(slot: SlotName): string {
    return `${this.#folderOf(slot)}/staged.efi`;
  }

  /** The image that was staged for a slot, if there is one that the loader would list. */
  async staged(slot: SlotName): Promise<UkiFile | undefined> {
    const path = this.stagedPath(slot);
    const names = await this.#directory.list(this.#folderOf(slot));
    if (!names.some((name) => name.toLowerCase() === 'staged.efi')) return undefined;
    const uki = await readUki(this.#directory, path);
    return uki && { path, entry: uki.entry };
  }

  /** Makes a file of the slot's own folder its staged image. */
  async stage(slot: SlotName, path: string): Promise<void> {
    const staged = this.stagedPath(slot);
    if (path !== staged) await this.#directory.replaceByRename(path, staged);
    await this.#directory.sync(this.#folderOf(slot));
  }

  /** Removes the staged image of a slot, or nothing when there is none. */
  async removeStaged(slot: SlotName): Promise<void> {
    const folder = this.#folderOf(slot);
    const names = await this.#directory.list(folder);
    if (names.length === 0) return;
    await this.#directory.remove(this.stagedPath(slot));
    await this.#directory.sync(folder);
  }

  /** Lists a copy of the staged image. A rename would be the image's only name on its way: power could lose both ends. */
  async list(slot: SlotName, file: string): Promise<void> {
    await this.#directory.makeFolder(ukiFolder);
    await this.copy(slot, this.stagedPath(slot), file);
  }

  /** Makes a copy of a listed image the slot's staged one, whole or not at all. */
  async stageListed(slot: SlotName, file: string): Promise<void> {
    await this.#directory.makeFolder(this.#folderOf(slot));
    await this.#copy(`${ukiFolder}/${file}`, `${this.stagedPath(slot)}.tmp`, this.stagedPath(slot));
  }

  /** Takes a listed image from the loader; it is the slot's staged one afterwards. */
  async unlist(slot: SlotName, file: string): Promise<void> {
    await this.#directory.makeFolder(this.#folderOf(slot));
    await this.#directory.replaceByRename(`${ukiFolder}/${file}`, this.stagedPath(slot));
    await this.#directory.sync(this.#folderOf(slot));
    await this.#directory.sync(ukiFolder);
  }

  /** Lists a copy of `from` as `file`, whole or not at all. */
  async copy(slot: SlotName, from: string, file: string): Promise<void> {
    await this.#copy(from, `${ukiFolder}/${entryIdOf(this.#prefix, slot)}.efi.tmp`, `${ukiFolder}/${file}`);
  }

  /** Gives a listed image another listed name. */
  async rename(from: string, to: string): Promise<void> {
    await this.#directory.replaceByRename(`${ukiFolder}/${from}`, `${ukiFolder}/${to}`);
    await this.#directory.sync(ukiFolder);
  }

  async remove(files: readonly string[]): Promise<void> {
    for (const file of files) {
      await this.#directory.remove(`${ukiFolder}/${file}`);
      // One name at a time: power lost here leaves a state that was there already, or comes after.
      await this.#directory.sync(ukiFolder);
    }
    // An earlier step of ours may be unsynced: its process can have died before its flush.
    if (files.length === 0) await this.#directory.sync(ukiFolder);
  }

  /** Removes what a copy that was cut left behind; resolves to whether there was any. */
  async removeLeftovers(): Promise<boolean> {
    const ours = (['a', 'b'] as const).map((slot) => `${entryIdOf(this.#prefix, slot)}.efi.tmp`);
    const leftovers = (await this.#directory.list(ukiFolder)).filter((name) => ours.includes(name.toLowerCase()));
    if (leftovers.length > 0) await this.remove(leftovers);
    return leftovers.length > 0;
  }

  /** Throws `bootloader-unsupported` for an image that newer loaders list more than once, `boot-env-corrupt` for one that none lists. */
  async requireBootable(slot: SlotName, path: string): Promise<void> {
    const uki = await readUki(this.#directory, path);
    if (uki === undefined) {
      throw new BootloaderError(
        'boot-env-corrupt',
        `cannot stage an image for slot ${slot}: the loader would not list ${path}, which has no .osrel with a name`,
        { details: { slot, path } },
      );
    }
    if (uki.hasProfiles) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot stage an image for slot ${slot}: it has several profiles, and loaders differ in which of them they start`,
        { details: { slot, path } },
      );
    }
  }

  /** Copies by way of `written`, a name in the folder of `to` that nothing lists. */
  async #copy(from: string, written: string, to: string): Promise<void> {
    const folder = dirname(to);
    await this.#directory.remove(written);
    await this.#directory.copyNew(from, written);
    await this.#directory.sync(folder);
    await this.#directory.replaceByRename(written, to);
    await this.#directory.sync(folder);
  }

  #folderOf(slot: SlotName): string {
    return `${this.#prefix}/${slot}`;
  }
}
