import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDockerRegistry } from '../system/docker-registry.ts';
import { makeKeys } from './images.ts';
import { machines, type VmMachine } from './machines.ts';
import { play, type Verdict } from './play.ts';
import { buildRootTree } from './root-tree.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { Stages } from './stage.ts';

interface Cell {
  readonly machine: string;
  readonly scenario: string;
  readonly verdict: Verdict;
}

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

function wantedCells(options: { all: boolean; machine?: string | undefined; scenario?: string | undefined }) {
  const wantedMachines = chosen(options.machine, machines);
  const wantedScenarios = chosen(options.scenario, scenarios);
  return machines
    .filter(({ name }) => wantedMachines?.has(name) ?? true)
    .flatMap((machine) =>
      scenarios
        .filter(
          ({ name }) =>
            wantedScenarios?.has(name) ?? (options.all || machine.usual === 'all' || machine.usual.includes(name)),
        )
        .map((scenario) => ({ machine, scenario })),
    );
}

function print(cells: readonly Cell[]): void {
  const width = Math.max(...cells.map(({ scenario }) => scenario.length));
  for (const { name } of machines) {
    const own = cells.filter(({ machine }) => machine === name);
    if (own.length === 0) continue;
    console.log(`\n${name}`);
    for (const { scenario, verdict } of own) {
      const { failures, seconds } = verdict;
      console.log(`  ${scenario.padEnd(width)}  ${failures.length === 0 ? 'held  ' : 'FAILED'}  ${seconds} s`);
    }
  }
}

async function playAll(work: string, cells: ReturnType<typeof wantedCells>): Promise<readonly Cell[]> {
  const registry = await startDockerRegistry(work, 'registry');
  try {
    const cache = process.env['KAON_VM_CACHE'] ?? '/var/cache/kaon-vm';
    const rootTree = await buildRootTree(cache, work);
    await makeKeys(work);
    const stages = new Stages({ work, rootTree, keys: work, registry });
    const done: Cell[] = [];
    for (const { machine, scenario } of cells) {
      const verdict = await playAndTell(stages, machine, scenario);
      done.push({ machine: machine.name, scenario: scenario.name, verdict });
    }
    return done;
  } finally {
    await registry.stop();
  }
}

async function playAndTell(stages: Stages, machine: VmMachine, scenario: Scenario): Promise<Verdict> {
  const verdict = await play(await stages.of(machine), scenario);
  console.log(
    `${verdict.failures.length === 0 ? 'held  ' : 'FAILED'} ${machine.name}: ${scenario.name}, ${verdict.seconds} s`,
  );
  for (const failure of verdict.failures) console.log(`       not true: ${failure}`);
  return verdict;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      all: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      machine: { type: 'string' },
      scenario: { type: 'string' },
    },
  });
  const wanted = wantedCells(values);
  const work = await mkdtemp(join(tmpdir(), 'kaon-vm-'));
  const cells = await playAll(work, wanted);
  const failed = cells.filter(({ verdict }) => verdict.failures.length > 0);
  print(cells);
  if (failed.length === 0 && !values.keep) await rm(work, { recursive: true });
  else console.log(`serial logs and disks are in ${work}`);
  console.log(`${cells.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
  return failed.length === 0 && cells.length > 0 ? 0 : 1;
}

process.exitCode = await main();
