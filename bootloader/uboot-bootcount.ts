import type { SlotName } from './bootloader.ts';
import { corruptVariables, type UbootLayout, type UbootState, type UbootValues } from './uboot-variables.ts';
import type { UbootVariable } from './ubootenv.ts';

function slotVariable(layout: UbootLayout): string {
  return layout.slotVariable ?? 'boot_slot';
}

/** The `bootcount` dialect's variables as values. Throws `boot-env-corrupt` for a missing or impossible one. */
export function readBootcountState(
  layout: UbootLayout,
  values: UbootValues,
  trial: SlotName | undefined,
  trialTries: number,
): UbootState {
  const name = slotVariable(layout);
  const first = values.slot(name, values.required(name));
  const second = first === 'a' ? 'b' : 'a';
  const proven: readonly SlotName[] = values.slots('kaon_proven');
  if (trial !== undefined && proven.includes(trial)) {
    throw corruptVariables(`slot ${trial} is both proven and in trial`, 'kaon_proven');
  }
  const mayBoot = (slot: SlotName): boolean => slot === trial || proven.includes(slot);
  if (!mayBoot(first)) throw corruptVariables(`${name} names slot ${first}, neither proven nor in trial`, name);
  const left = trialLeft(values, first === trial);
  const triesLeft = (slot: SlotName): number => (slot === trial ? left : proven.includes(slot) ? layout.tries : 0);
  return {
    order: mayBoot(second) ? [first, second] : [first],
    triesLeft: { a: triesLeft('a'), b: triesLeft('b') },
    trial,
    trialTries,
  };
}

/** Boots that U-Boot still grants a trial: none unless it is what boots and U-Boot counts. */
function trialLeft(values: UbootValues, isFirst: boolean): number {
  const upgrade = values.required('upgrade_available');
  if (upgrade !== '0' && upgrade !== '1') {
    throw corruptVariables(
      `variable upgrade_available is ${JSON.stringify(upgrade)}, want 0 or 1`,
      'upgrade_available',
    );
  }
  const count = values.decimal('bootcount');
  const limit = values.decimal('bootlimit');
  return isFirst && upgrade === '1' ? Math.max(0, limit - count) : 0;
}

/** The `bootcount` dialect's variables for `state`. */
export function writeBootcountState(layout: UbootLayout, state: UbootState): readonly UbootVariable[] {
  const { bootNames } = layout;
  const [first] = state.order;
  const isTrial = first === state.trial;
  return [
    [slotVariable(layout), bootNames[first]],
    ['upgrade_available', isTrial ? '1' : '0'],
    ['bootcount', String(isTrial ? state.trialTries - state.triesLeft[first] : 0)],
    // A limit of 0 would mean that U-Boot has none.
    ['bootlimit', String(isTrial ? state.trialTries : layout.tries)],
    [
      'kaon_proven',
      state.order
        .filter((slot) => slot !== state.trial)
        .map((slot) => bootNames[slot])
        .join(' '),
    ],
  ];
}

/**
 * The variables that make U-Boot count the boots of a proven slot, as it does in a trial, and without a limit (0), so
 * that no count leads anywhere else.
 */
export const countingVariables: readonly UbootVariable[] = [
  ['upgrade_available', '1'],
  ['bootcount', '0'],
  ['bootlimit', '0'],
];

/** Whether U-Boot counted since `countingVariables` were set. */
export function hasCounted(variables: readonly UbootVariable[]): boolean {
  const values = new Map(variables);
  return values.get('upgrade_available') === '1' && /^[1-9][0-9]{0,8}$/.test(values.get('bootcount') ?? '');
}
