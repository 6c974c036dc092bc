import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { EmulatorFault } from './emulator-fault.ts';
import type { VmImage } from './images.ts';
import { bootToRest, failuresOf, newDisk, readResult } from './life.ts';
import { atRest } from './lost-flushes.ts';
import { Machine } from './machine.ts';
import { patience } from './patience.ts';
import type { VmResult } from './scenario.ts';
import { shell } from './shell.ts';
import type { Stage } from './stage.ts';

const lifeLimitMs = 15 * 60_000 * patience;

const cutSchema = z.object({
  number: z.number(),
  /** When the power went, in milliseconds after the first boot began. */
  atMs: z.number(),
  /** The boot that this ended, and the last line of the console before. */
  boot: z.number(),
  lastLine: z.string(),
  /** Boots until the node came to rest; 0 where it never did. */
  boots: z.number(),
  /** How the update ended; `none` where the power went before it was asked for. */
  ended: z.string(),
  /** Why it was rolled back, as its record says: a healthy image has no business there. */
  reason: z.string().optional(),
  /** The slot that runs in the end. */
  runs: z.string(),
  /** What did not hold. */
  failures: z.array(z.string()),
});

const resultSchema = z.object({
  machine: z.string(),
  seed: z.number(),
  /** How long an upgrade takes here whose power nobody cuts. */
  upgradeMs: z.number(),
  cuts: z.array(cutSchema),
});

type SoakResult = z.infer<typeof resultSchema>;
type Cut = SoakResult['cuts'][number];

/**
 * Cuts the power of as many upgrades as are asked for, each once, at a random moment, and checks that every node comes
 * back. The result file says what came of each cut; where it exists, its seed is kept and its cuts count. Resolves to
 * whether everything held.
 */
export async function soak(
  stage: Stage,
  options: {
    readonly cuts: number;
    readonly seed: number | undefined;
    readonly resultFile: string;
    readonly signal: AbortSignal;
  },
): Promise<boolean> {
  const image = await stage.shop.push('v2', 'healthy');
  const result = (await load(options.resultFile)) ?? (await begin(stage, image, options.seed, options.signal));
  if (result.machine !== stage.machine.name || (options.seed ?? result.seed) !== result.seed) {
    throw new Error(`cannot go on with ${options.resultFile}: it is of ${result.machine}, seed ${result.seed}`);
  }
  await save(options.resultFile, result);
  console.log(`seed ${result.seed}; an upgrade takes ${Math.round(result.upgradeMs / 1000)} s`);
  const random = new SeededRandom(result.seed);
  for (let number = 1; result.cuts.length < options.cuts; number += 1) {
    const atMs = Math.round(random.fraction() * result.upgradeMs);
    if (result.cuts.some((cut) => cut.number >= number)) continue;
    const cut = await playCut(stage, image, { number, atMs, signal: options.signal });
    options.signal.throwIfAborted();
    if (cut === undefined) continue;
    result.cuts.push(cut);
    await save(options.resultFile, result);
    console.log(describe(cut));
  }
  return summarize(result);
}

async function begin(stage: Stage, image: VmImage, seed: number | undefined, signal: AbortSignal): Promise<SoakResult> {
  const { machine } = await newNode(stage, image, 'soak-0');
  const startedAtMs = performance.now();
  await bootToRest(machine, withLimit(signal));
  return {
    machine: stage.machine.name,
    seed: seed ?? Date.now() % 2 ** 32,
    upgradeMs: Math.round(performance.now() - startedAtMs),
    cuts: [],
  };
}

/** Resolves to `undefined` where the node came to rest before its power was cut, or the emulator failed. */
async function playCut(
  stage: Stage,
  image: VmImage,
  { number, atMs, signal }: { number: number; atMs: number; signal: AbortSignal },
): Promise<Cut | undefined> {
  const { machine, disk, folder } = await newNode(stage, image, `soak-${number}`);
  const cutAtMs = performance.now() + atMs;
  const cut = { number, atMs, boot: 0, lastLine: '', boots: 0, ended: 'never', runs: 'nothing' };
  try {
    const plan = () =>
      machine.lineBeforeCut === undefined ? { afterMs: Math.max(0, cutAtMs - performance.now()) } : undefined;
    const ends = await bootToRest(machine, withLimit(signal), plan);
    if (!ends.includes('cut')) return undefined;
    const result = await readResult({ stage, disk, folder, images: [image], machine, ends });
    const failures = failuresOf({ ...atRest(result, image), ...endedInOrder(result) });
    const [rollback] = result.rollbacks;
    if (failures.length === 0 && rollback === undefined) await shell(`rm -rf ${folder}`);
    return {
      ...cut,
      boot: ends.indexOf('cut') + 1,
      lastLine: machine.lineBeforeCut ?? '',
      boots: ends.length,
      ended: outcomeOf(result),
      ...(rollback === undefined ? {} : { reason: `${rollback.kind ?? 'unknown'}: ${rollback.message}` }),
      runs: result.status.booted,
      failures: [...failures],
    };
  } catch (error) {
    if (error instanceof EmulatorFault) return undefined;
    return { ...cut, failures: [error instanceof Error ? error.message : String(error)] };
  }
}

function withLimit(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(lifeLimitMs)]);
}

async function newNode(stage: Stage, image: VmImage, name: string) {
  const folder = join(stage.work, name);
  await mkdir(folder);
  const disk = await newDisk(stage, folder, [image]);
  return { folder, disk, machine: new Machine(disk, folder, stage.machine.firmware) };
}

function outcomeOf({ updates }: VmResult): string {
  return updates[0]?.outcome?.result ?? 'none';
}

function endedInOrder(result: VmResult): Readonly<Record<string, boolean>> {
  const ended = outcomeOf(result);
  const wants = { committed: 'b', 'rolled-back': 'a', none: 'a' }[ended];
  return { [`the update ended in its slot (${ended})`]: result.status.booted === wants };
}

function describe({ number, atMs, boot, lastLine, ended, reason, runs, failures }: Cut): string {
  const where = `cut ${number} at ${(atMs / 1000).toFixed(1)} s, boot ${boot}, after "${lastLine.slice(0, 100)}"`;
  const end = reason === undefined ? ended : `${ended} (${reason})`;
  return `${failures.length === 0 ? 'held  ' : 'FAILED'} ${where}: ${end}, slot ${runs} runs${failures.map((text) => `\n       not true: ${text}`).join('')}`;
}

function summarize({ cuts }: SoakResult): boolean {
  const count = (test: (cut: Cut) => boolean) => cuts.filter(test).length;
  const failed = count(({ failures }) => failures.length > 0);
  const endings = ['committed', 'rolled-back', 'none'].map((name) => `${count(({ ended }) => ended === name)} ${name}`);
  console.log(`${endings.join(', ')}; ${count(({ runs }) => runs === 'nothing')} bricks`);
  console.log(`${cuts.length - failed} passed, ${failed} failed, 0 skipped`);
  return failed === 0;
}

async function load(path: string): Promise<SoakResult | undefined> {
  try {
    return resultSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`cannot read ${path}: it is no result of a soak`, { cause: error });
  }
}

async function save(path: string, result: SoakResult): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify(result, null, 2)}\n`);
  await rename(`${path}.new`, path);
}
