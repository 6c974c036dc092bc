/**
 * greenboot's variables in GRUB's environment block, beside ours on a node that has both:
 *
 *     boot_counter   boots that its grub.cfg grants; unless boot_success is 1 it takes one at each boot, and at 0 or -1
 *                    it starts the second entry of the menu
 *     boot_success   1: the last boot was well; its grub.cfg sets 0 at each boot
 *
 * Its choice is the order of the menu, ours are slots: a counter that stands would lead a trial of ours, or a committed
 * slot, into an entry that nobody armed. It is taken out of its sight by another name of the same length, so that no byte
 * behind it moves: what reaches over the border of a sector must not be torn.
 */
import type { Variable } from './grubenv.ts';

const counterName = 'boot_counter';
const successName = 'boot_success';
/** Names of twelve letters for counters that were taken away. */
const clearedNames = ['kaon_cleared', ...Array.from({ length: 9 }, (_, index) => `kaon_cleare${index + 1}`)];

/** What greenboot's variables would do at the next boot, in a sentence; `undefined` where there are none. */
export function describeGreenboot(variables: readonly Variable[]): string | undefined {
  const values = new Map(variables);
  const counter = values.get(counterName) ?? '';
  const success = values.get(successName);
  if (counter === '' && success === undefined) return undefined;
  if (counter === '') return "greenboot's variables are in the environment; its counter is not set";
  return `greenboot's counter is set (boot_counter=${counter}, boot_success=${success ?? ''}): where grub.cfg obeys it, it starts the second entry of the menu when it runs out`;
}

/** `variables` without a counter of greenboot's that counts; the same size, and every other variable where it was. */
export function withoutCounter(variables: readonly Variable[]): readonly Variable[] {
  const taken = new Set(variables.map(([name]) => name));
  const free = clearedNames.find((name) => !taken.has(name));
  return variables.map((variable): Variable => {
    const [name, value] = variable;
    return name === counterName && value !== '' && free !== undefined ? [free, value] : variable;
  });
}

/** `withoutCounter`, and the boot that runs told to greenboot's grub.cfg as a good one. */
export function withSuccess(variables: readonly Variable[]): readonly Variable[] {
  return withoutCounter(variables).map((variable): Variable => {
    const [name, value] = variable;
    return name === successName && value.length === 1 ? [name, '1'] : variable;
  });
}
