import type { Bootloader, BootloaderCapabilities, BootStatus, SlotName } from './bootloader.ts';
import type { LoaderCanary } from './canary.ts';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError } from './errors.ts';
import { countingVariables, hasCounted } from './uboot-bootcount.ts';
import { checkUbootLayout, formatUbootState, mostUbootTries, parseUbootState, ubootStatus } from './uboot-dialect.ts';
import type { UbootLayout, UbootState } from './uboot-variables.ts';
import { chooseCopy, type CurrentCopy, type FlagScheme, nextWrite, obsoleteFlag } from './ubootenv-copies.ts';
import { encodeCopy, flagsOffset, type UbootVariable, withVariables } from './ubootenv.ts';

/** Where the environment lies: one copy, or two of which the one that does not count is written. */
export type EnvironmentCopies = readonly [EnvironmentFile] | readonly [EnvironmentFile, EnvironmentFile];

export interface UbootOptions {
  /** The size of each copy. */
  readonly sizeBytes: number;
  readonly layout: UbootLayout;
  /** How two copies are told apart; `incremental` when it is not given. */
  readonly flags?: FlagScheme;
  /** Arms trials although the only copy is larger than a sector: power lost in a change then loses the environment. */
  readonly allowSingleCopy?: boolean;
  /**
   * What U-Boot starts with when no copy is valid. A repair writes it with our variables: an environment without its
   * `bootcmd` would boot nothing.
   */
  readonly defaults?: readonly UbootVariable[];
}

interface Environment {
  readonly current: CurrentCopy;
  readonly bytes: Uint8Array;
  readonly state: UbootState;
}

const sectorBytes = 512;

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

function checkFiles(copies: EnvironmentCopies, { dialect }: UbootLayout): void {
  const refuse = (reason: string): never => {
    throw new BootloaderError('bootloader-unsupported', `cannot drive U-Boot by environment files: ${reason}`);
  };
  if (copies.length !== 2) refuse('there is one, want two: a torn one would leave none');
  if (dialect !== 'rauc') refuse(`U-Boot's own counter (${dialect}) counts in its own environment`);
}

/** U-Boot, by the variables of its environment. Every change is one environment write that a checksum decides. */
export class UbootBootloader implements Bootloader {
  readonly #copies: EnvironmentCopies;
  readonly #options: UbootOptions;
  readonly #layout: UbootLayout;
  readonly #scheme: FlagScheme;

  /** Throws `bootloader-unsupported` when the loader can't be driven by the layout. */
  constructor(copies: EnvironmentCopies, options: UbootOptions) {
    checkUbootLayout(options.layout);
    if (options.flags === 'sequence') checkFiles(copies, options.layout);
    this.#copies = copies;
    this.#options = options;
    this.#layout = options.layout;
    this.#scheme = options.flags ?? 'incremental';
  }

  get capabilities(): BootloaderCapabilities {
    const isRauc = this.#layout.dialect === 'rauc';
    return {
      maxTries: mostUbootTries[this.#layout.dialect],
      armed: 'durable',
      atomicity: this.#copies.length === 2 ? 'copies' : this.#options.sizeBytes <= sectorBytes ? 'sector' : 'none',
      countsBeforeUserspace: true,
      countsProven: isRauc,
    };
  }

  /** In the dialect that does not count proven slots: one boot in which U-Boot counts without a limit. */
  get canary(): LoaderCanary | undefined {
    if (this.capabilities.countsProven) return undefined;
    return {
      rebootArgument: undefined,
      arm: (booted) =>
        this.#rewrite((state) => {
          this.#requireFallback(state, booted, ['good'], 'test the loader');
          return [...formatUbootState(this.#layout, state), ...countingVariables];
        }),
      read: async () => (hasCounted((await this.#read()).current.copy.variables) ? 'changed' : 'unchanged'),
      clear: () => this.#change((state) => state),
    };
  }

  async readStatus(): Promise<BootStatus> {
    return ubootStatus(this.#layout, (await this.#read()).state);
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#change((state) => {
      const other = otherSlot(slot);
      this.#requireFallback(state, other, ['good', 'unrenewed'], `mark slot ${slot} bad`);
      return {
        order: [other],
        triesLeft: { ...state.triesLeft, [slot]: 0 },
        ...trialWithout(state, slot),
      };
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    const { maxTries, atomicity } = this.capabilities;
    if (!Number.isInteger(tries) || tries < 1 || tries > maxTries) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot arm slot ${slot} with ${tries} tries: this loader counts 1 to ${maxTries}`,
      );
    }
    if (atomicity === 'none' && this.#options.allowSingleCopy !== true) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot arm slot ${slot}: the U-Boot environment has one copy of ${this.#options.sizeBytes} bytes, and power lost while it is written would lose it`,
        { details: { sizeBytes: this.#options.sizeBytes } },
      );
    }
    await this.#change((state) => {
      const other = otherSlot(slot);
      this.#requireFallback(state, other, ['good'], `arm slot ${slot}`);
      // RAUC's three writes of set-primary in one: the counter, the order, and who is in trial.
      return {
        order: [slot, other],
        triesLeft: { ...state.triesLeft, [slot]: tries, [other]: this.#layout.tries },
        trial: slot,
        trialTries: tries,
      };
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#change((state) => {
      const other = otherSlot(slot);
      return {
        order: state.order.some((known) => known === other) ? [slot, other] : [slot],
        triesLeft: { ...state.triesLeft, [slot]: this.#layout.tries },
        ...trialWithout(state, slot),
      };
    });
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#locked(async () => {
      const copies = await this.#readCopies();
      const current = this.#tryChoose(copies);
      if (current !== undefined && this.#isSound(current)) return false;
      const variables = current?.copy.variables ?? this.#defaults();
      const other = otherSlot(booted);
      const state: UbootState = {
        order: isOtherGood ? [booted, other] : [booted],
        triesLeft: { a: this.#layout.tries, b: this.#layout.tries, ...(isOtherGood ? {} : { [other]: 0 }) },
        trial: undefined,
        trialTries: 0,
      };
      await this.#write(current, withVariables(variables, formatUbootState(this.#layout, state)));
      return true;
    });
  }

  #requireFallback(state: UbootState, slot: SlotName, wanted: readonly string[], verb: string): void {
    const { slots } = ubootStatus(this.#layout, state);
    if (wanted.includes(slots[slot].state)) return;
    throw new BootloaderError(
      'boot-fallback-missing',
      `cannot ${verb}: slot ${slot} is ${slots[slot].state} at the loader, and nothing else would boot`,
      { details: { slot, state: slots[slot].state } },
    );
  }

  async #change(change: (state: UbootState) => UbootState): Promise<void> {
    await this.#rewrite((state) => formatUbootState(this.#layout, change(state)));
  }

  async #rewrite(ours: (state: UbootState) => readonly UbootVariable[]): Promise<void> {
    await this.#locked(async () => {
      const { current, bytes, state } = await this.#read();
      const { flags, variables } = current.copy;
      const next = withVariables(variables, ours(state));
      const isThere = Buffer.compare(encodeCopy(next, this.#options.sizeBytes, flags), bytes) === 0;
      // What is there may still be unsynced: the process that wrote it can have died before its flush.
      if (isThere) await this.#file(current.index).sync();
      else await this.#write(current, next);
    });
  }

  async #read(): Promise<Environment> {
    const copies = await this.#readCopies();
    const current = chooseCopy(copies, this.#scheme);
    const bytes = copies[current.index] ?? new Uint8Array();
    return { current, bytes, state: parseUbootState(this.#layout, current.copy.variables) };
  }

  async #readCopies(): Promise<readonly Uint8Array[]> {
    const copies: Uint8Array[] = [];
    for (const file of this.#copies) {
      const bytes = await file.read();
      if (bytes.byteLength !== this.#options.sizeBytes) {
        throw new BootloaderError(
          'boot-env-unreadable',
          `cannot read the U-Boot environment: a copy has ${bytes.byteLength} bytes, want ${this.#options.sizeBytes}`,
        );
      }
      copies.push(bytes);
    }
    return copies;
  }

  #tryChoose(copies: readonly Uint8Array[]): CurrentCopy | undefined {
    return unlessCorrupt(() => chooseCopy(copies, this.#scheme));
  }

  #isSound(current: CurrentCopy): boolean {
    return unlessCorrupt(() => parseUbootState(this.#layout, current.copy.variables)) !== undefined;
  }

  #defaults(): readonly UbootVariable[] {
    // Files hold our variables only: the rest is in U-Boot's own environment.
    if (this.#scheme === 'sequence') return [];
    const defaults = this.#options.defaults ?? [];
    if (defaults.some(([name]) => name === 'bootcmd')) return defaults;
    throw new BootloaderError(
      'boot-env-corrupt',
      'cannot repair the U-Boot environment: no copy of it is valid, and there is no default environment with a bootcmd; an environment without it would boot nothing',
    );
  }

  /** Writes the copy that does not count, and proves it by reading it back. */
  async #write(current: CurrentCopy | undefined, variables: readonly UbootVariable[]): Promise<void> {
    const next = nextWrite(current, this.#copies.length, this.#scheme);
    const file = this.#file(next.index);
    const bytes = encodeCopy(withVariables(variables, next.stamp), this.#options.sizeBytes, next.flags);
    // The commit point of two copies. Its sectors may reach the disk apart: until all of them did, its checksum does not
    // match, and the copy that counts now stays what boots.
    await file.write(bytes, 0);
    await file.sync();
    if (Buffer.compare(await file.read(), bytes) !== 0) {
      throw new BootloaderError(
        'boot-env-write-failed',
        'cannot write the U-Boot environment: it reads back differently',
      );
    }
    if (next.obsolete === undefined) return;
    // Power lost before this: both copies are active, and the first one counts, be it the old or the new one.
    const old = this.#file(next.obsolete);
    await old.write(Uint8Array.of(obsoleteFlag), flagsOffset);
    await old.sync();
  }

  #file(index: 0 | 1): EnvironmentFile {
    return this.#copies[index] ?? this.#copies[0];
  }

  async #locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#copies[0].locked(change);
  }
}

function trialWithout(state: UbootState, slot: SlotName): Pick<UbootState, 'trial' | 'trialTries'> {
  if (state.trial === slot) return { trial: undefined, trialTries: 0 };
  return { trial: state.trial, trialTries: state.trialTries };
}

function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof BootloaderError && error.code === 'boot-env-corrupt') return undefined;
    throw error;
  }
}
