import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDockerRegistry } from '../system/docker-registry.ts';
import { buildArm64Tree } from './arm64-tree.ts';
import { type Cell, type PlayedCell, playCells } from './cells.ts';
import { machines } from './machines.ts';
import { cellsToPlay, type Row, rowsOf, spread } from './matrix.ts';
import { buildKaon, buildRootTree } from './root-tree.ts';
import { scenarios } from './scenarios.ts';
import { soak } from './soak.ts';
import { Stages } from './stage.ts';

const options = {
  all: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  jobs: { type: 'string', default: String(availableParallelism() + 1) },
  machine: { type: 'string' },
  scenario: { type: 'string' },
  soak: { type: 'string' },
  seed: { type: 'string' },
  result: { type: 'string', default: 'soak-result.json' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];

/** The names of an option, all of them known; `undefined` where it was not given. */
function chosen(option: string | undefined, known: readonly { readonly name: string }[]): Set<string> | undefined {
  if (option === undefined) return undefined;
  const names = option.split(',').map((name) => name.trim());
  const unknown = names.find((name) => known.every((one) => one.name !== name));
  if (unknown !== undefined) {
    throw new Error(`cannot play ${unknown}: want one of ${known.map(({ name }) => name).join(', ')}`);
  }
  return new Set(names);
}

function wantedCells(values: Values): readonly Cell[] {
  const wantedMachines = chosen(values.machine, machines);
  const wantedScenarios = chosen(values.scenario, scenarios);
  const asked = machines
    .filter(({ name }) => wantedMachines?.has(name) ?? true)
    .flatMap((machine) =>
      scenarios
        .filter(({ name }) => wantedScenarios?.has(name) ?? (values.all || machine.usual.includes(name)))
        .map((scenario) => ({ machine, scenario })),
    );
  return spread(cellsToPlay(asked));
}

function wordOf({ failures }: PlayedCell): string {
  return failures.length === 0 ? 'held  ' : 'FAILED';
}

function timesOf({ waysBack = [] }: PlayedCell): string {
  return waysBack.map(({ kind, seconds, boots }) => `${kind} in ${seconds} s and ${boots} boots`).join(', ');
}

function tell(cell: PlayedCell): void {
  console.log(`${wordOf(cell)} ${cell.machine.name}: ${cell.scenario.name}, ${cell.seconds} s`);
  const times = timesOf(cell);
  if (times !== '') console.log(`       back: ${times}`);
  if (cell.fault !== undefined) console.log(`       played twice: ${cell.fault}`);
  for (const failure of cell.failures) console.log(`       not true: ${failure}`);
}

/** The matrix, machine by machine, in the order of its rows. Returns the rows. */
function print(cells: readonly PlayedCell[]): readonly Row[] {
  const width = Math.max(...scenarios.map(({ name }) => name.length));
  return machines.flatMap((machine) => {
    const rows = rowsOf(machine, scenarios, cells);
    if (rows.length > 0) console.log(`\n${machine.name}`);
    for (const { scenario, shownBy } of rows) {
      const time = shownBy.scenario === scenario ? `${shownBy.seconds} s` : `in ${shownBy.scenario.name}`;
      console.log(`  ${scenario.name.padEnd(width)}  ${wordOf(shownBy)}  ${time}`);
    }
    return rows;
  });
}

/** Calls `play` with stages that are there for its time. */
async function withStages<T>(work: string, play: (stages: Stages) => Promise<T>): Promise<T> {
  const registry = await startDockerRegistry(work, 'registry');
  try {
    const cache = process.env['KAON_VM_CACHE'] ?? '/var/cache/kaon-vm';
    await buildKaon();
    const rootTrees = { amd64: () => buildRootTree(cache, work), arm64: () => buildArm64Tree(cache, work) };
    return await play(new Stages({ work, rootTrees, keys: work, registry }));
  } finally {
    await registry.stop();
  }
}

async function playMatrix(work: string, cells: readonly Cell[], jobs: number, signal: AbortSignal): Promise<boolean> {
  const played = await withStages(work, (stages) => playCells(stages, cells, { jobs, signal, onEnd: tell }));
  const rows = print(played);
  const failed = rows.filter(({ shownBy }) => shownBy.failures.length > 0);
  console.log(`${rows.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
  return failed.length === 0 && rows.length > 0;
}

async function playSoak(work: string, values: Values, signal: AbortSignal): Promise<boolean> {
  const wanted = chosen(values.machine, machines);
  const machine = machines.find(({ name }) => wanted?.has(name) ?? true);
  if (machine === undefined) throw new Error('cannot soak: no machine is named');
  const cuts = Number(values.soak);
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  return withStages(work, async (stages) =>
    soak(await stages.of(machine), { cuts, seed, resultFile: values.result, signal }),
  );
}

/** Aborts when this run is told to end, so that no emulator outlives it. */
function untilTold(): AbortSignal {
  const told = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => told.abort(new Error(`the run was ended by ${name}`)));
  }
  return told.signal;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options });
  const signal = untilTold();
  const cells = wantedCells(values);
  const work = await mkdtemp(join(tmpdir(), 'kaon-vm-'));
  const isHeld =
    values.soak === undefined
      ? await playMatrix(work, cells, Number(values.jobs), signal)
      : await playSoak(work, values, signal);
  if (isHeld && !values.keep) await rm(work, { recursive: true });
  else console.log(`serial logs and disks are in ${work}`);
  return isHeld ? 0 : 1;
}

process.exitCode = await main();
