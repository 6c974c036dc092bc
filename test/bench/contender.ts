import type { Content } from './content.ts';
import type { LoopSlot } from './loop-slot.ts';
import { dropFromPageCache, pageCacheBytes } from './page-cache.ts';
import { cpuSecondsOf, reapedCpuSeconds } from './process-tree.ts';
import { shortReason } from './render.ts';
import { inTurn } from './statistics.ts';

/** Somebody who puts the same image onto the same slot. */
export interface Contender {
  readonly name: string;
  /** What it reads, here or by a server on this machine: dropped from the page cache before each run. */
  readonly sources: readonly string[];
  /** Processes that work for it and outlive a run; their processor time counts as well. */
  readonly daemons: () => readonly number[];
  /** Makes it forget earlier runs; not measured. */
  readonly prepare: () => Promise<void>;
  /** Installs the image. Resolves to times of its own, in seconds. */
  readonly run: () => Promise<Readonly<Record<string, number>>>;
  /** Ends everything that it started. */
  readonly close: () => Promise<void>;
}

/** One run. */
export interface Measurement {
  /** Until the slot was flushed. */
  readonly wallSeconds: number;
  /** User and system, of everybody who worked for it but servers. */
  readonly cpuSeconds: number;
  /** What is in the page cache afterwards and was not before, its sources apart. */
  readonly leftInCacheBytes: number;
  readonly own: Readonly<Record<string, number>>;
}

/** What a contest is about. */
export interface Contest {
  readonly slot: LoopSlot;
  readonly content: Content;
  /** What is on the slot before each run. */
  readonly otherData: Content;
  readonly rounds: number;
}

/** What came of a contender: its measurements, one a round, or why there are none. */
export type ContestResult = readonly Measurement[] | { readonly reason: string };

/**
 * Lets the contenders run in turn, round by round, and proves the slot byte for byte after each run. One that fails is
 * out, with its reason; the others go on.
 */
export async function contend(
  contenders: readonly Contender[],
  contest: Contest,
  say: (line: string) => void,
): Promise<ReadonlyMap<string, ContestResult>> {
  const results = new Map<string, Measurement[]>(contenders.map(({ name }) => [name, []]));
  const failures = new Map<string, { readonly reason: string }>();
  for (let round = 0; round < contest.rounds; round += 1) {
    for (const contender of inTurn(contenders, round)) {
      if (failures.has(contender.name)) continue;
      try {
        const measurement = await measureRun(contender, contest);
        results.get(contender.name)?.push(measurement);
        say(`round ${round + 1}: ${contender.name} ${measurement.wallSeconds.toFixed(2)} s`);
      } catch (error) {
        const reason = shortReason(error);
        say(`${contender.name} is out: ${reason}`);
        failures.set(contender.name, { reason });
      }
    }
  }
  return new Map([...results].map(([name, measurements]) => [name, failures.get(name) ?? measurements]));
}

async function measureRun(contender: Contender, { slot, content, otherData }: Contest): Promise<Measurement> {
  await slot.fill(otherData.file);
  await contender.prepare();
  await dropFromPageCache(contender.sources);
  const cacheBefore = await pageCacheBytes();
  const cpuBefore = await cpuOf(contender);
  const startMs = performance.now();
  const own = await contender.run();
  await slot.flush();
  const wallSeconds = (performance.now() - startMs) / 1000;
  const cpuSeconds = (await cpuOf(contender)) - cpuBefore;
  await dropFromPageCache(contender.sources);
  const leftInCacheBytes = (await pageCacheBytes()) - cacheBefore;
  if (!(await slot.holds(content))) throw new Error(`${contender.name} left other bytes on the slot than the image's`);
  return { wallSeconds, cpuSeconds, leftInCacheBytes, own };
}

async function cpuOf(contender: Contender): Promise<number> {
  const seconds = await Promise.all(contender.daemons().map(cpuSecondsOf));
  return seconds.reduce((sum, value) => sum + value, await reapedCpuSeconds());
}
