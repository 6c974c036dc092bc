import { type BenchRow, benchRows, type GroupResults, type RowName, type RowResult, type Unit } from './rows.ts';
import { median } from './statistics.ts';

/** What the numbers hold for. */
export interface Surroundings {
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationSeconds: number;
  readonly machine: string;
  readonly sizeBytes: number;
  readonly rounds: number;
  /** Whether the agent ran from `dist`, as on a node, or from its sources. */
  readonly isBuilt: boolean;
  /** The one-minute load average when it began: what ran beside it shares the cores. */
  readonly loadBefore: number;
  /** Version by program. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A row of the table or of the JSON. */
export interface Line {
  readonly row: RowName;
  readonly unit: Unit;
  readonly outcome: 'measured' | 'not-run';
  readonly goal?: number;
  readonly median?: number;
  readonly isMet?: boolean;
  readonly rounds?: readonly number[];
  /** What belongs to the number, or why there is none. */
  readonly note: string;
}

/** One line a row that has a result, in the order of the table. */
export function linesOf(results: GroupResults): readonly Line[] {
  return benchRows.flatMap((row) => {
    const result = results[row.name];
    return result === undefined ? [] : [lineOf(row, result)];
  });
}

function lineOf(row: BenchRow & { readonly name: RowName }, result: RowResult): Line {
  const { name, unit, goal } = row;
  const head = { row: name, unit, ...(goal === undefined ? {} : { goal }) };
  if (result.outcome === 'not-run') return { ...head, outcome: 'not-run', note: result.reason };
  const value = median(result.rounds);
  const verdict = goal === undefined ? {} : { isMet: value <= goal };
  return { ...head, outcome: 'measured', median: value, ...verdict, rounds: result.rounds, note: result.note };
}

/** The table for a terminal, and under it what it holds for. */
export function renderTable(lines: readonly Line[], surroundings: Surroundings): string {
  const cells = lines.map((line) => [
    line.row,
    line.median === undefined ? 'not run' : withUnit(line.median, line.unit),
    line.goal === undefined ? '' : `≤ ${withUnit(line.goal, line.unit)}`,
    line.isMet === undefined ? '' : line.isMet ? 'met' : 'MISSED',
    spread(line),
    line.note,
  ]);
  const all = [['row', 'median', 'goal', '', 'rounds', 'what'], ...cells];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const table = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${table.join('\n')}\n\n${renderSurroundings(surroundings)}`;
}

function renderSurroundings(surroundings: Surroundings): string {
  const { startedAt, durationSeconds, machine, sizeBytes, rounds, isBuilt, loadBefore, versions } = surroundings;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${startedAt}, ${Math.round(durationSeconds)} s; ${machine}; load ${loadBefore.toFixed(2)} when it began`,
    `image ${formatMiB(sizeBytes)}, ${rounds} rounds, the agent from ${isBuilt ? 'dist' : 'its sources'}`,
    programs.join(', '),
    '',
  ].join('\n');
}

function spread({ rounds, unit }: Line): string {
  if (rounds === undefined) return '';
  if (rounds.length === 1) return '1';
  return `${rounds.length}: ${formatNumber(Math.min(...rounds), unit)}–${formatNumber(Math.max(...rounds), unit)}`;
}

function withUnit(value: number, unit: Unit): string {
  return unit === 'ratio' ? formatNumber(value, unit) : `${formatNumber(value, unit)} ${unit}`;
}

function formatNumber(value: number, unit: Unit): string {
  if (unit === 'ratio' || unit === '%') return value.toFixed(2);
  return unit === 's' ? value.toFixed(2) : value.toFixed(1);
}

/** What an error says, for one cell: its first and its last line, as far as they fit. */
export function shortReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const [first = '', last = ''] = [lines[0], lines.length > 1 ? lines.at(-1) : ''];
  return [first.slice(0, 100), last.slice(-160)].filter((part) => part !== '').join(' … ');
}

/** Seconds for a note. */
export function formatSeconds(seconds: number): string {
  return `${seconds.toFixed(2)} s`;
}

/** Bytes for a note. */
export function formatMiB(bytes: number): string {
  const mebibytes = bytes / 1024 / 1024;
  return `${mebibytes < 100 ? mebibytes.toFixed(1) : mebibytes.toFixed(0)} MiB`;
}
