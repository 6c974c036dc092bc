import { setTimeout as delay } from 'node:timers/promises';
import type { BenchNode } from './bench-node.ts';
import { makeContent, thinOut } from './content.ts';
import { layoutOf } from './layouts.ts';
import { cpuSecondsOf, memoryOf, memoryOfOne } from './process-tree.ts';
import { formatMiB } from './render.ts';
import { type GroupResults, measured } from './rows.ts';
import { percentile } from './statistics.ts';
import { withStand, type Workbench } from './workbench.ts';

const mebibyte = 1024 * 1024;
const bootedBytes = 4 * mebibyte;
const limitMs = 1_200_000;
const sampleEveryMs = 50;
const requestEveryMs = 10;

/** How long a node is left alone after its start, and then watched; how often its memory is looked at meanwhile. */
const idle = { settleMs: 90_000, watchMs: 600_000, lookEveryMs: 30_000 } as const;
const quickIdle = { settleMs: 1000, watchMs: 2000, lookEveryMs: 1000 } as const;

/** Makes the images whose memory is looked at, and keeps them. */
export async function prepareMemory(bench: Workbench): Promise<void> {
  const content = await makeContent(bench.cache, bench.options.sizeBytes);
  for (const sizeBytes of bench.options.memorySizes) {
    await layoutOf(bench.cache, await thinOut(bench.cache, content, sizeBytes / content.sizeBytes));
  }
}

interface MemoryPeak {
  readonly allBytes: number;
  readonly kaondBytes: number;
}

/** The largest memory of all our processes while images of different sizes are installed. */
export async function runMemory(bench: Workbench): Promise<GroupResults> {
  const { cache, options, shop, say } = bench;
  const content = await makeContent(cache, options.sizeBytes);
  const peaks: MemoryPeak[] = [];
  for (const sizeBytes of options.memorySizes) {
    const image = await thinOut(cache, content, sizeBytes / content.sizeBytes);
    const { name } = await shop.publish(image);
    const sizes = { a: bootedBytes, b: image.sizeBytes };
    const peak = await withStand(bench, 'memory', sizes, [shop.registry.host], async ({ node, slots }) => {
      await node.openFresh();
      const found = await peakDuring(node, async () => {
        await node.startUpdate(shop.registry.host, name, 'staged');
        await node.untilStaged(limitMs);
      });
      if (!(await slots.b.holds(image))) throw new Error('kaon left other bytes on the slot than the image has');
      return found;
    });
    say(`memory: ${formatMiB(sizeBytes)}: ${describe(peak)}`);
    peaks.push(peak);
  }
  const largestBytes = Math.max(...peaks.map(({ allBytes }) => allBytes));
  const smallestBytes = peaks[0]?.allBytes ?? Number.NaN;
  const sizes = peaks.map((peak, index) => `${describe(peak)} at ${formatMiB(options.memorySizes[index] ?? 0)}`);
  const note = `PSS of kaond, kaon-slotd and workers: ${sizes.join(', ')}`;
  return {
    memory: measured([largestBytes / mebibyte], note),
    'memory-growth': measured([largestBytes / smallestBytes], 'the largest of these over that of the smallest image'),
  };
}

const describe = ({ allBytes, kaondBytes }: MemoryPeak) => `${formatMiB(allBytes)} (kaond ${formatMiB(kaondBytes)})`;

/** How fast a status is answered while the slot is written. */
export async function runStatus(bench: Workbench): Promise<GroupResults> {
  const { cache, options, shop } = bench;
  const content = await makeContent(cache, options.sizeBytes);
  const { name } = await shop.publish(content);
  const sizes = { a: bootedBytes, b: content.sizeBytes };
  return withStand(bench, 'status', sizes, [shop.registry.host], async ({ node }) => {
    const rounds: number[] = [];
    let count = 0;
    for (let round = 0; round < options.rounds; round += 1) {
      await node.openFresh();
      await node.startUpdate(shop.registry.host, name, 'staged');
      const times = await requestsDuring(node, node.untilStaged(limitMs));
      rounds.push(percentile(times, 0.99));
      count += times.length;
    }
    const pace = `${Math.round(count / rounds.length)} requests an update, one every ${requestEveryMs} ms`;
    return { 'status-p99': measured(rounds, `GET /v1/status while writing and reading back; ${pace}`) };
  });
}

/** What kaond costs when nothing is to do: the most memory that it was seen with, and its processor time. */
export async function runIdle(bench: Workbench): Promise<GroupResults> {
  const { shop, options } = bench;
  const { settleMs, watchMs, lookEveryMs } = options.isQuick ? quickIdle : idle;
  const sizes = { a: bootedBytes, b: bootedBytes };
  return withStand(bench, 'idle', sizes, [shop.registry.host], async ({ node }) => {
    await node.openFresh();
    await delay(settleMs);
    const before = await cpuSecondsOf(node.pid);
    const peak = { rssBytes: 0, privateBytes: 0, othersBytes: 0, pssBytes: 0 };
    const startMs = performance.now();
    for (let lookMs = lookEveryMs; lookMs <= watchMs; lookMs += lookEveryMs) {
      await delay(startMs + lookMs - performance.now());
      const kaond = await memoryOfOne(node.pid);
      const all = await memoryOf(node.pid);
      peak.rssBytes = Math.max(peak.rssBytes, kaond.rssBytes);
      peak.privateBytes = Math.max(peak.privateBytes, kaond.privateBytes);
      peak.othersBytes = Math.max(peak.othersBytes, all.rssBytes - kaond.rssBytes);
      peak.pssBytes = Math.max(peak.pssBytes, all.pssBytes);
    }
    const percent = (((await cpuSecondsOf(node.pid)) - before) * 100_000) / watchMs;
    const when = `kaond, the most in ${watchMs / 60_000} minutes, ${settleMs / 1000} s after its start`;
    const slotd = peak.othersBytes > 0 ? `${formatMiB(peak.othersBytes)} more` : 'has exited';
    return {
      'idle-rss': measured(
        [peak.rssBytes / mebibyte],
        `${when}; kaon-slotd ${slotd}; PSS of all ${formatMiB(peak.pssBytes)}`,
      ),
      'idle-private': measured([peak.privateBytes / mebibyte], when),
      'idle-cpu': measured([percent], `of one core, over ${watchMs / 60_000} minutes`),
    };
  });
}

/** The largest PSS of all our processes while `work` goes on, and how much of it was kaond's. */
async function peakDuring(node: BenchNode, work: () => Promise<void>): Promise<MemoryPeak> {
  let peak: MemoryPeak = { allBytes: 0, kaondBytes: 0 };
  await during(work(), sampleEveryMs, async () => {
    const kaondBytes = (await memoryOfOne(node.pid)).pssBytes;
    const allBytes = (await memoryOf(node.pid)).pssBytes;
    if (allBytes > peak.allBytes) peak = { allBytes, kaondBytes };
  });
  return peak;
}

/** The times of one request after the other while `work` goes on, in milliseconds. */
async function requestsDuring(node: BenchNode, work: Promise<void>): Promise<readonly number[]> {
  const times: number[] = [];
  await during(work, requestEveryMs, async () => {
    const startMs = performance.now();
    await node.request('GET', '/v1/status');
    times.push(performance.now() - startMs);
  });
  return times;
}

/** Takes a step again and again until `work` is done, with pauses. */
async function during(work: Promise<void>, pauseMs: number, step: () => Promise<void>): Promise<void> {
  const ended = new AbortController();
  const done = work.finally(() => ended.abort());
  while (!ended.signal.aborted) {
    await step();
    await Promise.race([done, delay(pauseMs)]);
  }
  await done;
}
