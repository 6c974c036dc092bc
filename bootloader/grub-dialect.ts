import type { BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import type { Variable } from './grubenv.ts';

/** `rauc`: RAUC's grub.cfg, one try. `kaon`: scripts/grub.cfg, up to nine. */
export type GrubDialect = 'rauc' | 'kaon';

/** How the node's slots and tries are named and counted at the loader. */
export interface GrubLayout {
  readonly dialect: GrubDialect;
  /** What the loader calls the slots; of equal length, so that no change moves the bytes behind it. */
  readonly bootNames: Readonly<Record<SlotName, string>>;
  /** The boots that a proven slot has until somebody must renew them. 1 in RAUC's dialect. */
  readonly tries: number;
}

/** One slot's variables. */
export interface GrubSlot {
  readonly isOk: boolean;
  readonly triesLeft: number;
}

/** Our part of the environment, as values. */
export interface GrubState {
  /** First is tried first. */
  readonly order: readonly [SlotName, SlotName];
  readonly slots: Readonly<Record<SlotName, GrubSlot>>;
  readonly trial: SlotName | undefined;
  readonly trialTries: number;
}

/** The most tries that one decimal digit counts. */
export const mostTries: Readonly<Record<GrubDialect, number>> = { rauc: 1, kaon: 9 };

const trialVariable = 'kaon_trial';
const triesVariable = 'kaon_tries';

function corrupt(reason: string, details: Readonly<Record<string, unknown>> = {}): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read the GRUB environment: ${reason}`, { details });
}

/** Throws `bootloader-unsupported` when the loader can't be driven by `layout`. */
export function checkLayout({ dialect, bootNames, tries }: GrubLayout): void {
  const refuse = (reason: string): never => {
    throw new BootloaderError('bootloader-unsupported', `cannot drive GRUB: ${reason}`);
  };
  for (const name of [bootNames.a, bootNames.b]) {
    if (!/^[A-Za-z0-9_]{1,16}$/.test(name))
      refuse(`boot name ${JSON.stringify(name)} is not 1 to 16 letters, digits or _`);
  }
  if (bootNames.a === bootNames.b) refuse('both slots have the same boot name');
  if (bootNames.a.length !== bootNames.b.length) {
    refuse(
      `boot names ${bootNames.a} and ${bootNames.b} differ in length; one sector write carries a change only when they do not`,
    );
  }
  if (!Number.isInteger(tries) || tries < 1 || tries > mostTries[dialect]) {
    refuse(`${tries} tries in the ${dialect} dialect; it counts 1 to ${mostTries[dialect]}`);
  }
}

/** The names of the variables that are ours, in the order of the block. */
export function ourNames(layout: GrubLayout): readonly string[] {
  const counter = layout.dialect === 'rauc' ? 'TRY' : 'LEFT';
  const { a, b } = layout.bootNames;
  return ['ORDER', `${a}_OK`, `${a}_${counter}`, `${b}_OK`, `${b}_${counter}`, trialVariable, triesVariable];
}

/** Reads our variables. Throws `boot-env-corrupt` for a missing or impossible one: a default would be a guess. */
export function parseState(layout: GrubLayout, variables: readonly Variable[]): GrubState {
  const values = new Map(variables);
  const read = (name: string): string => {
    const value = values.get(name);
    if (value === undefined) throw corrupt(`variable ${name} is missing`, { variable: name });
    return value;
  };
  const digit = (name: string): number => {
    const value = read(name);
    if (!/^[0-9]$/.test(value))
      throw corrupt(`variable ${name} is ${JSON.stringify(value)}, want one digit`, { variable: name });
    return Number(value);
  };
  const slot = (name: SlotName): GrubSlot => parseSlot(layout, layout.bootNames[name], digit);
  const trial = parseTrial(layout, values.get(trialVariable));
  return {
    order: parseOrder(layout, read('ORDER')),
    slots: { a: slot('a'), b: slot('b') },
    trial,
    trialTries: trial === undefined ? 0 : digit(triesVariable),
  };
}

function parseSlot(layout: GrubLayout, bootName: string, digit: (name: string) => number): GrubSlot {
  const ok = digit(`${bootName}_OK`);
  if (ok > 1) throw corrupt(`variable ${bootName}_OK is ${ok}, want 0 or 1`);
  if (layout.dialect === 'kaon') return { isOk: ok === 1, triesLeft: digit(`${bootName}_LEFT`) };
  const tried = digit(`${bootName}_TRY`);
  if (tried > 1) throw corrupt(`variable ${bootName}_TRY is ${tried}, want 0 or 1`);
  return { isOk: ok === 1, triesLeft: 1 - tried };
}

function parseOrder(layout: GrubLayout, text: string): readonly [SlotName, SlotName] {
  const { a, b } = layout.bootNames;
  if (text === `${a} ${b}`) return ['a', 'b'];
  if (text === `${b} ${a}`) return ['b', 'a'];
  throw corrupt(`variable ORDER is ${JSON.stringify(text)}, want ${a} and ${b}`, { variable: 'ORDER' });
}

function parseTrial(layout: GrubLayout, text: string | undefined): SlotName | undefined {
  // RAUC's own tools do not write it: without it there is no trial of ours.
  if (text === undefined || /^-+$/.test(text)) return undefined;
  if (text === layout.bootNames.a) return 'a';
  if (text === layout.bootNames.b) return 'b';
  throw corrupt(`variable ${trialVariable} is ${JSON.stringify(text)}, want a boot name`, { variable: trialVariable });
}

/** Our variables for `state`, of the same total length for every state of one layout. */
export function formatState(layout: GrubLayout, state: GrubState): readonly Variable[] {
  const { dialect, bootNames } = layout;
  const counter = (slot: GrubSlot): string =>
    dialect === 'kaon' ? String(slot.triesLeft) : slot.triesLeft > 0 ? '0' : '1';
  const values = [
    state.order.map((slot) => bootNames[slot]).join(' '),
    state.slots.a.isOk ? '1' : '0',
    counter(state.slots.a),
    state.slots.b.isOk ? '1' : '0',
    counter(state.slots.b),
    state.trial === undefined ? '-'.repeat(bootNames.a.length) : bootNames[state.trial],
    String(state.trialTries),
  ];
  return ourNames(layout).map((name, index) => [name, values[index] ?? '']);
}

/** What the loader would do, and what its markers mean. */
export function statusOf(layout: GrubLayout, state: GrubState): BootStatus {
  const bootable = (slot: SlotName): boolean => state.slots[slot].isOk && state.slots[slot].triesLeft > 0;
  // With no tries anywhere the loader renews what is proven and takes the first of it.
  const primary =
    state.order.find(bootable) ?? state.order.find((slot) => state.slots[slot].isOk && state.trial !== slot);
  return {
    primary,
    trial: state.trial,
    trialTries: state.trialTries,
    slots: { a: slotState(layout, state, 'a'), b: slotState(layout, state, 'b') },
  };
}

function slotState(layout: GrubLayout, state: GrubState, slot: SlotName): SlotBootState {
  const { isOk, triesLeft } = state.slots[slot];
  if (!isOk) return { state: 'bad', triesLeft: 0 };
  if (state.trial === slot) return { state: 'trial', triesLeft };
  return { state: triesLeft >= layout.tries ? 'good' : 'unrenewed', triesLeft };
}
