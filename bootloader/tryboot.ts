import { type AutobootValues, encodeAutoboot, type OtherSlotNote, parseAutoboot } from './autoboot-txt.ts';
import type { Bootloader, BootloaderCapabilities, BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError } from './errors.ts';
import { parseBootId, parseCell, type TrybootFacts } from './tryboot-facts.ts';

interface TrybootState {
  /** The slot of a plain boot. */
  readonly main: SlotName;
  readonly other: OtherSlotNote;
}

interface Found {
  readonly bytes: Uint8Array;
  readonly state: TrybootState;
  readonly bootId: string;
}

const argument = '0 tryboot';
/** No boot has it as its id. */
const noBoot = '00000000';
/** A trial that no reboot starts any more. */
const usedUp = { state: 'trial', armedIn: noBoot, hasBegun: true } as const;

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/**
 * The Raspberry Pi's firmware, by autoboot.txt. A trial takes place only in a reboot with the argument of `armReboot`: the
 * firmware keeps its one-shot flag to itself, and clears it before anything starts.
 */
export class TrybootBootloader implements Bootloader {
  readonly #file: EnvironmentFile;
  readonly #facts: TrybootFacts;
  readonly #partitions: Readonly<Record<SlotName, number>>;

  /** `partitions` are the numbers of the slots' boot partitions. Throws `bootloader-unsupported` for impossible ones. */
  constructor(file: EnvironmentFile, facts: TrybootFacts, partitions: Readonly<Record<SlotName, number>>) {
    const isNumber = (value: number) => Number.isInteger(value) && value >= 1 && value <= 999;
    if (!isNumber(partitions.a) || !isNumber(partitions.b) || partitions.a === partitions.b) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot drive tryboot: partitions ${partitions.a} and ${partitions.b} are no two partitions`,
      );
    }
    this.#file = file;
    this.#facts = facts;
    this.#partitions = partitions;
  }

  get capabilities(): BootloaderCapabilities {
    return {
      maxTries: 1,
      armed: 'at-reboot',
      atomicity: 'sector',
      countsBeforeUserspace: true,
      countsProven: false,
    };
  }

  /** A tryboot into the slot that runs: the firmware shows in the device tree that it knows the flag. */
  get canary(): LoaderCanary {
    return {
      rebootArgument: argument,
      arm: (booted) => this.#rewrite(booted, this.#partitions[booted]),
      read: async (booted) => ((await this.#isTrybootInto(booted)) ? 'changed' : 'unchanged'),
      clear: (booted) => this.#rewrite(booted),
    };
  }

  async armReboot(slot: SlotName): Promise<string> {
    await this.#change(({ state, bootId }) => {
      if (slot === state.main || state.other.state !== 'trial') {
        throw new BootloaderError('boot-not-armed', `cannot start the trial of slot ${slot}: it was not activated`, {
          details: { slot },
        });
      }
      // Power lost after this: the trial counts as tried, though the firmware may not have seen the flag.
      return { main: state.main, other: { state: 'trial', armedIn: bootId, hasBegun: true } };
    });
    return argument;
  }

  async readStatus(): Promise<BootStatus> {
    const found = await this.#read();
    const { main, other } = found.state;
    const name = otherSlot(main);
    const isTrial = other.state === 'trial';
    const isArmed = isTrial && other.armedIn === found.bootId;
    // A flag that was set is gone with that boot, whether it led to a trial or the power went before the firmware saw it.
    const triesLeft = isTrial && (isArmed || !other.hasBegun) ? 1 : 0;
    const rest: SlotBootState = isTrial
      ? { state: 'trial', triesLeft }
      : { state: other.state, triesLeft: other.state === 'good' ? 1 : 0 };
    const good: SlotBootState = { state: 'good', triesLeft: 1 };
    return {
      // Armed in an earlier boot and never begun: that boot ended without our reboot, and so will this one.
      primary: isArmed ? name : main,
      trial: isTrial ? name : undefined,
      trialTries: isTrial ? 1 : 0,
      slots: main === 'a' ? { a: good, b: rest } : { a: rest, b: good },
    };
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#change(({ state }) => {
      requireFallback(state, otherSlot(slot), `mark slot ${slot} bad`);
      return { main: otherSlot(slot), other: { state: 'bad' } };
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    if (tries !== 1) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot arm slot ${slot} with ${tries} tries: this loader counts 1`,
      );
    }
    await this.#change(({ state, bootId }) => {
      requireFallback(state, otherSlot(slot), `arm slot ${slot}`);
      return { main: otherSlot(slot), other: { state: 'trial', armedIn: bootId, hasBegun: false } };
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#change(({ state: { main, other } }) => {
      if (slot !== main) return { main: slot, other: { state: 'good' } };
      // A trial of the other slot goes on standing, but a plain reboot boots this one.
      return { main, other: other.state === 'trial' ? usedUp : other };
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#file.locked(async () => {
      const bytes = await this.#file.read();
      try {
        await this.#stateOf(bytes);
        return false;
      } catch (error) {
        if (!(error instanceof BootloaderError) || error.code !== 'boot-env-corrupt') throw error;
      }
      await this.#write(bytes, { main: booted, other: { state: isOtherGood ? 'good' : 'bad' } });
      return true;
    });
  }

  async #change(change: (found: Found) => TrybootState): Promise<void> {
    await this.#file.locked(async () => {
      const found = await this.#read();
      await this.#write(found.bytes, change(found));
    });
  }

  /** Writes what the file says anew, with another partition for a tryboot if one is given. */
  async #rewrite(booted: SlotName, trybootPartition?: number): Promise<void> {
    await this.#file.locked(async () => {
      const { bytes, state } = await this.#read();
      requireFallback(state, booted, 'test the loader');
      await this.#write(bytes, state, trybootPartition);
    });
  }

  async #write(before: Uint8Array, { main, other }: TrybootState, wanted?: number): Promise<void> {
    const partition = this.#partitions[main];
    // A tryboot of somebody else's must not boot a bad slot.
    const trybootPartition = wanted ?? (other.state === 'bad' ? partition : this.#partitions[otherSlot(main)]);
    const next = encodeAutoboot({ partition, trybootPartition, other }, before, before.byteLength);
    if (Buffer.compare(before, next) !== 0) {
      // The commit point: one sector, in place. The file's name, size and place on the disk stay as they are.
      await this.#file.write(next, 0);
    }
    // What is there already may still be unsynced: the process that wrote it can have died before its flush.
    await this.#file.sync();
    if (Buffer.compare(await this.#file.read(), next) !== 0) {
      throw new BootloaderError('boot-env-write-failed', 'cannot write autoboot.txt: it reads back differently');
    }
  }

  async #read(): Promise<Found> {
    const bytes = await this.#file.read();
    return { bytes, state: await this.#stateOf(bytes), bootId: parseBootId(await this.#facts.bootId()) };
  }

  async #stateOf(bytes: Uint8Array): Promise<TrybootState> {
    const values = parseAutoboot(bytes);
    const main = this.#slotOf(values.partition);
    if (values.trybootPartition !== undefined) this.#slotOf(values.trybootPartition);
    return { main, other: values.other ?? (await this.#guessOther(values, main)) };
  }

  /** A file that is not ours yet: the other slot is unproven, and in trial if that is what runs. */
  async #guessOther(values: AutobootValues, main: SlotName): Promise<OtherSlotNote> {
    const other = otherSlot(main);
    const isTrial = values.trybootPartition === this.#partitions[other] && (await this.#isTrybootInto(other));
    return isTrial ? usedUp : { state: 'bad' };
  }

  /** Whether this boot is one by the one-shot flag, into the partition of `slot`. */
  async #isTrybootInto(slot: SlotName): Promise<boolean> {
    const [tryboot, partition] = [await this.#facts.tryboot(), await this.#facts.partition()];
    if (tryboot === undefined || parseCell(tryboot) !== 1) return false;
    return partition !== undefined && parseCell(partition) === this.#partitions[slot];
  }

  #slotOf(partition: number): SlotName {
    if (partition === this.#partitions.a) return 'a';
    if (partition === this.#partitions.b) return 'b';
    throw new BootloaderError(
      'boot-env-corrupt',
      `cannot read autoboot.txt: it boots partition ${partition}, which is of no slot`,
      { details: { partition } },
    );
  }
}

function requireFallback({ main, other }: TrybootState, slot: SlotName, verb: string): void {
  const state = slot === main ? 'good' : other.state;
  if (state === 'good') return;
  throw new BootloaderError(
    'boot-fallback-missing',
    `cannot ${verb}: slot ${slot} is ${state} at the loader, and nothing else would boot`,
    { details: { slot, state } },
  );
}
