import { type BlsEntry, type EntryName, formatEntryName, valueOf, withValue } from './bls-entry.ts';
import type { BootloaderCapabilities, BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import { matchesGlob, type Override, respectsCounters } from './systemd-boot-overrides.ts';
import { compareText, compareVersions } from './version-order.ts';

/** The most tries of a trial: what one digit counts. The bound is ours, the loader counts further. */
export const mostSystemdBootTries = 9;

export const systemdBootCapabilities: BootloaderCapabilities = {
  maxTries: mostSystemdBootTries,
  armed: 'durable',
  atomicity: 'rename',
  countsBeforeUserspace: true,
  countsProven: false,
};

/** One file of `loader/entries`, or a unified kernel image in `EFI/Linux`. */
export interface MenuEntry {
  /** The file's name as it is. */
  readonly file: string;
  readonly name: EntryName;
  /** What it says; of an image, what its release says in an entry's keys. */
  readonly entry: BlsEntry;
  /** Whose entry it is; `undefined` for one that is not ours. */
  readonly slot: SlotName | undefined;
  /** Whether the loader lists it: it names a file to start that is there, or is an image that has a name. */
  readonly isListed: boolean;
  /** Set for a copy of a proven image that its name keeps behind the other slot's, whatever it counts. */
  readonly isBehind?: boolean;
  /** Set where a torn rename left nothing but a short name, which tells the slot and no counter. */
  readonly isTorn?: boolean;
}

/** All that the loader chooses from, and by. */
export interface Menu {
  readonly entries: readonly MenuEntry[];
  /** The strongest first. */
  readonly overrides: readonly Override[];
}

/** What the loader chooses. `entry` is `undefined` when nothing is there, or when it can't be told. */
export interface Choice {
  readonly entry: MenuEntry | undefined;
  readonly by: Override | undefined;
}

/** Throws `bootloader-unsupported` for a prefix that does not make entry names. */
export function checkEntryPrefix(prefix: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,31}$/.test(prefix) && !prefix.startsWith('auto-')) return;
  throw new BootloaderError(
    'bootloader-unsupported',
    `cannot drive systemd-boot: entry prefix ${JSON.stringify(prefix)} is not 1 to 32 of a-z, 0-9, ".", "_" and "-", or begins with "auto-"`,
  );
}

/** Throws `bootloader-unsupported` for tries that are not counted. */
export function checkTries(slot: SlotName, tries: number): void {
  if (Number.isInteger(tries) && tries >= 1 && tries <= mostSystemdBootTries) return;
  throw new BootloaderError(
    'bootloader-unsupported',
    `cannot arm slot ${slot} with ${tries} tries: this loader counts 1 to ${mostSystemdBootTries}`,
  );
}

/** The slot that `slot` is not. */
export function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/** The id of a slot's entry, without suffix. */
export function entryIdOf(prefix: string, slot: SlotName): string {
  return `${prefix}-${slot}`;
}

/** Whose entry of Type 1 a name is. */
export function slotOf(prefix: string, { id, suffix }: EntryName): SlotName | undefined {
  if (suffix !== '.conf') return undefined;
  if (id.toLowerCase() === entryIdOf(prefix, 'a')) return 'a';
  return id.toLowerCase() === entryIdOf(prefix, 'b') ? 'b' : undefined;
}

/** The entries that the loader lists, in its order: the first is what it boots. */
export function sortMenu(entries: readonly MenuEntry[]): readonly MenuEntry[] {
  return entries.filter(({ isListed }) => isListed).toSorted(compareEntries);
}

function compareEntries(a: MenuEntry, b: MenuEntry): number {
  return (
    Number(isUsedUp(a)) - Number(isUsedUp(b)) ||
    compareKeys(a.entry, b.entry) ||
    compareVersions(b.name.id, a.name.id) ||
    compareCounters(a.name, b.name)
  );
}

function isUsedUp({ name }: MenuEntry): boolean {
  return name.counter?.left === 0;
}

function compareKeys(a: BlsEntry, b: BlsEntry): number {
  const [keyA, keyB] = [valueOf(a, 'sort-key'), valueOf(b, 'sort-key')];
  if (keyA === undefined || keyB === undefined) return Number(keyA === undefined) - Number(keyB === undefined);
  return (
    compareText(keyA, keyB) ||
    compareText(valueOf(a, 'machine-id') ?? '', valueOf(b, 'machine-id') ?? '') ||
    compareVersions(valueOf(b, 'version') ?? '', valueOf(a, 'version') ?? '')
  );
}

function compareCounters({ counter: a }: EntryName, { counter: b }: EntryName): number {
  // With and without counter are the same to the loader; what boots without counting is what must be told.
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return b.left - a.left || a.done - b.done;
}

/** What the loader would boot. */
export function choose(menu: Menu): Choice {
  // Up to version 252 at least an id is the file's name with its counter, in newer ones it has none.
  const byName = chooseBy(menu, ({ file }) => file);
  const byPlainName = chooseBy(menu, ({ name }) => formatEntryName({ ...name, counter: undefined }));
  if (byName.entry === byPlainName.entry) return byPlainName;
  return { entry: undefined, by: byPlainName.by ?? byName.by };
}

function chooseBy(menu: Menu, idOf: (entry: MenuEntry) => string): Choice {
  const sorted = sortMenu(menu.entries);
  for (const override of menu.overrides) {
    const { pattern } = override;
    if (/^(@|auto-)/i.test(pattern)) return { entry: undefined, by: override };
    const mayBoot = (each: MenuEntry): boolean => !respectsCounters(override) || !isUsedUp(each);
    const entry = sorted.find((each) => mayBoot(each) && matchesGlob(pattern, idOf(each)));
    if (entry !== undefined) return { entry, by: override };
  }
  return { entry: sorted[0], by: undefined };
}

/** Every name that a file with one of these ids can have, counted or not. */
export function namesOf(ids: readonly string[], suffix: EntryName['suffix']): readonly string[] {
  const counts = Array.from({ length: mostSystemdBootTries + 1 }, (_, count) => count);
  const counters = [undefined, ...counts.flatMap((left) => counts.map((done) => ({ left, done })))];
  return ids.flatMap((id) => counters.map((counter) => formatEntryName({ id, suffix, counter })));
}

/**
 * Which names of our slots a pattern takes: `all` leaves the choice between them to their order, `some` does not, now or
 * when the counter has gone on.
 */
export function takenNames(names: readonly string[], { pattern }: Override): 'all' | 'some' | 'none' {
  const taken = names.filter((name) => matchesGlob(pattern, name));
  return taken.length === 0 ? 'none' : taken.length === names.length ? 'all' : 'some';
}

/** The entry that stands for a slot: the first of it in the loader's order whose name is whole, else the first. */
export function entryOf(menu: Pick<Menu, 'entries'>, slot: SlotName): MenuEntry | undefined {
  const sorted = sortMenu(menu.entries).filter((each) => each.slot === slot);
  return sorted.find(({ isTorn }) => isTorn !== true) ?? sorted[0];
}

/** All files of a slot, the one that stands for it first. */
export function entriesOf(menu: Menu, slot: SlotName | undefined): readonly MenuEntry[] {
  const first = slot === undefined ? undefined : entryOf(menu, slot);
  const rest = menu.entries.filter((entry) => entry.slot === slot && entry !== first);
  return first === undefined ? rest : [first, ...rest];
}

/** Which of our slots stands first, whatever else is listed. */
export function firstSlot(entries: readonly MenuEntry[]): SlotName | undefined {
  return sortMenu(entries).find(({ slot }) => slot !== undefined)?.slot;
}

/** What the loader would do. `primary` is `undefined`, too, when it boots something else or its choice can't be told. */
export function systemdBootStatus(menu: Menu): BootStatus {
  const inTrial = sortMenu(menu.entries).find(
    ({ slot, file }) =>
      slot !== undefined && slotState(menu, slot).state === 'trial' && entryOf(menu, slot)?.file === file,
  );
  const counter = inTrial?.name.counter;
  return {
    primary: choose(menu).entry?.slot,
    trial: inTrial?.slot,
    trialTries: counter === undefined ? 0 : counter.left + counter.done,
    slots: { a: slotState(menu, 'a'), b: slotState(menu, 'b') },
    ...(isUntidy(menu) ? { isUntidy: true } : {}),
  };
}

/** Whether a rename that power cut left a slot two names, or took the name of the one that was good. */
function isUntidy(menu: Menu): boolean {
  const slots = ['a', 'b'] as const;
  const isDouble = slots.some((slot) => menu.entries.filter((entry) => entry.slot === slot).length > 1);
  return isDouble || slots.every((slot) => slotState(menu, slot).state !== 'good');
}

function slotState(menu: Menu, slot: SlotName): SlotBootState {
  const entry = entryOf(menu, slot);
  if (entry === undefined) return { state: 'bad', triesLeft: 0 };
  const { counter } = entry.name;
  // The loader boots it and counts nothing. It is not known to be proven, and a trial gets no more tries than it had.
  if (entry.isTorn === true) return { state: 'trial', triesLeft: 0 };
  // The loader boots an entry without a counter for ever, and one that stands behind as well.
  if (counter === undefined || entry.isBehind === true) return { state: 'good', triesLeft: mostSystemdBootTries };
  return { state: 'trial', triesLeft: counter.left };
}

/**
 * `entry` with our sort key and a version above all of `others`. Throws `bootloader-unsupported` when no number is above
 * one of them.
 */
export function aboveOthers(prefix: string, entry: BlsEntry, others: readonly BlsEntry[]): BlsEntry {
  const versions = others.map((other) => valueOf(other, 'version') ?? '');
  const numbers = versions.map((version) => BigInt(/^[0-9]{1,30}/.exec(version)?.[0] ?? '0'));
  const next = String(numbers.reduce((most, number) => (number > most ? number : most), 0n) + 1n);
  const unbeaten = versions.find((version) => compareVersions(next, version) <= 0);
  if (unbeaten !== undefined) {
    throw new BootloaderError(
      'bootloader-unsupported',
      `cannot order the boot entries: no number is above version ${JSON.stringify(unbeaten)}`,
    );
  }
  return withValue(withValue(entry, 'sort-key', prefix), 'version', next);
}
