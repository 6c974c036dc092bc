import type { Bootloader, BootloaderCapabilities, BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import type { EfiVariables } from './efi-variable-store.ts';
import {
  encodeBootOrder,
  encodeTrial,
  encodeVariable,
  entryNumber,
  globalGuid,
  kaonGuid,
  keptAttributes,
  parseBootNext,
  parseBootOrder,
  parseLoadOption,
  parseTrial,
  parseVariable,
} from './efi-variables.ts';
import { BootloaderError } from './errors.ts';

type Slots<T> = Readonly<Record<SlotName, T>>;

interface EfiState {
  readonly entries: Slots<number>;
  /** Entries that are not ours included. */
  readonly order: readonly number[];
  readonly next: number | undefined;
  /** The entry that KaonTrial names. */
  readonly remembered: number | undefined;
}

const trialName = 'KaonTrial';

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

function isCorrupt(error: unknown): boolean {
  return error instanceof BootloaderError && error.code === 'boot-env-corrupt';
}

/** UEFI firmware by BootOrder and BootNext, as RAUC drives it: proven slots are in BootOrder, a trial is BootNext. */
export class EfiBootloader implements Bootloader {
  readonly #variables: EfiVariables;
  readonly #labels: Slots<string>;

  /** `labels` are the descriptions of the slots' boot entries. Throws `bootloader-unsupported` when they are the same. */
  constructor(variables: EfiVariables, labels: Slots<string>) {
    if (labels.a === labels.b || labels.a === '' || labels.b === '') {
      throw unsupported(
        `${JSON.stringify(labels.a)} and ${JSON.stringify(labels.b)} do not tell two boot entries apart`,
      );
    }
    this.#variables = variables;
    this.#labels = labels;
  }

  get capabilities(): BootloaderCapabilities {
    return {
      maxTries: 1,
      armed: 'at-reboot',
      atomicity: 'variable',
      countsBeforeUserspace: true,
      countsProven: false,
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
      if (remembered === entries[slot]) await this.#variables.remove(trialName, kaonGuid);
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    if (tries !== 1) throw unsupported(`it counts 1 try, and ${tries} were asked for slot ${slot}`);
    await this.#change(async (state) => {
      const { entries, order, next, remembered } = state;
      const other = otherSlot(slot);
      requireFallback(state, other, `arm slot ${slot}`);
      // A BootNext that stands would lead into the other slot once more, or into this one half armed.
      if (next !== undefined && next !== entries[slot]) await this.#variables.remove('BootNext', globalGuid);
      if (remembered !== entries[slot]) await this.#set(trialName, kaonGuid, encodeTrial(entries[slot]));
      // Power lost here: the fallback boots, and the trial counts as used up only when the slot is in no order.
      await this.#setOrder(order, [entries[other], ...without(order, entries[slot], entries[other])]);
      // Power lost here: the fallback boots. The next line is the commit point.
      if (next !== entries[slot]) await this.#set('BootNext', globalGuid, encodeBootOrder([entries[slot]]));
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#change(async ({ entries, order, next, remembered }) => {
      // The commit point: what is in the order is proven, whatever KaonTrial says.
      await this.#setOrder(order, [entries[slot], ...without(order, entries[slot])]);
      // Power lost here: a trial of the other slot may still take place.
      if (next === entries.a || next === entries.b) await this.#variables.remove('BootNext', globalGuid);
      // Power lost here: it is remembered without a meaning.
      if (remembered === entries[slot]) await this.#variables.remove(trialName, kaonGuid);
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#variables.locked(async () => {
      try {
        await this.#read();
        return false;
      } catch (error) {
        if (!isCorrupt(error)) throw error;
      }
      const entries = await this.#findEntries();
      const other = entries[otherSlot(booted)];
      const foreign = without(await this.#salvageOrder(), entries.a, entries.b);
      await this.#variables.remove('BootNext', globalGuid);
      await this.#variables.remove(trialName, kaonGuid);
      await this.#set(
        'BootOrder',
        globalGuid,
        encodeBootOrder([entries[booted], ...(isOtherGood ? [other] : []), ...foreign]),
      );
      return true;
    });
  }

  async #change(change: (state: EfiState) => Promise<void>): Promise<void> {
    await this.#variables.locked(async () => change(await this.#read()));
  }

  async #read(): Promise<EfiState> {
    const entries = await this.#findEntries();
    const order = await this.#data('BootOrder', globalGuid);
    if (order === undefined) throw new BootloaderError('boot-env-corrupt', 'cannot read BootOrder: there is none');
    const next = await this.#data('BootNext', globalGuid);
    const trial = await this.#data(trialName, kaonGuid);
    const remembered = trial === undefined ? undefined : parseTrial(trial);
    return {
      entries,
      order: parseBootOrder(order),
      next: next === undefined ? undefined : parseBootNext(next),
      remembered,
    };
  }

  /** The firmware may number its entries anew: they are found by their descriptions. */
  async #findEntries(): Promise<Slots<number>> {
    const found: Record<SlotName, number[]> = { a: [], b: [] };
    for (const name of await this.#variables.list(globalGuid)) {
      const entry = entryNumber(name);
      const bytes = entry === undefined ? undefined : await this.#variables.read(name, globalGuid);
      if (entry === undefined || bytes === undefined) continue;
      // An entry of somebody else's may be broken.
      const option = unlessCorrupt(() => parseLoadOption(parseVariable(bytes).data));
      if (option?.isActive !== true) continue;
      for (const slot of ['a', 'b'] as const) if (option.description === this.#labels[slot]) found[slot].push(entry);
    }
    const only = (slot: SlotName): number => {
      const [entry, ...more] = found[slot];
      if (entry !== undefined && more.length === 0) return entry;
      const count = entry === undefined ? 'no active' : 'more than one';
      throw unsupported(`it has ${count} boot entry ${JSON.stringify(this.#labels[slot])}`, { slot });
    };
    return { a: only('a'), b: only('b') };
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

function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isCorrupt(error)) return undefined;
    throw error;
  }
}

/** What the firmware would do, and what its variables mean. */
function efiStatus({ entries, order, next, remembered }: EfiState): BootStatus {
  const slotOf = (entry: number | undefined): SlotName | undefined =>
    entry === entries.a ? 'a' : entry === entries.b ? 'b' : undefined;
  const listed = order.map(slotOf).find((slot) => slot !== undefined);
  const armed = slotOf(next);
  const isListed = (slot: SlotName) => order.includes(entries[slot]);
  // What is in the order is proven. BootNext of another tool is a trial, too.
  const trial = [armed, slotOf(remembered)].find((slot) => slot !== undefined && !isListed(slot));
  const slot = (name: SlotName): SlotBootState => {
    if (name === trial) return { state: 'trial', triesLeft: name === armed ? 1 : 0 };
    return isListed(name) ? { state: 'good', triesLeft: 1 } : { state: 'bad', triesLeft: 0 };
  };
  return {
    primary: armed ?? listed,
    trial,
    trialTries: trial === undefined ? 0 : 1,
    slots: { a: slot('a'), b: slot('b') },
  };
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
