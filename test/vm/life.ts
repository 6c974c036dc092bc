import { join } from 'node:path';
import { getPartition, putData } from './disk.ts';
import type { VmImage } from './images.ts';
import { type BootEnd, type BootPlan, Machine } from './machine.ts';
import { patience } from './patience.ts';
import { heldRollbacks } from './rollbacks.ts';
import type { Life, Played, VmResult } from './scenario.ts';
import { scenarioScript } from './scenario-script.ts';
import { run, shell } from './shell.ts';
import type { Stage } from './stage.ts';
import { waysBack } from './ways-back.ts';

/** A guest that hangs is cut off by then, as a watchdog in hardware or somebody's hand would. */
const bootLimitMs = 300_000 * patience;
const mostBoots = 14;

/** Plays a life on a disk of its own in `folder`; resolves to what did not hold in the end, and how long each way back took. */
export async function playLife(stage: Stage, folder: string, life: Life, signal: AbortSignal): Promise<Played> {
  const images = await life.images(stage.shop);
  const disk = await newDisk(stage, folder, images, life);
  const machine = new Machine(disk, folder, stage.machine.firmware);
  const ends = await bootToRest(machine, signal, life.cut);
  const result = await readResult({ stage, disk, folder, images, machine, ends });
  const failures = failuresOf({ ...life.expect(result), ...heldRollbacks(result, life.rollbacks ?? []) });
  const kinds = result.rollbacks.map(({ kind = 'unknown' }) => kind).toReversed();
  return { failures, waysBack: waysBack(machine.timeline, kinds) };
}

/** A copy of the stage's disk whose node is told to install `images`. */
export async function newDisk(
  stage: Stage,
  folder: string,
  images: readonly VmImage[],
  { plainReboots = 0, hasWatchdog = false }: Pick<Life, 'plainReboots' | 'hasWatchdog'> = {},
): Promise<string> {
  const disk = join(folder, 'disk.img');
  await shell(`cp --sparse=always ${stage.baseDisk} ${disk}`);
  const references = images.map(({ reference }) => reference);
  const files = { 'scenario.sh': scenarioScript(references, plainReboots), ...(hasWatchdog ? { watchdog: '' } : {}) };
  await putData(disk, folder, stage.tree, files);
  return disk;
}

/** What of `held` is false. */
export function failuresOf(held: Readonly<Record<string, boolean>>): readonly string[] {
  return Object.entries(held).flatMap(([text, isHeld]) => (isHeld ? [] : [text]));
}

/** Boots again after each reset and cut, until the guest powers off; resolves to how each boot ended. */
export async function bootToRest(
  machine: Machine,
  signal: AbortSignal,
  cut?: (boot: number) => BootPlan['cutAt'],
): Promise<readonly BootEnd[]> {
  const ends: BootEnd[] = [];
  while (ends.length < mostBoots) {
    const cutAt = cut?.(ends.length + 1);
    const end = await machine.boot({ deadlineMs: bootLimitMs, signal, ...(cutAt === undefined ? {} : { cutAt }) });
    ends.push(end);
    if (end === 'power-off') return ends;
  }
  throw new Error(`the node did not come to rest in ${mostBoots} boots: ${ends.join(', ')}`);
}

/** What is known of a node that powered off, read from its disk. */
export async function readResult(node: {
  stage: Stage;
  disk: string;
  folder: string;
  images: readonly VmImage[];
  machine: Machine;
  ends: readonly BootEnd[];
}): Promise<VmResult> {
  const { stage, disk, folder, images } = node;
  const data = join(folder, 'read-data.img');
  await getPartition(disk, 'data', data);
  // What the guest had not replayed yet counts, too.
  await shell(`e2fsck -fy ${data} >/dev/null 2>&1 || true`);
  const read = (path: string) => run('debugfs', '-R', `cat ${path}`, data);
  const parse = async (path: string): Promise<unknown> => JSON.parse((await read(path)) || 'null');
  return {
    history: (await read('/vm/history')).split('\n').filter((line) => line !== ''),
    status: (await parse('/vm/status.json')) as VmResult['status'],
    updates: (await parse('/vm/history.json')) as VmResult['updates'],
    rollbacks: (await parse('/vm/rollbacks.json')) as VmResult['rollbacks'],
    shownRollback: (await parse('/vm/shown-rollback.json')) as VmResult['shownRollback'],
    failedUnits: (await read('/vm/failed-units')).trim(),
    facts: [await read('/kaon/facts.0'), await read('/kaon/facts.1')],
    boots: node.ends.length,
    console: node.machine.lines,
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
