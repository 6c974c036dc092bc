import type { SlotName } from './bootloader.ts';
import type { EfiVariables } from './efi-variable-store.ts';
import { entryNumber, globalGuid, parseLoadOption, parseVariable } from './efi-variables.ts';
import { BootloaderError } from './errors.ts';

type Slots<T> = Readonly<Record<SlotName, T>>;

/**
 * The numbers of the boot entries that `wanted` has the descriptions or names (`Boot####`) of. Rejects with
 * `boot-entry-missing` unless each slot has one active entry, and with `boot-env-unreadable`.
 */
export async function findEntries(variables: EfiVariables, wanted: Slots<string>): Promise<Slots<number>> {
  const found: Record<SlotName, number[]> = { a: [], b: [] };
  for (const name of await variables.list(globalGuid)) {
    const entry = entryNumber(name);
    const bytes = entry === undefined ? undefined : await variables.read(name, globalGuid);
    if (entry === undefined || bytes === undefined) continue;
    // An entry of somebody else's may be broken.
    const option = unlessCorrupt(() => parseLoadOption(parseVariable(bytes).data));
    if (option?.isActive !== true) continue;
    for (const slot of ['a', 'b'] as const) {
      if (name === wanted[slot] || option.description === wanted[slot]) found[slot].push(entry);
    }
  }
  const only = (slot: SlotName): number => {
    const [entry, ...more] = found[slot];
    if (entry !== undefined && more.length === 0) return entry;
    throw missingEntry(slot, wanted[slot], found[slot]);
  };
  return { a: only('a'), b: only('b') };
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
