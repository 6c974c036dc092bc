import type { BootDirectory } from './boot-directory.ts';
import type { BootloaderCapabilities, BootStatus, SlotName, StagingBootloader } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import type { SlotEntry } from './slot-entry.ts';
import { type MenuPlaces, readMenu, ukiFolder } from './systemd-boot-menu.ts';
import { SystemdBootRules } from './systemd-boot-rules.ts';
import {
  checkEntryPrefix,
  checkTries,
  entriesOf,
  entryOf,
  firstSlot,
  type Menu,
  type MenuEntry,
  namesOf,
  otherSlot,
  systemdBootCapabilities,
  systemdBootStatus,
} from './systemd-boot-state.ts';
import type { SystemdBootOptions } from './systemd-boot.ts';
import { type UkiFile, UkiFiles } from './systemd-boot-uki-files.ts';
import {
  behindEntry,
  type CopyNumber,
  isArmed,
  isUntidy,
  requireStageable,
  standsBefore,
  tidyingOf,
  ukiEntry,
  ukiIds,
  ukiOwnerOf,
} from './systemd-boot-uki-state.ts';

/**
 * systemd-boot, by the names of unified kernel images in `EFI/Linux` (Type 2). A slot without a name there is bad, one
 * without a counter good, one with a counter in trial. Which image stands before the other is signed inside them; where
 * that is not the one that is to boot, the other one's names count zero tries, which puts it last (see
 * `docs/systemd-boot.md`).
 */
export class SystemdBootUkis implements StagingBootloader {
  readonly #directory: BootDirectory;
  readonly #files: UkiFiles;
  readonly #prefix: string;
  readonly #places: MenuPlaces;
  readonly #rules: SystemdBootRules;

  /** Throws `bootloader-unsupported` for a prefix that does not make entry names. */
  constructor(directory: BootDirectory, { entryPrefix, esp, variables }: SystemdBootOptions) {
    checkEntryPrefix(entryPrefix);
    this.#directory = directory;
    this.#prefix = entryPrefix;
    this.#files = new UkiFiles(directory, entryPrefix);
    this.#places = { directory, esp, variables, ownerOf: (name) => ukiOwnerOf(entryPrefix, name) };
    this.#rules = new SystemdBootRules(entryPrefix, namesOf(ukiIds(entryPrefix), '.efi'), variables);
  }

  get capabilities(): BootloaderCapabilities {
    return systemdBootCapabilities;
  }

  async readStatus(): Promise<BootStatus> {
    const menu = await this.#menu();
    const notes = this.#rules.notes(menu);
    return {
      ...systemdBootStatus(menu),
      isUntidy: isUntidy(menu) ? true : undefined,
      notes: notes.length === 0 ? undefined : notes,
    };
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#directory.locked(async () => {
      this.#rules.requireFallback(await this.#menu(), otherSlot(slot), `mark slot ${slot} bad`);
      // The commit point: the slot's name goes. A fallback that stood behind is what is left.
      await this.#unlist(slot);
      await this.#makePlain(otherSlot(slot));
      await this.#verify(slot, 'bad');
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    checkTries(slot, tries);
    await this.#directory.locked(async () => {
      const menu = await this.#menu();
      const other = otherSlot(slot);
      this.#rules.requireFallback(menu, other, `arm slot ${slot}`);
      const armed = ukiEntry(this.#prefix, slot, (await this.#source(menu, slot)).entry, { left: tries, done: 0 });
      const fallback = ukiEntry(this.#prefix, other, this.#listed(menu, other).entry, undefined);
      const isBefore = standsBefore(this.#prefix, armed, fallback);
      const beside = isBefore ? fallback : behindEntry(this.#prefix, other, fallback.entry, 1);
      const foreign = menu.entries.filter((each) => each.slot === undefined);
      this.#rules.refuseOverrides(menu, [...foreign, beside, armed], armed);
      // An image that is listed needs no staged one, whose room the copies need.
      if (entryOf(menu, slot) !== undefined) await this.#files.removeStaged(slot);
      if (isArmed(menu, armed, beside)) await this.#files.remove([]);
      else await this.#arm(menu, armed, isBefore);
      // Power lost before the second copy: there is one, which only the loader's own rename could lose.
      await this.#rules.clearVariables(menu);
      if (!isBefore) await this.#putBehind(other, 2);
      await this.#verify(slot, 'trial');
    });
  }

  /**
   * Lists `armed` before the other slot. Only the last step lets it boot. There are never more than three images, and
   * the one to be armed has a name in each step: power lost in any of them leaves it to be armed again.
   */
  async #arm(menu: Menu, armed: MenuEntry, isBefore: boolean): Promise<void> {
    const slot = armed.slot ?? 'a';
    const other = otherSlot(slot);
    const [first, ...more] = entriesOf(menu, slot);
    // Power lost in any step but the last: the other slot boots, by its own name or by that of a copy.
    await this.#makePlain(other);
    const isListed = first?.isListed === true && first.file === armed.file && more.length === 0;
    if (!isListed && first !== undefined) {
      await this.#files.remove(more.map(({ file }) => file));
      if (first.isListed) await this.#files.stageListed(slot, first.file);
      await this.#files.remove([first.file]);
    }
    // An override that beats the counter has to be gone before there is one.
    await this.#rules.clearVariables(menu);
    // The commit point where the image stands before the other one by itself.
    if (!isListed) await this.#files.list(slot, armed.file);
    await this.#files.removeStaged(slot);
    if (isBefore) return;
    await this.#putBehind(other, 1);
    // The commit point else: without its proven name the other slot stands behind, until the tries are used up.
    await this.#removeProven(other);
  }

  async stageEntry(slot: SlotName, entry: SlotEntry): Promise<void> {
    await this.#directory.locked(async () => {
      requireStageable(systemdBootStatus(await this.#menu()), slot, entry);
      await this.#files.requireBootable(slot, entry.start.path);
      await this.#files.stage(slot, entry.start.path);
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#directory.locked(async () => {
      const menu = await this.#menu();
      const other = otherSlot(slot);
      if (entryOf(menu, slot) !== undefined) await this.#files.removeStaged(slot);
      // The second copy of what stands behind makes room for the copy that this slot needs.
      const spare = entriesOf(menu, other).filter(({ isBehind }) => isBehind === true);
      await this.#files.remove(spare.slice(1).map(({ file }) => file));
      await this.#prove(menu, slot);
      await this.#putFirst(slot);
      await this.#verify(slot, 'good');
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#directory.locked(async () => {
      let hasChanged = await this.#files.removeLeftovers();
      for (const slot of ['a', 'b'] as const) {
        const { needless, isToBePlain } = tidyingOf(await this.#menu(), slot, booted);
        if (needless.length > 0) await this.#files.remove(needless.map(({ file }) => file));
        if (isToBePlain) await this.#makePlain(slot);
        hasChanged ||= needless.length > 0 || isToBePlain;
      }
      for (const slot of ['a', 'b'] as const)
        hasChanged = (await this.#nameTorn(slot, booted, isOtherGood)) || hasChanged;
      const menu = await this.#menu();
      const other = otherSlot(booted);
      // A slot without a name is one that was marked bad, as long as there is another that may boot without counting.
      const isSound = entryOf(menu, booted) !== undefined || systemdBootStatus(menu).slots[other].state === 'good';
      if (isSound) return hasChanged;
      await this.#prove(menu, booted);
      await this.#putFirst(booted);
      // Power lost before this: the other slot is behind the booted one, in the trial that it was in.
      if (!isOtherGood) await this.#unlist(other);
      return true;
    });
  }

  /**
   * Gives a slot whose only name was torn one of its own; resolves to whether there was one. It is the proven name where
   * nothing else is proven and the slot runs, or is known to be good; else that of a trial without a try left.
   */
  async #nameTorn(slot: SlotName, booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    const menu = await this.#menu();
    const torn = entryOf(menu, slot);
    if (torn?.isTorn !== true) return false;
    const isFallback = systemdBootStatus(menu).slots[otherSlot(slot)].state !== 'good';
    if (isFallback && (slot === booted || isOtherGood)) await this.#makePlain(slot);
    else await this.#files.rename(torn.file, ukiEntry(this.#prefix, slot, torn.entry, { left: 0, done: 1 }).file);
    return true;
  }

  /** Gives a slot its proven name, and only then takes its other ones. */
  async #prove(menu: Menu, slot: SlotName): Promise<void> {
    const { file } = ukiEntry(this.#prefix, slot, { lines: [] }, undefined);
    const { path } = await this.#source(menu, slot);
    // Power lost in this: the image still has the name that it had, beside the proven one or alone.
    if (path.toLowerCase() !== `${ukiFolder}/${file}`.toLowerCase()) await this.#files.copy(slot, path, file);
    await this.#makePlain(slot);
    if (path === this.#files.stagedPath(slot)) await this.#files.removeStaged(slot);
  }

  /** Has a proven slot stand before the other one, whatever their images say. */
  async #putFirst(slot: SlotName): Promise<void> {
    const menu = await this.#menu();
    const other = otherSlot(slot);
    const before = entryOf(menu, other);
    if (firstSlot(menu.entries) === slot || before === undefined) return;
    const { counter } = before.name;
    if (counter === undefined) {
      await this.#putBehind(other, 1);
      // The commit point: until here the other slot boots, as before.
      await this.#removeProven(other);
    } else {
      // A trial that has not run out stands first by its image: its tries end here.
      await this.#files.rename(
        before.file,
        ukiEntry(this.#prefix, other, before.entry, { left: 0, done: counter.done }).file,
      );
    }
  }

  /** Makes sure that a good slot has this many copies that stand behind. */
  async #putBehind(slot: SlotName, count: CopyNumber): Promise<void> {
    for (const number of [1, 2] as const) {
      const menu = await this.#menu();
      const copies = entriesOf(menu, slot).filter(({ isBehind, isListed }) => isBehind === true && isListed);
      const { file, entry } = this.#listed(menu, slot);
      const copy = behindEntry(this.#prefix, slot, entry, number);
      if (copies.length >= count || copies.some(({ name }) => name.id === copy.name.id)) continue;
      await this.#files.copy(slot, `${ukiFolder}/${file}`, copy.file);
    }
  }

  async #removeProven(slot: SlotName): Promise<void> {
    const proven = entriesOf(await this.#menu(), slot).filter(({ isBehind }) => isBehind !== true);
    await this.#files.remove(proven.map(({ file }) => file));
  }

  /** Leaves a good slot with its proven name alone. */
  async #makePlain(slot: SlotName): Promise<void> {
    const files = entriesOf(await this.#menu(), slot);
    const [first, ...more] = files.filter(({ isListed }) => isListed);
    const { file } = ukiEntry(this.#prefix, slot, { lines: [] }, undefined);
    if (first === undefined) return;
    if (!files.some((each) => each.file.toLowerCase() === file && each.isListed)) {
      // Where there is another copy, power lost in a rename can't lose the image.
      if (more.length > 0) await this.#files.rename(first.file, file);
      else await this.#files.copy(slot, `${ukiFolder}/${first.file}`, file);
    }
    const others = entriesOf(await this.#menu(), slot).filter((each) => each.file.toLowerCase() !== file);
    await this.#files.remove(others.map((each) => each.file));
  }

  /** Takes a slot's names from the loader's list; one of its images stays as the staged one. */
  async #unlist(slot: SlotName): Promise<void> {
    const files = entriesOf(await this.#menu(), slot);
    const [first, ...more] = files;
    if (first?.isListed !== true) return this.#files.remove(files.map(({ file }) => file));
    await this.#files.unlist(slot, first.file);
    await this.#files.remove(more.map(({ file }) => file));
  }

  #listed(menu: Menu, slot: SlotName): MenuEntry {
    const entry = entryOf(menu, slot);
    if (entry === undefined) throw new Error(`internal: slot ${slot} has no image that is listed`);
    return entry;
  }

  /** The image that a slot is to boot by: the listed one, else the staged one. */
  async #source(menu: Menu, slot: SlotName): Promise<UkiFile> {
    const listed = entryOf(menu, slot);
    if (listed !== undefined) return { path: `${ukiFolder}/${listed.file}`, entry: listed.entry };
    const staged = await this.#files.staged(slot);
    if (staged !== undefined) return staged;
    const path = this.#files.stagedPath(slot);
    throw new BootloaderError(
      'boot-payload-missing',
      `cannot boot slot ${slot}: there is no ${path} that the loader would list`,
      { details: { slot, path } },
    );
  }

  async #menu(): Promise<Menu> {
    return readMenu(this.#places);
  }

  async #verify(slot: SlotName, wanted: 'good' | 'bad' | 'trial'): Promise<void> {
    const menu = await this.#menu();
    const { state } = systemdBootStatus(menu).slots[slot];
    if (state === wanted && (firstSlot(menu.entries) === slot) === (wanted !== 'bad')) return;
    throw new BootloaderError(
      'boot-env-write-failed',
      `cannot change the images of the loader: slot ${slot} reads back as ${state}, want ${wanted}`,
    );
  }
}
