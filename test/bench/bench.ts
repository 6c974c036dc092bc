import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cache } from './cache.ts';
import { ImageShop } from './image-shop.ts';
import { type BenchOptions, groupsOf, parseOptions, usage } from './options.ts';
import { linesOf, renderTable, shortReason, type Surroundings } from './render.ts';
import { groupRunners } from './row-groups.ts';
import { benchRows, type GroupResults, notRun, type RowGroup } from './rows.ts';
import { describeMachine, installPeers, loadNow, versions } from './tools.ts';
import type { Workbench } from './workbench.ts';

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Runs one group. A group that fails costs its rows, each with the reason, and not the others. */
async function runGroup(bench: Workbench, group: RowGroup): Promise<GroupResults> {
  const startMs = performance.now();
  const seconds = () => Math.round((performance.now() - startMs) / 1000);
  try {
    const results = await groupRunners[group].run(bench);
    say(`${group}: ${seconds()} s`);
    return results;
  } catch (error) {
    say(`${group} failed after ${seconds()} s: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
    const rows = benchRows.filter((row) => row.group === group);
    return Object.fromEntries(rows.map(({ name }) => [name, notRun(shortReason(error))]));
  }
}

/** The results of the wanted rows; one that its group did not deliver is told of as such. */
async function runAll(bench: Workbench): Promise<GroupResults> {
  const { rows } = bench.options;
  let results: GroupResults = {};
  for (const group of groupsOf(rows)) results = { ...results, ...(await runGroup(bench, group)) };
  return Object.fromEntries(rows.map((row) => [row, results[row] ?? notRun('its group did not deliver it')]));
}

/** What a node runs is what is measured: the build, made anew. */
function buildAgent(): void {
  const program = fileURLToPath(new URL('../../package/build.ts', import.meta.url));
  const { status } = spawnSync(process.execPath, [program], { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('cannot build the agent: see above');
  process.env['KAON_RUN'] = 'built';
}

async function withWorkbench<T>(options: BenchOptions, use: (bench: Workbench) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-bench-'));
  const cache = new Cache(process.env['KAON_BENCH_CACHE'] ?? '/var/cache/kaon-bench', say);
  try {
    const shop = await ImageShop.open(folder, cache);
    try {
      return await use({ options, folder, cache, shop, say });
    } finally {
      await shop.close();
    }
  } finally {
    if (options.isKept) say(`what was made is in ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

async function bench(options: BenchOptions): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('cannot run the bench: it needs root, for loop devices');
  await installPeers(say);
  if (!options.isFromSources) buildAgent();
  return withWorkbench(options, async (workbench) => {
    if (options.isPrepareOnly) {
      for (const group of groupsOf(options.rows)) await groupRunners[group].prepare?.(workbench);
      return 0;
    }
    const [startedAt, startMs, loadBefore] = [new Date().toISOString(), performance.now(), await loadNow()];
    const lines = linesOf(await runAll(workbench));
    const surroundings: Surroundings = {
      startedAt,
      durationSeconds: (performance.now() - startMs) / 1000,
      machine: describeMachine(),
      sizeBytes: options.sizeBytes,
      rounds: options.rounds,
      isBuilt: !options.isFromSources,
      loadBefore,
      versions: await versions(),
    };
    const text = options.isJson
      ? `${JSON.stringify({ surroundings, lines }, undefined, 2)}\n`
      : renderTable(lines, surroundings);
    process.stdout.write(text);
    return lines.some(({ outcome }) => outcome === 'measured') ? 0 : 1;
  });
}

async function main(): Promise<number> {
  let options: BenchOptions | 'help';
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 64;
  }
  if (options === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  return bench(options);
}

process.exitCode = await main();
