import { type BlsEntry, formatEntry, formatEntryName, parseEntry } from './bls-entry.ts';
import type { BootloaderCapabilities, BootStatus, SlotName, StagingBootloader } from './bootloader.ts';
import type { BootDirectory } from './boot-directory.ts';
import { BootloaderError } from './errors.ts';
import { formatSlotEntry, type SlotEntry } from './slot-entry.ts';
import { entriesFolder, entryLimitBytes, hasAllFiles, type MenuPlaces, readMenu } from './systemd-boot-menu.ts';
import type { EfiVariables } from './systemd-boot-overrides.ts';
import {
  aboveOthers,
  checkEntryPrefix,
  checkTries,
  entriesOf,
  entryIdOf,
  entryOf,
  firstSlot,
  type Menu,
  type MenuEntry,
  namesOf,
  otherSlot,
  slotOf,
  systemdBootCapabilities,
  systemdBootStatus,
} from './systemd-boot-state.ts';
import { isCanary, SystemdBootCanary } from './systemd-boot-canary.ts';
import { needlessFiles } from './systemd-boot-repair.ts';
import { SystemdBootRules } from './systemd-boot-rules.ts';
import { isTornNameOf } from './torn-names.ts';

export interface SystemdBootOptions {
  /** Slot a's entry or image is `<entryPrefix>-a`, slot b's `<entryPrefix>-b`; it is the entries' sort key, too. */
  readonly entryPrefix: string;
  /** The ESP, when the entries are on XBOOTLDR. */
  readonly esp?: BootDirectory;
  /** The loader's EFI variables. Without them, what they choose is neither seen nor cleared. */
  readonly variables?: EfiVariables;
}

/**
 * systemd-boot, by the names and versions of two Type 1 entries. A slot without an entry is bad, one without a counter
 * good, one with a counter in trial. `<entryPrefix>-<slot>.conf.staged` is a slot's entry under a name that is not
 * listed: what is activated comes from there, and stays there.
 */
export class SystemdBootBootloader implements StagingBootloader {
  readonly #directory: BootDirectory;
  readonly #rules: SystemdBootRules;
  readonly #canary: SystemdBootCanary;
  readonly #prefix: string;
  readonly #places: MenuPlaces;

  /** Throws `bootloader-unsupported` for a prefix that does not make entry names. */
  constructor(directory: BootDirectory, { entryPrefix, esp, variables }: SystemdBootOptions) {
    checkEntryPrefix(entryPrefix);
    this.#directory = directory;
    this.#prefix = entryPrefix;
    this.#places = { directory, esp, variables, ownerOf: (name) => ({ slot: slotOf(entryPrefix, name) }) };
    const ids = [entryIdOf(entryPrefix, 'a'), entryIdOf(entryPrefix, 'b')];
    this.#rules = new SystemdBootRules(entryPrefix, namesOf(ids, '.conf'), variables);
    this.#canary = new SystemdBootCanary(directory, entryPrefix, this.#rules, () => this.#menu());
  }

  get capabilities(): BootloaderCapabilities {
    return systemdBootCapabilities;
  }

  get canary(): SystemdBootCanary {
    return this.#canary;
  }

  async readStatus(): Promise<BootStatus> {
    const menu = await this.#menu();
    const notes = this.#rules.notes(menu);
    return { ...systemdBootStatus(menu), ...(notes.length === 0 ? {} : { notes }) };
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#directory.locked(async () => {
      const menu = await this.#menu();
      this.#rules.requireFallback(menu, otherSlot(slot), `mark slot ${slot} bad`);
      await this.#canary.remove();
      await this.#unlist(menu, slot);
      await this.#verify(slot, 'bad');
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    checkTries(slot, tries);
    await this.#directory.locked(async () => {
      const menu = await this.#menu();
      const other = otherSlot(slot);
      this.#rules.requireFallback(menu, other, `arm slot ${slot}`);
      const template = await this.#template(menu, slot);
      const entry = aboveOthers(
        this.#prefix,
        template,
        entriesOf(menu, other).map((each) => each.entry),
      );
      const armed = this.#entry(slot, entry, { left: tries, done: 0 });
      const entries = [...menu.entries.filter((each) => each.slot !== slot), armed];
      this.#rules.refuseOverrides(menu, entries, armed);
      await this.#canary.remove();
      if (!(await this.#isAlone(menu, armed))) {
        // Power lost after this: the slot has no entry, the other one boots.
        await this.#unlist(menu, slot);
        // Power lost after this: the same. An override that beats the counter has to be gone before there is one.
        await this.#rules.clearVariables(menu);
        // The commit point: the entry gets a name that the loader lists, above the other's version.
        await this.#put(armed, (from, to) => this.#directory.rename(from, to));
      } else {
        await this.#directory.sync(entriesFolder);
        await this.#rules.clearVariables(menu);
      }
      await this.#verify(slot, 'trial');
    });
  }

  async stageEntry(slot: SlotName, entry: SlotEntry): Promise<void> {
    await this.#directory.locked(async () => {
      const { state } = systemdBootStatus(await this.#menu()).slots[slot];
      if (state !== 'bad') {
        throw new BootloaderError(
          'bootloader-unsupported',
          `cannot stage an entry: slot ${slot} is ${state}, want bad`,
        );
      }
      await this.#putStaged(this.#stagedPath(slot), formatSlotEntry(entry));
      await this.#template(await this.#menu(), slot);
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#directory.locked(async () => {
      const menu = await this.#menu();
      const listed = entryOf(menu, slot);
      const known = listed?.entry ?? (await this.#template(menu, slot));
      const others = entriesOf(menu, otherSlot(slot));
      const isFirst = firstSlot([...others, this.#entry(slot, known, undefined)]) === slot;
      // At equal order the file's name decides; a version above the other's does not leave it to that.
      const entry = isFirst
        ? known
        : aboveOthers(
            this.#prefix,
            known,
            others.map((other) => other.entry),
          );
      await this.#listProven(menu, this.#entry(slot, entry, undefined));
      await this.#verify(slot, 'good');
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#directory.locked(async () => {
      const leftovers = await this.#removeLeftovers();
      const needless = needlessFiles(await this.#menu(), booted);
      await this.#remove(needless);
      const menu = await this.#menu();
      const other = otherSlot(booted);
      // A slot without an entry is one that was marked bad, as long as there is another that may boot without counting.
      const isSound = entryOf(menu, booted) !== undefined || systemdBootStatus(menu).slots[other].state === 'good';
      if (isSound) return leftovers + needless.length > 0;
      const template = await this.#template(menu, booted);
      const others = entriesOf(menu, other).map(({ entry }) => entry);
      await this.#listProven(menu, this.#entry(booted, aboveOthers(this.#prefix, template, others), undefined));
      // Power lost before this: the other slot is behind the booted one, in the trial that it was in.
      if (!isOtherGood) await this.#unlist(await this.#menu(), other);
      return true;
    });
  }

  async #menu(): Promise<Menu> {
    const menu = await readMenu(this.#places);
    return { ...menu, entries: menu.entries.filter(({ name }) => !isCanary(this.#prefix, name)) };
  }

  #entry(slot: SlotName, entry: BlsEntry, counter: MenuEntry['name']['counter']): MenuEntry {
    const name = { id: entryIdOf(this.#prefix, slot), suffix: '.conf', counter } as const;
    return { file: formatEntryName(name), name, entry, slot, isListed: true };
  }

  #stagedPath(slot: SlotName): string {
    return `${entriesFolder}/${entryIdOf(this.#prefix, slot)}.conf.staged`;
  }

  /** The entry that a slot is to boot by: the staged one, else the listed one, else one whose name was torn. */
  async #template(menu: Menu, slot: SlotName): Promise<BlsEntry> {
    const names = await this.#directory.list(entriesFolder);
    const path = this.#stagedPath(slot);
    const isStaged = names.some((name) => path.endsWith(`/${name.toLowerCase()}`));
    const entry = isStaged
      ? parseEntry(await this.#directory.read(path, entryLimitBytes))
      : (entriesOf(menu, slot)[0]?.entry ?? (await this.#tornEntry(names, slot)));
    if (entry !== undefined && (await hasAllFiles(this.#directory, entry))) return entry;
    throw new BootloaderError(
      'boot-payload-missing',
      `cannot boot slot ${slot}: ${entry === undefined ? `there is no ${path}` : `its entry in ${path} names no file to start, or one that is not there`}`,
      { details: { slot, path } },
    );
  }

  /** What is in a file of `names` that is left of one of the slot's: its contents were there before its name. */
  async #tornEntry(names: readonly string[], slot: SlotName): Promise<BlsEntry | undefined> {
    const id = entryIdOf(this.#prefix, slot);
    const torn = names.find((name) => isTornNameOf(id, 'conf', name) || isTornNameOf(id, 'staged', name));
    return torn === undefined
      ? undefined
      : parseEntry(await this.#directory.read(`${entriesFolder}/${torn}`, entryLimitBytes));
  }

  /** Takes a slot's names from the loader's list; what was in them stays as its staged entry. */
  async #unlist(menu: Menu, slot: SlotName): Promise<void> {
    const files = entriesOf(menu, slot);
    const [first] = files;
    const path = this.#stagedPath(slot);
    const names = await this.#directory.list(entriesFolder);
    if (first !== undefined && !names.some((name) => path.endsWith(`/${name.toLowerCase()}`))) {
      await this.#putStaged(path, first.entry);
    }
    await this.#remove(files.map(({ file }) => file));
  }

  async #putStaged(path: string, entry: BlsEntry): Promise<void> {
    await this.#write(`${path}.tmp`, entry);
    await this.#directory.replaceByRename(`${path}.tmp`, path);
    await this.#directory.sync(entriesFolder);
  }

  async #remove(files: readonly string[]): Promise<void> {
    for (const file of files) {
      await this.#directory.remove(`${entriesFolder}/${file}`);
      // One name at a time: power lost here leaves a state that was there already, or comes after.
      await this.#directory.sync(entriesFolder);
    }
    // An earlier removal of ours may be unsynced: its process can have died before its flush.
    if (files.length === 0) await this.#directory.sync(entriesFolder);
  }

  /** Lists a slot without a counter, and only then removes its other names. */
  async #listProven(menu: Menu, proven: MenuEntry): Promise<void> {
    if (await this.#isAlone(menu, proven)) return this.#directory.sync(entriesFolder);
    // Power lost in this: the counted entry is still there, beside the old or the new proven one, or alone.
    await this.#put(proven, (from, to) => this.#directory.replaceByRename(from, to));
    // A name that differs in case alone is the one that was just written.
    const files = menu.entries.filter(({ slot, file }) => slot === proven.slot && file.toLowerCase() !== proven.file);
    await this.#remove(files.map(({ file }) => file));
  }

  async #isAlone(menu: Menu, wanted: MenuEntry): Promise<boolean> {
    const [only, ...more] = entriesOf(menu, wanted.slot);
    if (only?.file !== wanted.file || more.length > 0) return false;
    return Buffer.compare(formatEntry(only.entry), formatEntry(wanted.entry)) === 0;
  }

  /** Writes an entry whole under a name that is not listed, and then gives it its own. */
  async #put(entry: MenuEntry, rename: (from: string, to: string) => Promise<void>): Promise<void> {
    const path = `${entriesFolder}/${entry.file}`;
    const written = `${entriesFolder}/${entryIdOf(this.#prefix, entry.slot ?? 'a')}.conf.tmp`;
    await this.#write(written, entry.entry);
    await rename(written, path);
    await this.#directory.sync(entriesFolder);
  }

  async #write(path: string, entry: BlsEntry): Promise<void> {
    await this.#directory.remove(path);
    await this.#directory.writeNew(path, formatEntry(entry));
    await this.#directory.sync(entriesFolder);
  }

  async #removeLeftovers(): Promise<number> {
    const ours = (['a', 'b'] as const).map((slot) => `${entryIdOf(this.#prefix, slot)}.conf.`);
    const names = await this.#directory.list(entriesFolder);
    const leftovers = names.filter((name) => name.endsWith('.tmp') && ours.some((begin) => name.startsWith(begin)));
    if (leftovers.length > 0) await this.#remove(leftovers);
    return leftovers.length;
  }

  async #verify(slot: SlotName, wanted: 'good' | 'bad' | 'trial'): Promise<void> {
    const menu = await this.#menu();
    const { state } = systemdBootStatus(menu).slots[slot];
    const first = firstSlot(menu.entries);
    if (state === wanted && (first === slot) === (wanted !== 'bad')) return;
    throw new BootloaderError(
      'boot-env-write-failed',
      `cannot change the boot entries: slot ${slot} reads back as ${state}, want ${wanted}`,
    );
  }
}
