import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { getPartition, putData, readFromData } from './disk.ts';
import type { VmImage } from './images.ts';
import { Machine } from './machine.ts';
import { scenarioScript } from './scenario-script.ts';
import type { Scenario, VmResult } from './scenarios.ts';
import { shell } from './shell.ts';
import { fileName, type Stage } from './stage.ts';

/** How much slower than an idle machine this one is thought to be: every time limit is as much longer. */
const patience = Number(process.env['KAON_VM_PATIENCE'] ?? '1');

/** A guest that hangs is cut off by then, as a watchdog in hardware or somebody's hand would. */
const bootLimitMs = 240_000 * patience;
const mostBoots = 14;

/** How a scenario ended. */
export interface Verdict {
  /** What did not hold; empty when all did. */
  readonly failures: readonly string[];
  readonly seconds: number;
  readonly log: string;
}

/** Plays a scenario on a disk of its own. Never rejects. */
export async function play(stage: Stage, scenario: Scenario): Promise<Verdict> {
  const startedAtMs = performance.now();
  const folder = join(stage.work, fileName(scenario.name));
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const log = join(folder, 'serial.log');
  const seconds = () => Math.round((performance.now() - startedAtMs) / 1000);
  try {
    const images = await scenario.images(stage.shop);
    const disk = join(folder, 'disk.img');
    await shell(`cp --sparse=always ${stage.baseDisk} ${disk}`);
    const references = images.map(({ reference }) => reference);
    await putData(disk, folder, stage.tree, scenarioScript(references, scenario.plainReboots));
    const machine = new Machine(disk, folder, stage.machine.firmware);
    const boots = await bootToTheEnd(machine, scenario);
    const result = await readResult(stage, disk, folder, images, boots);
    const failures = Object.entries(scenario.expect(result))
      .filter(([, isHeld]) => !isHeld)
      .map(([text]) => text);
    if (failures.length === 0) await shell(`rm -f ${folder}/*.img`);
    return { failures, seconds: seconds(), log };
  } catch (error) {
    return { failures: [error instanceof Error ? error.message : String(error)], seconds: seconds(), log };
  }
}

/** Boots again after each reset and cut, until the guest powers off; resolves to the number of boots. */
async function bootToTheEnd(machine: Machine, scenario: Scenario): Promise<number> {
  for (let boot = 1; boot <= mostBoots; boot += 1) {
    const cutAt = scenario.cut?.(boot);
    const end = await machine.boot({ deadlineMs: bootLimitMs, ...(cutAt === undefined ? {} : { cutAt }) });
    if (end === 'power-off') return boot;
  }
  throw new Error(`the node did not come to rest in ${mostBoots} boots`);
}

async function readResult(
  stage: Stage,
  disk: string,
  folder: string,
  images: readonly VmImage[],
  boots: number,
): Promise<VmResult> {
  const read = async (name: string) => (await readFromData(disk, folder, `/vm/${name}`)) ?? '';
  const parse = async (name: string): Promise<unknown> => JSON.parse((await read(name)) || 'null');
  return {
    history: (await read('history')).split('\n').filter((line) => line !== ''),
    status: (await parse('status.json')) as VmResult['status'],
    updates: (await parse('history.json')) as VmResult['updates'],
    rollbacks: (await parse('rollbacks.json')) as VmResult['rollbacks'],
    failedUnits: (await read('failed-units')).trim(),
    boots,
    loader: await stage.machine.loader.readState(disk),
    slotB: await imageInSlotB(disk, folder, images),
  };
}

/** The image that slot b holds byte for byte, with nothing but zeros behind it. */
async function imageInSlotB(disk: string, folder: string, images: readonly VmImage[]): Promise<string | undefined> {
  const slot = join(folder, 'slot-b.img');
  await getPartition(disk, 'slot-b', slot);
  for (const { file, version } of images) {
    const isSame = await shell(`
      size=$(stat -c %s ${file})
      cmp -n "$size" ${file} ${slot} && tail -c +$((size + 1)) ${slot} | tr -d '\\0' | head -c 1 | wc -c
    `).catch(() => 'different');
    if (isSame.trim() === '0') return version;
  }
  return undefined;
}
