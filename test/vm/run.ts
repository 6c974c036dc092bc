import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDockerRegistry } from '../system/docker-registry.ts';
import { makeDisk, putPartition } from './disk.ts';
import { installGrub } from './grub-disk.ts';
import { configureNode, ImageShop } from './images.ts';
import { machineNames } from './machine-names.ts';
import { play, type Stage, type Verdict } from './play.ts';
import { buildRootTree } from './root-tree.ts';
import { type Scenario, scenarios } from './scenarios.ts';

/** The machines, and what runs on each unless all is asked for. */
const machines = [
  { name: machineNames[0], firmware: 'bios', usual: ['upgrade', 'panic', 'failed health'] },
  {
    name: machineNames[1],
    firmware: 'uefi',
    usual: ['upgrade', 'no agent', 'config refused', 'cut in the write'],
  },
] as const;

interface Cell {
  readonly machine: string;
  readonly scenario: string;
  readonly verdict: Verdict;
}

function wantedCells(options: { all: boolean; machine?: string; scenario?: string }) {
  return machines
    .filter(({ name }) => options.machine === undefined || name === options.machine)
    .flatMap((machine) =>
      scenarios
        .filter(({ name }) =>
          options.scenario === undefined
            ? options.all || (machine.usual as readonly string[]).includes(name)
            : options.scenario.split(',').includes(name),
        )
        .map((scenario) => ({ machine, scenario })),
    );
}

async function buildStage(work: string, shop: ImageShop, factory: string, firmware: 'bios' | 'uefi'): Promise<Stage> {
  const baseDisk = join(work, `${firmware}.img`);
  await makeDisk(baseDisk);
  await installGrub(baseDisk, work, firmware);
  await putPartition(baseDisk, 'slot-a', factory);
  return { firmware, baseDisk, work, shop };
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
    const tree = await buildRootTree(cache, work);
    const shop = new ImageShop(work, registry);
    await shop.open();
    await configureNode(tree, shop.guestRegistry, shop.publicKey);
    const factory = await shop.fileSystem('v1', 'healthy');
    const stages = new Map<string, Stage>();
    const done: Cell[] = [];
    for (const { machine, scenario } of cells) {
      const stage = stages.get(machine.firmware) ?? (await buildStage(work, shop, factory, machine.firmware));
      stages.set(machine.firmware, stage);
      done.push({
        machine: machine.name,
        scenario: scenario.name,
        verdict: await playAndTell(stage, machine.name, scenario),
      });
    }
    return done;
  } finally {
    await registry.stop();
  }
}

async function playAndTell(stage: Stage, machine: string, scenario: Scenario): Promise<Verdict> {
  const verdict = await play(stage, scenario);
  console.log(
    `${verdict.failures.length === 0 ? 'held  ' : 'FAILED'} ${machine}: ${scenario.name}, ${verdict.seconds} s`,
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
  const work = await mkdtemp(join(tmpdir(), 'kaon-vm-'));
  const wanted = wantedCells({
    all: values.all,
    ...(values.machine === undefined ? {} : { machine: values.machine }),
    ...(values.scenario === undefined ? {} : { scenario: values.scenario }),
  });
  const cells = await playAll(work, wanted);
  const failed = cells.filter(({ verdict }) => verdict.failures.length > 0);
  print(cells);
  if (failed.length === 0 && !values.keep) await rm(work, { recursive: true });
  else console.log(`serial logs and disks are in ${work}`);
  console.log(`${cells.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
  return failed.length === 0 && cells.length > 0 ? 0 : 1;
}

process.exitCode = await main();
