import { readdir, readFile } from 'node:fs/promises';

/** `CLK_TCK` of Linux: what /proc counts processor time in. */
const ticksPerSecond = 100;

/** What a process tree holds in memory at one moment. */
export interface MemoryUse {
  /** Shared pages by their share. */
  readonly pssBytes: number;
  readonly rssBytes: number;
  readonly privateBytes: number;
}

/** The process `pid` and everything below it that lives. */
export async function treeOf(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  );
  const children = lists
    .join(' ')
    .split(' ')
    .filter((text) => text !== '');
  const below = await Promise.all(children.map((text) => treeOf(Number(text))));
  return [pid, ...below.flat()];
}

/** Processor seconds of `pid` and all below it since they began, those included that ended and were waited for. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const times = await Promise.all((await treeOf(pid)).map(timesOf));
  return times.reduce((sum, { own, ofChildren }) => sum + own + ofChildren, 0) / ticksPerSecond;
}

/** Processor seconds of the children of this process that ended. */
export async function reapedCpuSeconds(): Promise<number> {
  return (await timesOf(process.pid)).ofChildren / ticksPerSecond;
}

/** Memory of `pid` and all below it. A process that ends while it is looked at counts as nothing. */
export async function memoryOf(pid: number): Promise<MemoryUse> {
  const uses = await Promise.all((await treeOf(pid)).map(memoryOfOne));
  return uses.reduce((sum, use) => ({
    pssBytes: sum.pssBytes + use.pssBytes,
    rssBytes: sum.rssBytes + use.rssBytes,
    privateBytes: sum.privateBytes + use.privateBytes,
  }));
}

/** proc_pid_stat(5), fields 14 to 17, in ticks. */
export function parseTimes(stat: string): { readonly own: number; readonly ofChildren: number } {
  // The name in field 2 may have spaces and parentheses; the fields behind its last one have none.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [own, system, children, childrenSystem] = fields.slice(11, 15).map(Number);
  return { own: (own ?? 0) + (system ?? 0), ofChildren: (children ?? 0) + (childrenSystem ?? 0) };
}

/** proc_pid_smaps(5), `smaps_rollup`. */
export function parseMemory(rollup: string): MemoryUse {
  const sum = (pattern: RegExp) =>
    [...rollup.matchAll(pattern)].reduce((total, match) => total + Number(match[1]) * 1024, 0);
  return {
    pssBytes: sum(/^Pss: +(\d+) kB/gm),
    rssBytes: sum(/^Rss: +(\d+) kB/gm),
    privateBytes: sum(/^Private_(?:Clean|Dirty): +(\d+) kB/gm),
  };
}

async function timesOf(pid: number) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return parseTimes(stat);
}

/** Memory of the process `pid` alone; nothing where it does not live. */
export async function memoryOfOne(pid: number): Promise<MemoryUse> {
  return parseMemory(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => ''));
}
