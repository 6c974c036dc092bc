import { formatEntry, type EntryName, formatEntryName, parseEntryName } from './bls-entry.ts';
import type { BootDirectory } from './boot-directory.ts';
import type { SlotName } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import { entriesFolder } from './systemd-boot-menu.ts';
import type { SystemdBootRules } from './systemd-boot-rules.ts';
import { aboveOthers, entryOf, type Menu } from './systemd-boot-state.ts';

/** Whether a name is that of the mark; it is no slot's, though it starts what the booted slot starts. */
export function isCanary(prefix: string, { id, suffix }: EntryName): boolean {
  return suffix === '.conf' && id.toLowerCase() === `${prefix}-canary`;
}

/**
 * A second entry for the booted slot, with one try and a version above all of ours: the loader boots the slot by it once,
 * and takes its try, after which it stands last.
 */
export class SystemdBootCanary implements LoaderCanary {
  readonly rebootArgument = undefined;
  readonly #directory: BootDirectory;
  readonly #prefix: string;
  readonly #rules: SystemdBootRules;
  readonly #readMenu: () => Promise<Menu>;

  /** `readMenu` leaves the mark out. */
  constructor(directory: BootDirectory, prefix: string, rules: SystemdBootRules, readMenu: () => Promise<Menu>) {
    this.#directory = directory;
    this.#prefix = prefix;
    this.#rules = rules;
    this.#readMenu = readMenu;
  }

  async arm(booted: SlotName): Promise<void> {
    await this.#directory.locked(async () => {
      const menu = await this.#readMenu();
      this.#rules.requireFallback(menu, booted, 'mark the loader for a test');
      const ours = menu.entries.filter(({ slot }) => slot !== undefined).map(({ entry }) => entry);
      const entry = aboveOthers(this.#prefix, entryOf(menu, booted)?.entry ?? { lines: [] }, ours);
      await this.remove();
      const path = `${entriesFolder}/${this.#file({ left: 1, done: 0 })}`;
      const written = `${entriesFolder}/${this.#file(undefined)}.tmp`;
      await this.#directory.writeNew(written, formatEntry(entry));
      await this.#directory.sync(entriesFolder);
      // Power lost in this: the mark, its unlisted beginning, both or neither; the booted slot has its own entry.
      await this.#directory.rename(written, path);
      await this.#directory.sync(entriesFolder);
    });
  }

  async read(): Promise<'changed' | 'unchanged'> {
    const names = (await this.#names()).map((file) => parseEntryName(file)?.counter);
    // systemd-bless-boot takes the counter of an entry that was counted.
    return names.some((counter) => counter?.left !== 1) ? 'changed' : 'unchanged';
  }

  async clear(): Promise<void> {
    await this.#directory.locked(() => this.remove());
  }

  /** Takes the mark away, where the partition's lock is held. */
  async remove(): Promise<void> {
    const written = `${this.#file(undefined)}.tmp`;
    const leftovers = (await this.#directory.list(entriesFolder)).filter((name) => name.toLowerCase() === written);
    for (const file of [...(await this.#names()), ...leftovers]) {
      await this.#directory.remove(`${entriesFolder}/${file}`);
      await this.#directory.sync(entriesFolder);
    }
  }

  async #names(): Promise<readonly string[]> {
    return (await this.#directory.list(entriesFolder)).filter((file) => {
      const name = parseEntryName(file);
      return name !== undefined && isCanary(this.#prefix, name);
    });
  }

  #file(counter: EntryName['counter']): string {
    return formatEntryName({ id: `${this.#prefix}-canary`, suffix: '.conf', counter });
  }
}
