/**
 * What U-Boot's variables mean, in two dialects.
 *
 *   rauc        RAUC's variables; scripts/boot.cmd runs them
 *     BOOT_ORDER         boot names of the slots that may boot, first is tried first
 *     BOOT_<n>_LEFT      boots left, one hexadecimal digit; the script takes one at each boot
 *   bootcount   U-Boot's own counter (CONFIG_BOOTCOUNT_LIMIT with CONFIG_BOOTCOUNT_ENV); scripts/bootcount.cmd runs them
 *     boot_slot          boot name of the slot that boots; the layout may call it otherwise (`mender_boot_part`)
 *     upgrade_available  1 in a trial: only then does U-Boot count
 *     bootcount          boots of the trial so far, decimal; U-Boot adds one before it runs anything
 *     bootlimit          tries of the trial, decimal; above it U-Boot runs `altbootcmd`, and the script falls back
 *     kaon_proven        boot names of the slots that are proven
 *   both
 *     kaon_trial         boot name of the slot in trial, or `-`
 *     kaon_tries         tries that the trial was armed with, decimal
 */
import type { BootStatus, SlotBootState, SlotName } from './bootloader.ts';
import { BootloaderError } from './errors.ts';
import { readBootcountState, writeBootcountState } from './uboot-bootcount.ts';
import {
  corruptVariables,
  readValues,
  type UbootDialect,
  type UbootLayout,
  type UbootState,
  type UbootValues,
} from './uboot-variables.ts';
import type { UbootVariable } from './ubootenv.ts';

/** The most tries: one hexadecimal digit that boot.cmd counts down, and what bootcount.cmd compares. */
export const mostUbootTries: Readonly<Record<UbootDialect, number>> = { rauc: 15, bootcount: 99 };

const trialVariable = 'kaon_trial';
const triesVariable = 'kaon_tries';

/** Throws `bootloader-unsupported` when the loader can't be driven by `layout`. */
export function checkUbootLayout({ dialect, bootNames, tries, slotVariable }: UbootLayout): void {
  const refuse = (reason: string): never => {
    throw new BootloaderError('bootloader-unsupported', `cannot drive U-Boot: ${reason}`);
  };
  for (const name of [bootNames.a, bootNames.b]) {
    if (!/^[A-Za-z0-9_]{1,16}$/.test(name))
      refuse(`boot name ${JSON.stringify(name)} is not 1 to 16 letters, digits or _`);
  }
  if (bootNames.a === bootNames.b) refuse('both slots have the same boot name');
  if (slotVariable !== undefined && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(slotVariable)) {
    refuse(`${JSON.stringify(slotVariable)} is no name of a variable`);
  }
  if (!Number.isInteger(tries) || tries < 1 || tries > mostUbootTries[dialect]) {
    refuse(`${tries} tries in the ${dialect} dialect; it counts 1 to ${mostUbootTries[dialect]}`);
  }
}

/** Reads our variables. Throws `boot-env-corrupt` for a missing or impossible one: a default would be a guess. */
export function parseUbootState(layout: UbootLayout, variables: readonly UbootVariable[]): UbootState {
  const values = readValues(layout, variables);
  const text = values.optional(trialVariable);
  // RAUC's own tools do not write it: without it there is no trial of ours.
  const trial = text === undefined || text === '-' ? undefined : values.slot(trialVariable, text);
  const trialTries = trial === undefined ? 0 : values.decimal(triesVariable);
  if (layout.dialect === 'bootcount') return readBootcountState(layout, values, trial, trialTries);
  const order = values.slots('BOOT_ORDER');
  const left = (slot: SlotName): number => parseLeft(values, `BOOT_${layout.bootNames[slot]}_LEFT`);
  const triesLeft = { a: left('a'), b: left('b') };
  // A slot that somebody took out of the order is bad: that ends its trial.
  const isTrial = trial !== undefined && order.some((slot) => slot === trial);
  return { order, triesLeft, ...(isTrial ? { trial, trialTries } : { trial: undefined, trialTries: 0 }) };
}

function parseLeft(values: UbootValues, name: string): number {
  const value = values.required(name);
  // RAUC writes %x and U-Boot's setexpr writes %lx; boot.cmd counts one digit of it.
  if (!/^[0-9a-f]$/.test(value)) {
    throw corruptVariables(`variable ${name} is ${JSON.stringify(value)}, want one hexadecimal digit`, name);
  }
  return Number.parseInt(value, 16);
}

/** Our variables for `state`. */
export function formatUbootState(layout: UbootLayout, state: UbootState): readonly UbootVariable[] {
  const { bootNames, dialect } = layout;
  const ours: readonly UbootVariable[] = [
    [trialVariable, state.trial === undefined ? '-' : bootNames[state.trial]],
    [triesVariable, String(state.trialTries)],
  ];
  if (dialect === 'bootcount') return [...writeBootcountState(layout, state), ...ours];
  return [
    ['BOOT_ORDER', state.order.map((slot) => bootNames[slot]).join(' ')],
    [`BOOT_${bootNames.a}_LEFT`, state.triesLeft.a.toString(16)],
    [`BOOT_${bootNames.b}_LEFT`, state.triesLeft.b.toString(16)],
    ...ours,
  ];
}

/** What the loader would do, and what its markers mean. */
export function ubootStatus(layout: UbootLayout, state: UbootState): BootStatus {
  // With no tries anywhere the script renews what is proven and takes the first of it.
  const primary =
    state.order.find((slot) => state.triesLeft[slot] > 0) ?? state.order.find((slot) => slot !== state.trial);
  return {
    primary,
    trial: state.trial,
    trialTries: state.trialTries,
    slots: { a: slotState(layout, state, 'a'), b: slotState(layout, state, 'b') },
  };
}

function slotState(layout: UbootLayout, state: UbootState, slot: SlotName): SlotBootState {
  if (!state.order.some((known) => known === slot)) return { state: 'bad', triesLeft: 0 };
  const triesLeft = state.triesLeft[slot];
  if (state.trial === slot) return { state: 'trial', triesLeft };
  return { state: triesLeft >= layout.tries ? 'good' : 'unrenewed', triesLeft };
}
