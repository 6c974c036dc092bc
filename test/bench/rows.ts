/** What the numbers of a row are. */
export type Unit =
  /** ours over theirs, round by round */
  'ratio' | '%' | 'MiB' | 'ms' | 's';

/** What is run together, as its rows come from the same runs. */
export type RowGroup = 'install' | 'status' | 'memory' | 'idle' | 'delta' | 'again' | 'kill' | 'link';

/** One line of the table. */
export interface BenchRow {
  readonly name: string;
  readonly group: RowGroup;
  readonly unit: Unit;
  /** The most that its median may be; rows without one are only reported. */
  readonly goal?: number;
}

/** All rows, in the order of the table. The README says what each is. */
export const benchRows = [
  { name: 'install', group: 'install', unit: 'ratio', goal: 0.9 },
  { name: 'install-read-back', group: 'install', unit: 'ratio', goal: 1.2 },
  { name: 'install-cpu', group: 'install', unit: 'ratio', goal: 1 },
  { name: 'install-swupdate', group: 'install', unit: 'ratio', goal: 0.5 },
  { name: 'install-rauc', group: 'install', unit: 'ratio', goal: 0.3 },
  { name: 'install-mender', group: 'install', unit: 'ratio', goal: 0.3 },
  { name: 'first-byte', group: 'install', unit: 'ms' },
  { name: 'page-cache', group: 'install', unit: 'MiB', goal: 16 },
  { name: 'status-p99', group: 'status', unit: 'ms', goal: 25 },
  { name: 'memory', group: 'memory', unit: 'MiB', goal: 180 },
  { name: 'memory-growth', group: 'memory', unit: 'ratio', goal: 1.1 },
  { name: 'idle-rss', group: 'idle', unit: 'MiB', goal: 75 },
  { name: 'idle-private', group: 'idle', unit: 'MiB', goal: 25 },
  { name: 'idle-cpu', group: 'idle', unit: '%', goal: 0.1 },
  { name: 'delta-small-index', group: 'delta', unit: '%', goal: 5 },
  { name: 'delta-small-patch', group: 'delta', unit: '%', goal: 1 },
  { name: 'delta-small-rauc', group: 'delta', unit: 'ratio', goal: 1 },
  { name: 'delta-small-casync', group: 'delta', unit: 'ratio', goal: 1.3 },
  { name: 'delta-kernel-index', group: 'delta', unit: '%', goal: 50 },
  { name: 'delta-kernel-patch', group: 'delta', unit: '%', goal: 35 },
  { name: 'delta-kernel-rauc', group: 'delta', unit: 'ratio', goal: 1 },
  { name: 'delta-kernel-casync', group: 'delta', unit: 'ratio', goal: 1 },
  { name: 'same-image', group: 'again', unit: '%', goal: 0.1 },
  { name: 'same-image-time', group: 'again', unit: 'ratio' },
  { name: 'kill-at-90', group: 'kill', unit: '%', goal: 12 },
  { name: 'cut-every-5mb', group: 'link', unit: 'ratio' },
  { name: 'latency-500ms', group: 'link', unit: 'ratio' },
] as const satisfies readonly BenchRow[];

export type RowName = (typeof benchRows)[number]['name'];

/** What came of a row. */
export type RowResult =
  | {
      readonly outcome: 'measured';
      /** One number a round. */
      readonly rounds: readonly number[];
      /** What belongs to the number: the two sides of a ratio, bytes, times. */
      readonly note: string;
    }
  | { readonly outcome: 'not-run'; readonly reason: string };

/** The results of a group; a row that it owes and does not have is an error of the bench. */
export type GroupResults = Partial<Record<RowName, RowResult>>;

/** A result of numbers, one a round. */
export function measured(rounds: readonly number[], note: string): RowResult {
  return { outcome: 'measured', rounds, note };
}

/** A row that could not be run, and why. */
export function notRun(reason: string): RowResult {
  return { outcome: 'not-run', reason };
}
