import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PlayedCell, playCells, type StageSource } from '../../vm/cells.ts';
import { machines, type VmMachine } from '../../vm/machines.ts';
import { EmulatorFault, tellsOfLostDisk } from '../../vm/emulator-fault.ts';
import type { Scenario } from '../../vm/scenario.ts';
import type { Stage } from '../../vm/stage.ts';

let work: string;

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'kaon-cells-'));
});

afterEach(() => rm(work, { recursive: true }));

const machine = machines[0] as VmMachine;
const never = new AbortController().signal;

/** Stages with nothing but a folder: the scenarios here boot no machine. */
function stages(): StageSource {
  return { of: async (one) => ({ machine: one, work }) as Stage };
}

async function play(jobs: number, signal: AbortSignal, ...scenarios: readonly Scenario[]) {
  const told: PlayedCell[] = [];
  const cells = scenarios.map((scenario) => ({ machine, scenario }));
  const played = await playCells(stages(), cells, { jobs, signal, onEnd: (cell) => told.push(cell) });
  expect(told).toEqual(played);
  return played;
}

describe('cells of the matrix', () => {
  it('end with what did not hold, or with why they came to no end', async () => {
    const played = await play(
      1,
      never,
      { name: 'good', play: async () => ({ failures: [] }) },
      { name: 'bad', play: async () => ({ failures: ['slot b runs'] }) },
      { name: 'lost', play: () => Promise.reject(new Error('no rest in 14 boots')) },
    );
    expect(played.map(({ failures }) => failures)).toEqual([[], ['slot b runs'], ['no rest in 14 boots']]);
  });

  it('are played once more where the emulator failed, and then count', async () => {
    const scenario = (name: string, ...ends: readonly (Error | readonly string[])[]): Scenario => {
      const left = [...ends];
      return {
        name,
        play: async () => {
          const end = left.shift() ?? ['was played too often'];
          if (end instanceof Error) throw end;
          return { failures: end };
        },
      };
    };
    const fault = new EmulatorFault('the emulator lost its disk');
    const played = await play(
      1,
      never,
      scenario('good', fault, []),
      scenario('bad', fault, ['slot b runs']),
      scenario('faulty', fault, fault),
      scenario('lost', new Error('no rest in 14 boots'), []),
    );
    expect(played.map((cell) => [cell.failures, cell.fault])).toEqual([
      [[], fault.message],
      [['slot b runs'], fault.message],
      [[fault.message], fault.message],
      [['no rest in 14 boots'], undefined],
    ]);
  });

  it('run as many at once as there are jobs, each in a folder of its own', async () => {
    const both = Promise.withResolvers<undefined>();
    const folders: string[] = [];
    const scenario = (name: string): Scenario => ({
      name,
      play: async (_stage, folder) => {
        folders.push(folder);
        if (folders.length === 2) both.resolve(undefined);
        await both.promise;
        return { failures: [] };
      },
    });
    await play(2, never, scenario('cut in the write'), scenario('no agent'));
    // Which of them begins first is up to the file system.
    expect(folders.toSorted()).toEqual([join(work, 'cut-in-the-write'), join(work, 'no-agent')]);
  });

  it('leave the disks of a failure alone', async () => {
    const scenario = (name: string, failures: readonly string[]): Scenario => ({
      name,
      play: async (_stage, folder) => {
        await writeFile(join(folder, 'disk.img'), '');
        return { failures };
      },
    });
    await play(1, never, scenario('good', []), scenario('bad', ['it']));
    expect(existsSync(join(work, 'good/disk.img'))).toBe(false);
    expect(existsSync(join(work, 'bad/disk.img'))).toBe(true);
  });

  it('begin nothing any more once the run is told to end', async () => {
    const told = new AbortController();
    const began: string[] = [];
    const scenario = (name: string): Scenario => ({
      name,
      play: async (_stage, _folder, signal) => {
        began.push(name);
        told.abort(new Error('the run was ended'));
        signal.throwIfAborted();
        return { failures: [] };
      },
    });
    await expect(play(1, told.signal, scenario('one'), scenario('two'))).rejects.toThrow('the run was ended');
    expect(began).toEqual(['one']);
  });
});

it.each([
  ['nvme0n1: I/O Cmd(0x2) @ LBA 435494, 8 blocks, I/O Error (sct 0x3 / sc 0x71) ', true],
  ['nvme0n1: I/O Cmd(0x1) @ LBA 8, 8 blocks, I/O Error (sct 0x2 / sc 0x81) MORE', false],
  ['I/O error, dev nvme0n1, sector 435494 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2', false],
])('only a command that was never answered is the emulator’s: %s', (text, isLost) => {
  expect(tellsOfLostDisk(`[   68.767152] ${text}`)).toBe(isLost);
});
