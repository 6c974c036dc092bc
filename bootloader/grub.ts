import type { Bootloader, BootloaderCapabilities, BootStatus, SlotName } from './bootloader.ts';
import type { EnvironmentFile } from './environment-file.ts';
import { BootloaderError } from './errors.ts';
import { describeGreenboot, withoutCounter, withSuccess } from './greenboot.ts';
import {
  checkLayout,
  formatState,
  type GrubLayout,
  type GrubState,
  mostTries,
  ourNames,
  parseState,
  statusOf,
} from './grub-dialect.ts';
import { decodeEnvironment, encodeEnvironment, salvageVariables, type Variable } from './grubenv.ts';

interface Environment {
  readonly block: Uint8Array;
  readonly foreign: readonly Variable[];
  readonly state: GrubState;
}

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/** GRUB, by the variables of its environment block. Every change is one in-place write whose first sector decides. */
export class GrubBootloader implements Bootloader {
  readonly #environment: EnvironmentFile;
  readonly #shadow: EnvironmentFile | undefined;
  readonly #layout: GrubLayout;

  /**
   * `shadow` is a second block that the loader reads when the first one is unreadable; it holds the state of the last
   * mark-good. Throws `bootloader-unsupported` when the loader can't be driven by `layout`.
   */
  constructor(environment: EnvironmentFile, shadow: EnvironmentFile | undefined, layout: GrubLayout) {
    checkLayout(layout);
    this.#environment = environment;
    this.#shadow = shadow;
    this.#layout = layout;
  }

  get capabilities(): BootloaderCapabilities {
    return {
      maxTries: mostTries[this.#layout.dialect],
      armed: 'durable',
      atomicity: 'sector',
      countsBeforeUserspace: true,
      countsProven: true,
    };
  }

  async readStatus(): Promise<BootStatus> {
    const { foreign, state } = await this.#read();
    const note = describeGreenboot(foreign);
    return { ...statusOf(this.#layout, state), ...(note === undefined ? {} : { notes: [note] }) };
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#change((state) => {
      const other = otherSlot(slot);
      this.#requireFallback(state, other, ['good', 'unrenewed'], `mark slot ${slot} bad`);
      return {
        order: [other, slot],
        slots: { ...state.slots, [slot]: { isOk: false, triesLeft: 0 } },
        ...(state.trial === slot ? noTrial : { trial: state.trial, trialTries: state.trialTries }),
      };
    });
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    const most = this.capabilities.maxTries;
    if (!Number.isInteger(tries) || tries < 1 || tries > most) {
      throw new BootloaderError(
        'bootloader-unsupported',
        `cannot arm slot ${slot} with ${tries} tries: this loader counts 1 to ${most}`,
      );
    }
    await this.#change((state) => {
      const other = otherSlot(slot);
      this.#requireFallback(state, other, ['good'], `arm slot ${slot}`);
      return {
        order: [slot, other],
        slots: { ...state.slots, [slot]: { isOk: true, triesLeft: tries }, [other]: this.#renewed() },
        trial: slot,
        trialTries: tries,
      };
    }, withoutCounter);
  }

  async markGood(slot: SlotName): Promise<void> {
    const block = await this.#change(
      (state) => ({
        order: [slot, otherSlot(slot)],
        slots: { ...state.slots, [slot]: this.#renewed() },
        ...(state.trial === slot ? noTrial : { trial: state.trial, trialTries: state.trialTries }),
      }),
      withSuccess,
    );
    const shadow = this.#shadow;
    // Power lost here: the shadow is one mark-good behind, and the loader reads it only when the block is unreadable.
    if (shadow !== undefined) await shadow.locked(() => writeBlock(shadow, block));
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    return this.#environment.locked(async () => {
      const block = await this.#environment.read();
      try {
        this.#decode(block);
        return false;
      } catch (error) {
        if (!(error instanceof BootloaderError) || error.code !== 'boot-env-corrupt') throw error;
      }
      const state: GrubState = {
        order: [booted, otherSlot(booted)],
        slots: {
          a: this.#renewed(),
          b: this.#renewed(),
          ...(isOtherGood ? {} : { [otherSlot(booted)]: { isOk: false, triesLeft: 0 } }),
        },
        ...noTrial,
      };
      const foreign = this.#foreign(salvageVariables(block));
      await writeBlock(
        this.#environment,
        encodeEnvironment(formatState(this.#layout, state), foreign, block.byteLength),
      );
      return true;
    });
  }

  #renewed(): { readonly isOk: true; readonly triesLeft: number } {
    return { isOk: true, triesLeft: this.#layout.tries };
  }

  #requireFallback(state: GrubState, slot: SlotName, wanted: readonly string[], verb: string): void {
    const { slots } = statusOf(this.#layout, state);
    if (wanted.includes(slots[slot].state)) return;
    throw new BootloaderError(
      'boot-fallback-missing',
      `cannot ${verb}: slot ${slot} is ${slots[slot].state} at the loader, and nothing else would boot`,
      { details: { slot, state: slots[slot].state } },
    );
  }

  async #change(
    change: (state: GrubState) => GrubState,
    changeForeign: (foreign: readonly Variable[]) => readonly Variable[] = (foreign) => foreign,
  ): Promise<Uint8Array> {
    return this.#environment.locked(async () => {
      const { block, foreign, state } = await this.#read();
      const next = encodeEnvironment(
        formatState(this.#layout, change(state)),
        changeForeign(foreign),
        block.byteLength,
      );
      await writeBlock(this.#environment, next, block);
      return next;
    });
  }

  async #read(): Promise<Environment> {
    return this.#decode(await this.#environment.read());
  }

  #decode(block: Uint8Array): Environment {
    const variables = decodeEnvironment(block);
    return { block, foreign: this.#foreign(variables), state: parseState(this.#layout, variables) };
  }

  #foreign(variables: readonly Variable[]): readonly Variable[] {
    const ours = new Set(ourNames(this.#layout));
    return variables.filter(([name]) => !ours.has(name));
  }
}

const noTrial = { trial: undefined, trialTries: 0 } as const;

/** Writes `next` in place and proves it by reading it back; nothing is written when it is there already. */
async function writeBlock(file: EnvironmentFile, next: Uint8Array, known?: Uint8Array): Promise<void> {
  const current = known ?? (await file.read());
  if (Buffer.compare(current, next) === 0) {
    // What is there may still be unsynced: the process that wrote it can have died before its flush.
    await file.sync();
    return;
  }
  // The commit point. The sectors may reach the disk apart: the first one alone carries every decision.
  await file.write(next, 0);
  await file.sync();
  if (Buffer.compare(await file.read(), next) !== 0) {
    throw new BootloaderError(
      'boot-env-write-failed',
      'cannot write the GRUB environment block: it reads back differently',
    );
  }
}
