/**
 * What ChromeOS's firmware and GRUB's gptprio read from a partition's attributes, as values.
 *
 *     bits 48-51  priority; the highest boots, the first entry among equals, 0 never
 *     bits 52-55  tries; with `successful` clear, one is taken at each boot, and without any the slot does not boot
 *     bit  56     successful; boots without tries
 *
 * Nothing has room for "armed with n tries", so it is told twice. By the pair of priorities, which gptprio leaves alone:
 *
 *     trial first      n+1 over 1, and 15 over 2 for n = 15
 *     fallback first   15 over n, and 14 over 13 for n = 15
 *
 *     no trial         2 over 1 or 0, and 3 over 1 or 0 with one try while the loader is tested
 *
 * And by the tries of the fallback, which ChromeOS's firmware leaves alone as long as the slot is successful: it sets
 * the trial's priority to 0 when it takes the last try. Without a trial the tries of a successful slot are 0.
 */
import type { BootStatus, SlotBootState, SlotName } from './bootloader.ts';

/** One slot's bits. */
export interface SlotBits {
  readonly priority: number;
  readonly tries: number;
  readonly isSuccessful: boolean;
}

/** Both slots. `first` is the one whose entry is first in the table. */
export interface GptState {
  readonly slots: Readonly<Record<SlotName, SlotBits>>;
  readonly first: SlotName;
}

/** The most that four bits count. */
export const mostGptTries = 15;

/** The priority of a slot with the mark of a test: no pair of a trial has it. */
const canaryPriority = 3;
const noBits: SlotBits = { priority: 0, tries: 0, isSuccessful: false };
const ourBits = 0x01ff_0000_0000_0000n;

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

/** Reads the bits of an entry's attributes. */
export function parseBits(attributes: bigint): SlotBits {
  return {
    priority: Number((attributes >> 48n) & 15n),
    tries: Number((attributes >> 52n) & 15n),
    isSuccessful: ((attributes >> 56n) & 1n) === 1n,
  };
}

/** `attributes` with the bits of a slot in it; all other bits as they are. */
export function withBits(attributes: bigint, { priority, tries, isSuccessful }: SlotBits): bigint {
  const bits = BigInt(priority) | (BigInt(tries) << 4n) | (isSuccessful ? 1n << 8n : 0n);
  return (attributes & ~ourBits) | (bits << 48n);
}

function isEligible({ priority, tries, isSuccessful }: SlotBits): boolean {
  return priority > 0 && (tries > 0 || isSuccessful);
}

/** What the loader would do, and what the bits mean. */
export function gptStatus(state: GptState): BootStatus {
  const primary = primaryOf(state);
  const trial = trialOf(state, primary);
  const slot = (name: SlotName): SlotBootState => {
    const { priority, tries, isSuccessful } = state.slots[name];
    if (name === trial) return { state: 'trial', triesLeft: priority === 0 ? 0 : tries };
    if (!isEligible(state.slots[name])) return { state: 'bad', triesLeft: 0 };
    return isSuccessful ? { state: 'good', triesLeft: mostGptTries } : { state: 'trial', triesLeft: tries };
  };
  return {
    primary,
    trial,
    trialTries: trial === undefined ? 0 : armedTries(state, trial),
    slots: { a: slot('a'), b: slot('b') },
  };
}

function primaryOf({ slots, first }: GptState): SlotName | undefined {
  const order = [first, otherSlot(first)].filter((slot) => isEligible(slots[slot]));
  return order.reduce<SlotName | undefined>(
    (best, slot) => (best === undefined || slots[slot].priority > slots[best].priority ? slot : best),
    undefined,
  );
}

function trialOf(state: GptState, primary: SlotName | undefined): SlotName | undefined {
  const candidates = primary === undefined ? (['a', 'b'] as const) : ([primary, otherSlot(primary)] as const);
  return candidates.find((slot) => isTrial(state, slot));
}

function isTrial({ slots }: GptState, slot: SlotName): boolean {
  const bits = slots[slot];
  const fallback = slots[otherSlot(slot)];
  if (bits.isSuccessful) return false;
  if (isEligible(bits)) return true;
  // Used up. gptprio leaves the priority, ChromeOS's firmware clears it.
  if (bits.priority === 0) {
    return fallback.isSuccessful && fallback.tries > 0 && fallback.priority !== canaryPriority;
  }
  return bits.priority > fallback.priority || triesOfPair(bits.priority, fallback.priority) !== undefined;
}

function armedTries({ slots }: GptState, trial: SlotName): number {
  const bits = slots[trial];
  const fallback = slots[otherSlot(trial)];
  const byPair = triesOfPair(bits.priority, fallback.priority);
  // Armed by other tools, or by us and used up at ChromeOS's firmware: what the loader has left of it, at least one.
  const byTries = fallback.isSuccessful ? fallback.tries : 0;
  return Math.max(byPair ?? byTries, bits.tries, 1);
}

function pairOf(tries: number, isTrialFirst: boolean): { readonly trial: number; readonly fallback: number } {
  if (isTrialFirst) return tries < 15 ? { trial: tries + 1, fallback: 1 } : { trial: 15, fallback: 2 };
  return tries < 15 ? { trial: tries, fallback: 15 } : { trial: 13, fallback: 14 };
}

function triesOfPair(trial: number, fallback: number): number | undefined {
  for (let tries = 1; tries <= mostGptTries; tries += 1) {
    for (const isTrialFirst of [true, false]) {
      const pair = pairOf(tries, isTrialFirst);
      if (pair.trial === trial && pair.fallback === fallback) return tries;
    }
  }
  return undefined;
}

/** `slot` never boots, the other one is primary, and no trial stands. */
export function badBits(slot: SlotName): Readonly<Record<SlotName, SlotBits>> {
  const good: SlotBits = { priority: 2, tries: 0, isSuccessful: true };
  return slot === 'a' ? { a: noBits, b: good } : { a: good, b: noBits };
}

/** `slot` is primary for `tries` boots with the other one behind it. */
export function armedBits(slot: SlotName, tries: number): Readonly<Record<SlotName, SlotBits>> {
  const pair = pairOf(tries, true);
  const trial: SlotBits = { priority: pair.trial, tries, isSuccessful: false };
  const fallback: SlotBits = { priority: pair.fallback, tries, isSuccessful: true };
  return slot === 'a' ? { a: trial, b: fallback } : { a: fallback, b: trial };
}

/** `slot` is proven and primary; the other one is what it was, a trial that stands included. */
export function goodBits(state: GptState, slot: SlotName): Readonly<Record<SlotName, SlotBits>> {
  const other = otherSlot(slot);
  const status = gptStatus(state);
  const next = (good: SlotBits, rest: SlotBits) => (slot === 'a' ? { a: good, b: rest } : { a: rest, b: good });
  if (status.trial === other) {
    const pair = pairOf(status.trialTries, false);
    return next(
      { priority: pair.fallback, tries: status.trialTries, isSuccessful: true },
      { priority: pair.trial, tries: status.slots[other].triesLeft, isSuccessful: false },
    );
  }
  const isOtherGood = status.slots[other].state === 'good';
  return next(
    { priority: 2, tries: 0, isSuccessful: true },
    isOtherGood ? { priority: 1, tries: 0, isSuccessful: true } : noBits,
  );
}

/** `slot`, which is good, boots with one try that it does not need, and that gptprio takes all the same. */
export function canaryBits(state: GptState, slot: SlotName): Readonly<Record<SlotName, SlotBits>> {
  const marked: SlotBits = { priority: canaryPriority, tries: 1, isSuccessful: true };
  return { ...goodBits(state, slot), [slot]: marked };
}

/** What became of the mark of `canaryBits`. */
export function canaryOf({ slots }: GptState, slot: SlotName): 'none' | 'changed' | 'unchanged' {
  const { priority, tries, isSuccessful } = slots[slot];
  if (priority !== canaryPriority || !isSuccessful) return 'none';
  return tries === 0 ? 'changed' : 'unchanged';
}
