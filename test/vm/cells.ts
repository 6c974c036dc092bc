import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmulatorFault } from './emulator-fault.ts';
import type { VmMachine } from './machines.ts';
import { patience } from './patience.ts';
import type { Played, Scenario } from './scenario.ts';
import { shell } from './shell.ts';
import { fileName, type Stage } from './stage.ts';

/** Longest time of one cell; what takes longer has lost its way. */
const cellLimitMs = 30 * 60_000 * patience;

/** Where cells find what they begin from. */
export interface StageSource {
  readonly of: (machine: VmMachine) => Promise<Stage>;
}

/** A scenario on a machine. */
export interface Cell {
  readonly machine: VmMachine;
  readonly scenario: Scenario;
}

/** How a cell ended. */
export interface PlayedCell extends Cell, Played {
  readonly seconds: number;
  /** What the emulator failed with where the cell had to be played twice. */
  readonly fault?: string;
}

/** Plays cells, `jobs` at a time, in their order; `onEnd` hears of each. Rejects only once `signal` is aborted. */
export async function playCells(
  stages: StageSource,
  cells: readonly Cell[],
  { jobs, signal, onEnd }: { jobs: number; signal: AbortSignal; onEnd: (cell: PlayedCell) => void },
): Promise<readonly PlayedCell[]> {
  const played: PlayedCell[] = [];
  const waiting = [...cells];
  const worker = async () => {
    for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
      const one = await playCell(stages, cell, signal);
      signal.throwIfAborted();
      played.push(one);
      onEnd(one);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return played;
}

async function playCell(stages: StageSource, cell: Cell, signal: AbortSignal): Promise<PlayedCell> {
  const startedAtMs = performance.now();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(cellLimitMs)]);
  const played = await attempt(stages, cell, limit).catch(async (fault: unknown) => {
    // What the emulator does wrong by itself is no verdict on kaon; twice in one cell would be something else.
    const again = await attempt(stages, cell, limit).catch((error: unknown) => ({ failures: [textOf(error)] }));
    return { ...again, fault: textOf(fault) };
  });
  return { ...cell, ...played, seconds: Math.round((performance.now() - startedAtMs) / 1000) };
}

/** Rejects with an `EmulatorFault` alone. */
async function attempt(stages: StageSource, { machine, scenario }: Cell, signal: AbortSignal): Promise<Played> {
  try {
    const stage = await stages.of(machine);
    const folder = join(stage.work, fileName(scenario.name));
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const played = await scenario.play(stage, folder, signal);
    if (played.failures.length === 0) await shell(`rm -f ${folder}/*.img`);
    return played;
  } catch (error) {
    if (error instanceof EmulatorFault) throw error;
    return { failures: [textOf(error)] };
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
