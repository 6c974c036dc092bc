import type { Bootloader, BootloaderCapabilities, BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import { findEntries, isCorrupt, noEntry, type SlotEntries, unlessCorrupt } from './efi-entries.ts';
import type { LoaderPlaces } from './efi-places.ts';
import { entryName, findLost, type Lost, requireAnyEntry, restoredState, withLost } from './efi-restore.ts';
import type { EfiVariables } from './efi-variable-store.ts';
import {
  encodeBootOrder,
  encodeTrial,
  encodeVariable,
  globalGuid,
  kaonGuid,
  keptAttributes,
  parseEntryNumber,
  parseBootOrder,
  parseTrial,
  parseVariable,
  type RememberedTrial,
} from './efi-variables.ts';
import { BootloaderError } from './errors.ts';

type Slots<T> = Readonly<Record<SlotName, T>>;

interface EfiState {
  readonly entries: Slots<number>;
  readonly missing: SlotEntries['missing'];
  readonly lost: Lost;
  /** Entries that are not ours included. */
  readonly order: readonly number[];
  readonly next: number | undefined;
  /** The entry that started this boot. */
  readonly current: number | undefined;
  readonly remembered: RememberedTrial | undefined;
}

const trialName = 'KaonTrial';

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/** UEFI firmware by BootOrder and BootNext, as RAUC drives it: proven slots are in BootOrder, a trial is BootNext. */
export class EfiBootloader implements Bootloader {
  readonly #variables: EfiVariables;
  readonly #wanted: Slots<string>;
  readonly #places: LoaderPlaces | undefined;

  /**
   * `wanted` are the descriptions of the slots' boot entries, or their names `Boot####`: firmware that numbers its
   * entries anew is followed only by descriptions. With `places`, repair makes entries again that the firmware lost.
   * Throws `bootloader-unsupported` when the two are the same.
   */
  constructor(variables: EfiVariables, wanted: Slots<string>, places?: LoaderPlaces) {
    if (wanted.a === wanted.b || wanted.a === '' || wanted.b === '') {
      throw unsupported(
        `${JSON.stringify(wanted.a)} and ${JSON.stringify(wanted.b)} do not tell two boot entries apart`,
      );
    }
    this.#variables = variables;
    this.#wanted = wanted;
    this.#places = places;
  }

  get capabilities(): BootloaderCapabilities {
    return {
      maxTries: 1,
      // BootNext stands until the next boot, whoever starts it.
      armed: 'durable',
      atomicity: 'variable',
      countsBeforeUserspace: true,
      countsProven: false,
    };
  }

  /** BootNext into the slot that runs: firmware that takes it deletes it and starts that slot. */
  get canary(): LoaderCanary {
    return {
      rebootArgument: undefined,
      arm: (booted) =>
        this.#change(async (state) => {
          requireFallback(state, booted, 'test the loader');
          const entry = state.entries[booted];
          if (state.next !== entry) await this.#set('BootNext', globalGuid, encodeBootOrder([entry]));
        }),
      read: async (booted) => {
        const { entries, next, current } = await this.#read();
        return next === undefined && current === entries[booted] ? 'changed' : 'unchanged';
      },
      clear: (booted) =>
        this.#change(async ({ entries, next }) => {
          if (next === entries[booted]) await this.#variables.remove('BootNext', globalGuid);
        }),
    };
  }

  async readStatus(): Promise<BootStatus> {
    return efiStatus(await this.#read());
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#change(async (state) => {
      const { entries, order, next, remembered } = state;
      const other = otherSlot(slot);
      requireFallback(state, other, `mark slot ${slot} bad`);
      // Either of the two can be what makes the slot boot. A trial is in no order, a proven slot is no BootNext.
      // Power lost between them, or before the last: the trial is used up, or remembered without a meaning.
      if (next === entries.a || next === entries.b) await this.#variables.remove('BootNext', globalGuid);
      await this.#setOrder(order, [entries[other], ...without(order, entries[slot], entries[other])]);
      if (remembered?.entry === entries[slot]) await this.#variables.remove(trialName, kaonGuid);
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    if (tries !== 1) throw unsupported(`it counts 1 try, and ${tries} were asked for slot ${slot}`);
    await this.#change(async (state) => {
      const { entries, order, next, remembered } = state;
      const other = otherSlot(slot);
      requireFallback(state, other, `arm slot ${slot}`);
      requireEntry(state, slot);
      const entry = entries[slot];
      // A BootNext that stands would lead into the other slot once more, or into this one half armed.
      if (next !== undefined && next !== entry) await this.#variables.remove('BootNext', globalGuid);
      if (next !== entry) await this.#remember({ entry, isArming: true }, remembered);
      // Power lost here: the fallback boots, and the slot is as it was, or a trial that was not tried yet.
      await this.#setOrder(order, [entries[other], ...without(order, entry, entries[other])]);
      // Power lost here: the fallback boots. The next line is the commit point.
      if (next !== entry) await this.#set('BootNext', globalGuid, encodeBootOrder([entry]));
      // Power lost here: the trial takes place, and if it does not come up it is armed once more.
      await this.#remember({ entry, isArming: false }, next === entry ? remembered : undefined);
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#change(async (state) => {
      const { entries, order, next, remembered } = state;
      requireEntry(state, slot);
      // The commit point: what is in the order is proven, whatever KaonTrial says.
      await this.#setOrder(order, [entries[slot], ...without(order, entries[slot])]);
      // Power lost here: a trial of the other slot may still take place.
      if (next === entries.a || next === entries.b) await this.#variables.remove('BootNext', globalGuid);
      // Power lost here: it is remembered without a meaning.
      if (remembered?.entry === entries[slot]) await this.#variables.remove(trialName, kaonGuid);
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#variables.locked(async () => {
      const state = await this.#read().catch((error: unknown) => {
        if (isCorrupt(error)) return undefined;
        throw error;
      });
      if (state !== undefined) return this.#restore(state, booted, isOtherGood);
      const found = await findEntries(this.#variables, this.#wanted);
      const lost = await this.#lost(found, await this.#salvageOrder());
      const entries = withLost(found.numbers, lost);
      if (lost.entries[booted] === undefined) requireEntry(found, booted);
      const other = entries[otherSlot(booted)];
      const isOtherKept = isOtherGood && other !== noEntry;
      const foreign = without(await this.#salvageOrder(), entries.a, entries.b);
      await this.#variables.remove('BootNext', globalGuid);
      await this.#variables.remove(trialName, kaonGuid);
      await this.#set(
        'BootOrder',
        globalGuid,
        encodeBootOrder([entries[booted], ...(isOtherKept ? [other] : []), ...foreign]),
      );
      await this.#make(lost);
      return true;
    });
  }

  /** Makes lost entries again in an order that can be read; resolves to whether there were any. */
  async #restore({ lost, ...state }: EfiState, booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    if (Object.keys(lost.entries).length === 0) return false;
    const entries = withLost(state.entries, lost);
    const { order, remembered } = restoredState(state, entries, lost.entries, booted, isOtherGood);
    // Power lost before the entries: they are still lost, and numbers that lead nowhere are passed over.
    await this.#setOrder(state.order, order);
    if (remembered !== undefined) await this.#remember(remembered, state.remembered);
    await this.#make(lost);
    return true;
  }

  async #make({ entries }: Lost): Promise<void> {
    for (const { number, data } of Object.values(entries)) await this.#set(entryName(number), globalGuid, data);
  }

  async #lost(found: SlotEntries, taken: readonly number[]): Promise<Lost> {
    return findLost(this.#variables, this.#wanted, found, this.#places, taken);
  }

  async #change(change: (state: EfiState) => Promise<void>): Promise<void> {
    await this.#variables.locked(async () => change(await this.#read()));
  }

  async #read(): Promise<EfiState> {
    const found = await findEntries(this.#variables, this.#wanted);
    const { numbers: entries, missing } = found;
    const order = await this.#data('BootOrder', globalGuid);
    if (order === undefined) throw new BootloaderError('boot-env-corrupt', 'cannot read BootOrder: there is none');
    const next = await this.#data('BootNext', globalGuid);
    const trial = await this.#data(trialName, kaonGuid);
    const current = await this.#data('BootCurrent', globalGuid);
    const read = {
      order: parseBootOrder(order),
      next: next === undefined ? undefined : parseEntryNumber(next),
      current: current === undefined ? undefined : parseEntryNumber(current),
      remembered: trial === undefined ? undefined : parseTrial(trial),
    };
    const taken = [...read.order, read.next ?? noEntry, read.remembered?.entry ?? noEntry];
    const lost = await this.#lost(found, taken);
    requireAnyEntry(missing, lost);
    return { entries, missing, lost, ...read };
  }

  async #remember(trial: RememberedTrial, known: RememberedTrial | undefined): Promise<void> {
    if (known?.entry === trial.entry && known.isArming === trial.isArming) return;
    await this.#set(trialName, kaonGuid, encodeTrial(trial));
  }

  async #salvageOrder(): Promise<readonly number[]> {
    const bytes = await this.#variables.read('BootOrder', globalGuid);
    if (bytes === undefined) return [];
    return unlessCorrupt(() => parseBootOrder(parseVariable(bytes).data)) ?? [];
  }

  async #data(name: string, guid: string): Promise<Uint8Array | undefined> {
    const bytes = await this.#variables.read(name, guid);
    return bytes === undefined ? undefined : parseVariable(bytes).data;
  }

  async #setOrder(before: readonly number[], after: readonly number[]): Promise<void> {
    if (before.length === after.length && before.every((entry, index) => entry === after[index])) return;
    await this.#set('BootOrder', globalGuid, encodeBootOrder(after));
  }

  /** Sets a variable and proves it: some firmware takes a write, and does not keep it. */
  async #set(name: string, guid: string, data: Uint8Array): Promise<void> {
    const bytes = encodeVariable({ attributes: keptAttributes, data });
    await this.#variables.write(name, guid, bytes);
    const now = await this.#variables.read(name, guid);
    if (now !== undefined && Buffer.compare(now, bytes) === 0) return;
    throw new BootloaderError('boot-env-write-failed', `cannot write ${name}: it reads back differently`, {
      details: { name },
    });
  }
}

function unsupported(reason: string, details: Readonly<Record<string, unknown>> = {}): BootloaderError {
  return new BootloaderError('bootloader-unsupported', `cannot drive the EFI boot manager: ${reason}`, { details });
}

function without(order: readonly number[], ...entries: readonly number[]): readonly number[] {
  return order.filter((entry) => !entries.includes(entry));
}

/** What the firmware would do, and what its variables mean. */
function efiStatus({ entries, missing, lost, order, next, current, remembered }: EfiState): BootStatus {
  const slotOf = (entry: number | undefined): SlotName | undefined =>
    entry === entries.a ? 'a' : entry === entries.b ? 'b' : undefined;
  const listed = order.map(slotOf).find((slot) => slot !== undefined);
  const armed = slotOf(next);
  const isListed = (slot: SlotName) => order.includes(entries[slot]);
  // What is in the order is proven. BootNext of another tool is a trial, too.
  const trial = [armed, slotOf(remembered?.entry)].find((slot) => slot !== undefined && !isListed(slot));
  const isUntried = (name: SlotName): boolean =>
    name === armed || (remembered?.isArming === true && slotOf(remembered.entry) === name && slotOf(current) !== name);
  const slot = (name: SlotName): SlotBootState => {
    if (name === trial) return { state: 'trial', triesLeft: isUntried(name) ? 1 : 0 };
    return isListed(name) ? { state: 'good', triesLeft: 1 } : { state: 'bad', triesLeft: 0 };
  };
  const notes = [missing.a, missing.b, ...lost.errors].flatMap((error) => error?.message ?? []);
  return {
    primary: armed ?? listed,
    trial,
    trialTries: trial === undefined ? 0 : 1,
    slots: { a: slot('a'), b: slot('b') },
    ...(Object.keys(lost.entries).length === 0 ? {} : { isUntidy: true }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

function requireEntry({ missing }: Pick<EfiState, 'missing'>, slot: SlotName): void {
  const error = missing[slot];
  if (error !== undefined) throw error;
}

function requireFallback(state: EfiState, slot: SlotName, verb: string): void {
  const { slots } = efiStatus(state);
  if (slots[slot].state === 'good') return;
  throw new BootloaderError(
    'boot-fallback-missing',
    `cannot ${verb}: slot ${slot} is ${slots[slot].state} at the loader, and nothing else would boot`,
    { details: { slot, state: slots[slot].state } },
  );
}
