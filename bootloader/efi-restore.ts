import type { SlotName } from './bootloader.ts';
import type { SlotEntries } from './efi-entries.ts';
import { encodeLoadOption } from './efi-load-option.ts';
import type { LoaderPlaces } from './efi-places.ts';
import type { EfiVariables } from './efi-variable-store.ts';
import { entryNumber, globalGuid, type RememberedTrial } from './efi-variables.ts';
import { BootloaderError } from './errors.ts';

/** An entry that the firmware lost, as it is to be made again. */
export interface LostEntry {
  readonly number: number;
  /** The data of its variable. */
  readonly data: Uint8Array;
}

/** The lost entries whose loaders' places are known, and for each other one why it can't be made. */
export interface Lost {
  readonly entries: Readonly<Partial<Record<SlotName, LostEntry>>>;
  readonly errors: readonly BootloaderError[];
}

const mostNumber = 0xffff;

/**
 * Plans the entries that are gone. Their numbers are free ones that are not in `taken` either: in a list, a number that
 * is left of another entry must not come to mean a slot. A slot that is configured by its number gets that.
 */
export async function findLost(
  variables: EfiVariables,
  wanted: Readonly<Record<SlotName, string>>,
  { isGone }: Pick<SlotEntries, 'isGone'>,
  places: LoaderPlaces | undefined,
  taken: readonly number[],
): Promise<Lost> {
  const entries: Partial<Record<SlotName, LostEntry>> = {};
  const errors: BootloaderError[] = [];
  const used = new Set([...taken, ...(await variables.list(globalGuid)).map(entryNumber)]);
  for (const slot of ['a', 'b'] as const) {
    if (places === undefined || !isGone[slot]) continue;
    try {
      const data = encodeLoadOption(wanted[slot], await places.placeOf(slot));
      const number = entryNumber(wanted[slot]) ?? firstFree(used);
      used.add(number);
      entries[slot] = { number, data };
    } catch (error) {
      if (!(error instanceof BootloaderError)) throw error;
      errors.push(error);
    }
  }
  return { entries, errors };
}

function firstFree(used: ReadonlySet<number | undefined>): number {
  for (let number = 0; number <= mostNumber; number += 1) if (!used.has(number)) return number;
  throw new BootloaderError('boot-entry-missing', 'cannot make a boot entry: no number is free');
}

/** The name of an entry's variable. */
export function entryName(number: number): string {
  return `Boot${number.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** The numbers of the slots' entries, with those that lost ones will have. */
export function withLost(
  numbers: Readonly<Record<SlotName, number>>,
  { entries }: Lost,
): Readonly<Record<SlotName, number>> {
  return { a: entries.a?.number ?? numbers.a, b: entries.b?.number ?? numbers.b };
}

/** Throws `boot-env-corrupt` when neither slot has its entry and repair can make one, else what is in the way of that. */
export function requireAnyEntry(missing: SlotEntries['missing'], lost: Lost): void {
  if (missing.a === undefined || missing.b === undefined) return;
  if (Object.keys(lost.entries).length === 0) throw lost.errors[0] ?? missing.a;
  throw new BootloaderError('boot-env-corrupt', 'cannot read the boot entries: the firmware lost those of both slots');
}

/** What has to be true of an order and the remembered trial before the lost entries are there again. */
export interface Restored {
  readonly order: readonly number[];
  readonly remembered: RememberedTrial | undefined;
}

/**
 * Keeps each slot what it was. The booted slot is proven, and first, unless a trial is remembered of an entry that is
 * gone: then that was its trial. The other slot comes behind the booted one, or first before a trial, where it is known
 * to be good.
 */
export function restoredState(
  before: Restored,
  entries: Readonly<Record<SlotName, number>>,
  lost: Lost['entries'],
  booted: SlotName,
  isOtherGood: boolean,
): Restored {
  const { order, remembered } = before;
  const [self, other] = [entries[booted], entries[booted === 'a' ? 'b' : 'a']];
  if (lost[booted] !== undefined) {
    if (remembered === undefined || remembered.entry === other) {
      return { order: [self, ...order.filter((entry) => entry !== self)], remembered };
    }
    return { order, remembered: { entry: self, isArming: false } };
  }
  if (!isOtherGood || order.includes(other)) return before;
  const at = order.indexOf(self) + 1;
  return { order: [...order.slice(0, at), other, ...order.slice(at)], remembered };
}
