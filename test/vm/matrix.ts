import type { Cell, PlayedCell } from './cells.ts';
import type { VmMachine } from './machines.ts';
import type { Scenario } from './scenario.ts';

/** The cells to be played for `asked`: those that are part of another one of the same machine are left out. */
export function cellsToPlay(asked: readonly Cell[]): readonly Cell[] {
  const coversIt = (cell: Cell) => (other: Cell) =>
    other.machine === cell.machine && other.scenario.covers?.includes(cell.scenario.name) === true;
  return asked.filter((cell) => !asked.some(coversIt(cell)));
}

/**
 * The cells in the order in which they are begun: the longest first, as a long one at the end would have a processor to
 * itself; and those that mostly wait spread among the others, as beside each other they would leave the processors idle.
 */
export function spread(cells: readonly Cell[]): readonly Cell[] {
  const longestFirst = cells.toSorted((one, other) => bootsOf(other) - bootsOf(one));
  const waiting = longestFirst.filter(({ scenario }) => scenario.isMostlyWaiting === true);
  const busy = longestFirst.filter((cell) => !waiting.includes(cell));
  const place = (list: readonly Cell[]) => list.map((cell, index) => ({ cell, at: (index + 0.5) / list.length }));
  return [...place(waiting), ...place(busy)].toSorted((one, other) => one.at - other.at).map(({ cell }) => cell);
}

function bootsOf({ scenario: { boots = 3 } }: Cell): number {
  return boots;
}

/** A row of one machine: the cell that shows whether it held, its own or one that it is part of. */
export interface Row {
  readonly scenario: Scenario;
  readonly shownBy: PlayedCell;
}

/** What is known of `machine` in the end, in the order of `scenarios`. */
export function rowsOf(
  machine: VmMachine,
  scenarios: readonly Scenario[],
  played: readonly PlayedCell[],
): readonly Row[] {
  const own = played.filter((cell) => cell.machine === machine);
  return scenarios.flatMap((scenario) => {
    const shownBy =
      own.find((cell) => cell.scenario === scenario) ??
      own.find((cell) => cell.scenario.covers?.includes(scenario.name) === true);
    return shownBy === undefined ? [] : [{ scenario, shownBy }];
  });
}
