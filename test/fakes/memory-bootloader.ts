import type { Bootloader, BootloaderCapabilities, BootStatus, SlotName } from '../../bootloader/bootloader.ts';
import { BootloaderError } from '../../bootloader/errors.ts';

interface Slot {
  isOk: boolean;
  left: number;
}

function other(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/** A loader in memory with the counting rules of GRUB in kaon's dialect. It begins with slot a proven and b bad. */
export class MemoryBootloader implements Bootloader {
  readonly #full: number;
  #slots: Record<SlotName, Slot>;
  #order: readonly [SlotName, SlotName] = ['a', 'b'];
  #trial: { readonly slot: SlotName; readonly tries: number } | undefined;
  #isBroken = false;
  #isUntidy = false;

  constructor(tries = 4) {
    this.#full = tries;
    this.#slots = { a: { isOk: true, left: tries }, b: { isOk: false, left: 0 } };
  }

  get capabilities(): BootloaderCapabilities {
    return { maxTries: 9, armed: 'durable', atomicity: 'variable', countsBeforeUserspace: true, countsProven: true };
  }

  /** One boot by the loader's rules; the slot that starts. */
  boot(): SlotName {
    const slot = this.#next() ?? this.#renewAndChoose();
    this.#slots[slot].left -= 1;
    return slot;
  }

  /** Damages what is stored. */
  corrupt(): void {
    this.#isBroken = true;
  }

  /** Leaves something beside what is stored, as a power cut does. */
  untidy(): void {
    this.#isUntidy = true;
  }

  async readStatus(): Promise<BootStatus> {
    this.#requireSound();
    const state = (slot: SlotName) => {
      const { isOk, left } = this.#slots[slot];
      if (!isOk) return { state: 'bad', triesLeft: 0 } as const;
      if (this.#trial?.slot === slot) return { state: 'trial', triesLeft: left } as const;
      return { state: left >= this.#full ? 'good' : 'unrenewed', triesLeft: left } as const;
    };
    return {
      primary: this.#next() ?? this.#order.find((slot) => this.#slots[slot].isOk && this.#trial?.slot !== slot),
      trial: this.#trial?.slot,
      trialTries: this.#trial?.tries ?? 0,
      slots: { a: state('a'), b: state('b') },
      ...(this.#isUntidy ? { isUntidy: true } : {}),
    };
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#requireFallback(other(slot), ['good', 'unrenewed']);
    this.#slots[slot] = { isOk: false, left: 0 };
    this.#order = [other(slot), slot];
    this.#endTrial(slot);
  }

  async activate(slot: SlotName, tries: number): Promise<void> {
    if (!Number.isInteger(tries) || tries < 1 || tries > this.capabilities.maxTries) {
      throw new BootloaderError('bootloader-unsupported', `cannot arm slot ${slot} with ${tries} tries`);
    }
    await this.#requireFallback(other(slot), ['good']);
    this.#slots[slot] = { isOk: true, left: tries };
    this.#slots[other(slot)].left = this.#full;
    this.#order = [slot, other(slot)];
    this.#trial = { slot, tries };
  }

  async markGood(slot: SlotName): Promise<void> {
    this.#requireSound();
    this.#slots[slot] = { isOk: true, left: this.#full };
    this.#order = [slot, other(slot)];
    this.#endTrial(slot);
  }

  async repair(booted: SlotName, isOtherGood: boolean): Promise<boolean> {
    const wasUntidy = this.#isUntidy;
    this.#isUntidy = false;
    if (!this.#isBroken) return wasUntidy;
    this.#isBroken = false;
    this.#trial = undefined;
    this.#order = [booted, other(booted)];
    this.#slots[booted] = { isOk: true, left: this.#full };
    this.#slots[other(booted)] = { isOk: isOtherGood, left: isOtherGood ? this.#full : 0 };
    return true;
  }

  #endTrial(slot: SlotName): void {
    if (this.#trial?.slot === slot) this.#trial = undefined;
  }

  #next(): SlotName | undefined {
    return this.#order.find((slot) => this.#slots[slot].isOk && this.#slots[slot].left > 0);
  }

  #renewAndChoose(): SlotName {
    for (const slot of this.#order) {
      if (this.#slots[slot].isOk && this.#trial?.slot !== slot) this.#slots[slot].left = this.#full;
    }
    return this.#next() ?? this.#order[0];
  }

  #requireSound(): void {
    if (this.#isBroken) throw new BootloaderError('boot-env-corrupt', 'cannot read the loader: it is damaged');
  }

  async #requireFallback(slot: SlotName, wanted: readonly string[]): Promise<void> {
    const { slots } = await this.readStatus();
    if (!wanted.includes(slots[slot].state)) {
      throw new BootloaderError(
        'boot-fallback-missing',
        `cannot change the loader: slot ${slot} is ${slots[slot].state}`,
      );
    }
  }
}
