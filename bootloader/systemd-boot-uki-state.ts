import { type BlsEntry, type EntryName, formatEntryName, parseEntryName } from './bls-entry.ts';
import type { BootStatus, SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import type { SlotEntry } from './slot-entry.ts';
import {
  entriesOf,
  entryIdOf,
  entryOf,
  type Menu,
  type MenuEntry,
  otherSlot,
  sortMenu,
  systemdBootStatus,
} from './systemd-boot-state.ts';
import { isTornNameOf } from './torn-names.ts';

/** Which of two copies that stand behind. */
export type CopyNumber = 1 | 2;

/** The id of a copy of a slot's proven image that stands behind, without suffix. */
export function copyIdOf(prefix: string, slot: SlotName, number: CopyNumber): string {
  return `${entryIdOf(prefix, slot)}.${number}`;
}

/** Every id that an image of ours can have. */
export function ukiIds(prefix: string): readonly string[] {
  return (['a', 'b'] as const).flatMap((slot) => [
    entryIdOf(prefix, slot),
    copyIdOf(prefix, slot, 1),
    copyIdOf(prefix, slot, 2),
  ]);
}

/** Whose image a name in `EFI/Linux` is. */
export function ukiOwnerOf(
  prefix: string,
  { id, suffix, counter }: EntryName,
): Pick<MenuEntry, 'slot' | 'isBehind' | 'isTorn'> {
  const isTornOf = (slot: SlotName): boolean => isTornNameOf(entryIdOf(prefix, slot), 'efi', `${id}${suffix}`);
  const torn = counter === undefined ? (['a', 'b'] as const).find(isTornOf) : undefined;
  if (torn !== undefined) return { slot: torn, isTorn: true };
  const [, letter, copy] = /^-([ab])(\.[12])?$/.exec(id.toLowerCase().slice(prefix.length)) ?? [];
  if (suffix !== '.efi' || !id.toLowerCase().startsWith(prefix) || letter === undefined) return { slot: undefined };
  // systemd-bless-boot takes the counter from a copy that the loader fell back to: it does not stand behind any more.
  return { slot: letter === 'a' ? 'a' : 'b', isBehind: copy !== undefined && counter !== undefined };
}

/** Whose image a file in `EFI/Linux` is. */
export function ukiOwnerOfFile(prefix: string, file: string): SlotName | undefined {
  const name = parseEntryName(file);
  return name && ukiOwnerOf(prefix, name).slot;
}

/** The entry that an image of `slot` makes under its own name. */
export function ukiEntry(prefix: string, slot: SlotName, entry: BlsEntry, counter: EntryName['counter']): MenuEntry {
  const name = { id: entryIdOf(prefix, slot), suffix: '.efi', counter } as const;
  return { file: formatEntryName(name), name, entry, slot, isListed: true };
}

/** The entry that a copy of an image of `slot` makes which stands behind: the loader takes it for used up. */
export function behindEntry(prefix: string, slot: SlotName, entry: BlsEntry, number: CopyNumber): MenuEntry {
  const name = { id: copyIdOf(prefix, slot, number), suffix: '.efi', counter: { left: 0, done: 0 } } as const;
  return { file: formatEntryName(name), name, entry, slot, isListed: true, isBehind: true };
}

/** Whether the loader has `entry` before `other` where neither has a counter: by what is signed in them, then by name. */
export function standsBefore(prefix: string, entry: MenuEntry, other: MenuEntry): boolean {
  const plain = (each: MenuEntry): MenuEntry => ukiEntry(prefix, each.slot ?? 'a', each.entry, undefined);
  return sortMenu([plain(entry), plain(other)])[0]?.slot === entry.slot;
}

/** Throws `bootloader-unsupported` unless `slot` is bad, and `entry` an image and nothing beside it. */
export function requireStageable(
  { slots }: BootStatus,
  slot: SlotName,
  { start, initrds, devicetree, options }: SlotEntry,
): void {
  const { state } = slots[slot];
  let reason: string;
  if (state !== 'bad') reason = `it is ${state}, want bad`;
  else if (start.role !== 'uki' || initrds.length > 0 || devicetree !== undefined) {
    reason = 'entries of type 2 start nothing but a unified kernel image; want one, and nothing beside it';
  } else if (options !== '') {
    reason = `an entry of type 2 has the options inside its image, and no others; remove ${JSON.stringify(options)}`;
  } else return;
  throw new BootloaderError('bootloader-unsupported', `cannot stage an image for slot ${slot}: ${reason}`);
}

/** Whether a slot's name makes the loader start it as long as it has nothing better. */
function isLive(entry: MenuEntry | undefined): boolean {
  return entry !== undefined && entry.name.counter?.left !== 0;
}

/**
 * Whether a slot has the one name that it is to be armed by, with an image that the loader lists, and the other slot
 * those that are to be beside it.
 */
export function isArmed(menu: Menu, armed: MenuEntry, beside: MenuEntry): boolean {
  const [only, ...more] = menu.entries.filter(({ slot }) => slot === armed.slot);
  const isBeside = entriesOf(menu, beside.slot).every(
    ({ isBehind }) => (isBehind === true) === (beside.isBehind === true),
  );
  return only?.isListed === true && only.file === armed.file && more.length === 0 && isBeside;
}

/** What is to become of a slot's files: which of them go, and whether what is left has to be given its own name. */
export interface Tidying {
  readonly needless: readonly MenuEntry[];
  readonly isToBePlain: boolean;
}

/**
 * What brings a slot's names into order. A proven name stays before copies that stand behind, for those are made before
 * it goes and go after it came; of a proven and a counted one the counted one stays, unless the slot runs, or nothing
 * else is proven; of counted ones the one with the fewest tries. Copies stay behind only while there is something in
 * the other slot to be behind of. A torn name stays only where there is no other.
 */
export function tidyingOf(menu: Menu, slot: SlotName, booted: SlotName): Tidying {
  const files = menu.entries.filter((each) => each.slot === slot);
  const torn = files.filter(({ isListed, isTorn }) => isListed && isTorn === true);
  const listed = files.filter(({ isListed, isTorn }) => isListed && isTorn !== true);
  const behind = listed.filter(({ isBehind }) => isBehind === true);
  const isCopy = ({ name }: MenuEntry): boolean => /\.[12]$/.test(name.id);
  const [plain] = listed
    .filter(({ name }) => name.counter === undefined)
    .toSorted((a, b) => Number(isCopy(a)) - Number(isCopy(b)));
  const [counted] = listed
    .filter(({ name, isBehind }) => name.counter !== undefined && isBehind !== true)
    .toSorted((a, b) => (a.name.counter?.left ?? 0) - (b.name.counter?.left ?? 0));
  const isOnlyGood = systemdBootStatus(menu).slots[otherSlot(slot)].state !== 'good';
  const isPlainKept = counted === undefined || behind.length > 0 || slot === booted || isOnlyGood;
  const kept = plain !== undefined && isPlainKept ? [plain] : behind.length > 0 ? behind : (counted ?? plain);
  const keptFiles = [kept ?? torn[0] ?? []].flat();
  return {
    needless: keptFiles.length === 0 ? [] : files.filter((each) => !keptFiles.includes(each)),
    isToBePlain: kept === behind ? !isLive(entryOf(menu, otherSlot(slot))) : keptFiles.some(isCopy),
  };
}

/** Whether a rename that power cut, or a fallback, left names that have to be brought into order. */
export function isUntidy(menu: Menu): boolean {
  const slots = ['a', 'b'] as const;
  const { slots: states } = systemdBootStatus(menu);
  if (slots.every((slot) => states[slot].state !== 'good')) return true;
  if (menu.entries.some(({ isTorn }) => isTorn === true)) return true;
  return slots.some((slot) => {
    const { needless, isToBePlain } = tidyingOf(menu, slot, slot);
    return needless.length > 0 || isToBePlain;
  });
}
