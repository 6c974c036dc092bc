import type { SlotName } from './bootloader.ts';
import type { EfiVariables } from './efi-variable-store.ts';
import { entryNumber, globalGuid, parseLoadOption, parseVariable } from './efi-variables.ts';
import { BootloaderError } from './errors.ts';

type Slots<T> = Readonly<Record<SlotName, T>>;

/** The boot entries of the slots. */
export interface SlotEntries {
  /** A number that no entry has where a slot's entry is missing. */
  readonly numbers: Slots<number>;
  /** `boot-entry-missing` for a slot without one active entry. */
  readonly missing: Slots<BootloaderError | undefined>;
  /** Whether there is no entry of the slot at all, not even an inactive one. */
  readonly isGone: Slots<boolean>;
}

/** The number of an entry that is missing. */
export const noEntry = -1;

/**
 * The boot entries that `wanted` has the descriptions or names (`Boot####`) of. A slot without one is left to whoever
 * needs it: the other slot still has to be marked good. Rejects with `boot-env-unreadable`.
 */
export async function findEntries(variables: EfiVariables, wanted: Slots<string>): Promise<SlotEntries> {
  const isGone: Record<SlotName, boolean> = { a: true, b: true };
  const found: Record<SlotName, number[]> = { a: [], b: [] };
  for (const name of await variables.list(globalGuid)) {
    const entry = entryNumber(name);
    const bytes = entry === undefined ? undefined : await variables.read(name, globalGuid);
    if (entry === undefined || bytes === undefined) continue;
    // An entry of somebody else's may be broken.
    const option = unlessCorrupt(() => parseLoadOption(parseVariable(bytes).data));
    for (const slot of ['a', 'b'] as const) {
      if (name !== wanted[slot] && option?.description !== wanted[slot]) continue;
      isGone[slot] = false;
      if (option?.isActive === true) found[slot].push(entry);
    }
  }
  const only = (slot: SlotName): number => (found[slot].length === 1 ? (found[slot][0] ?? noEntry) : noEntry);
  const numbers = { a: only('a'), b: only('b') };
  const missing = (slot: SlotName): BootloaderError | undefined =>
    numbers[slot] === noEntry ? missingEntry(slot, wanted[slot], found[slot]) : undefined;
  return { numbers, missing: { a: missing('a'), b: missing('b') }, isGone };
}

/** Firmware may drop entries, for example after its settings were reset, or when the disk was not there at a boot. */
function missingEntry(slot: SlotName, wanted: string, found: readonly number[]): BootloaderError {
  const name = JSON.stringify(wanted);
  const reason =
    found.length === 0
      ? `the firmware has no active boot entry ${name}: make it again with efibootmgr --create-only --label ${name}`
      : `the firmware has more than one boot entry ${name}: remove all but one with efibootmgr --delete-bootnum`;
  return new BootloaderError('boot-entry-missing', `cannot find the boot entry of slot ${slot}: ${reason}`, {
    details: { slot, wanted, found },
  });
}

/** Whether `error` says that what was read is damaged. */
export function isCorrupt(error: unknown): boolean {
  return error instanceof BootloaderError && error.code === 'boot-env-corrupt';
}

/** What `read` returns, or `undefined` when it throws `boot-env-corrupt`. */
export function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isCorrupt(error)) return undefined;
    throw error;
  }
}
