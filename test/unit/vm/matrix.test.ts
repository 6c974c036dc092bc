import { describe, expect, it } from 'vitest';
import type { Cell } from '../../vm/cells.ts';
import { machines, type VmMachine } from '../../vm/machines.ts';
import { cellsToPlay, rowsOf, spread } from '../../vm/matrix.ts';
import type { Scenario } from '../../vm/scenario.ts';

const [one, other] = machines as readonly [VmMachine, VmMachine];
const scenario = (name: string, covers: readonly string[] = []): Scenario => ({
  name,
  covers,
  play: async () => ({ failures: [] }),
});
const upgrade = scenario('upgrade');
const reboots = scenario('plain reboots', ['upgrade']);
const cell = (machine: VmMachine, of: Scenario): Cell => ({ machine, scenario: of });

describe('the matrix', () => {
  it('plays nothing that is part of another cell of the same machine', () => {
    const asked = [cell(one, upgrade), cell(one, reboots), cell(other, upgrade)];
    expect(cellsToPlay(asked)).toEqual([cell(one, reboots), cell(other, upgrade)]);
  });

  it('plays what mostly waits among what does not', () => {
    const waits = { ...scenario('no agent'), isMostlyWaiting: true };
    const busy = ['upgrade', 'panic', 'unsigned', 'failed health'].map((name) => cell(one, scenario(name)));
    const order = spread([...busy, cell(one, waits), cell(other, waits)]);
    expect(order.map(({ scenario: { name } }) => name)).toEqual([
      ...['upgrade', 'no agent', 'panic', 'unsigned', 'no agent', 'failed health'],
    ]);
    expect(order.filter((played) => busy.includes(played))).toEqual(busy);
  });

  it('begins the longest first', () => {
    const cells = [scenario('upgrade'), { ...scenario('cuts'), boots: 6 }, { ...scenario('services'), boots: 12 }];
    const order = spread(cells.map((of) => cell(one, of)));
    expect(order.map(({ scenario: { name } }) => name)).toEqual(['services', 'cuts', 'upgrade']);
  });

  it('shows such a row by the cell that it is part of', () => {
    const played = { ...cell(one, reboots), failures: ['slot b runs'], seconds: 9 };
    const rows = rowsOf(one, [upgrade, reboots, scenario('panic')], [played]);
    expect(rows).toEqual([
      { scenario: upgrade, shownBy: played },
      { scenario: reboots, shownBy: played },
    ]);
    expect(rowsOf(other, [upgrade], [played])).toEqual([]);
  });

  it('shows a row by its own cell where both were played', () => {
    const own = { ...cell(one, upgrade), failures: [], seconds: 5 };
    const covering = { ...cell(one, reboots), failures: ['it'], seconds: 9 };
    expect(rowsOf(one, [upgrade], [covering, own])).toEqual([{ scenario: upgrade, shownBy: own }]);
  });
});
