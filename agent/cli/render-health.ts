import type { HealthAnswer } from './answers.ts';
import { formatDuration, formatTime, printable, printableLines } from './format-values.ts';
import { renderTable } from './render-table.ts';

type CheckAnswer = HealthAnswer['checks'][number];

const verdicts: Readonly<Record<string, string>> = {
  unknown: 'no trial ran in this boot',
  running: 'the checks of the trial are running',
  passed: 'the trial passed',
  failed: 'the trial failed',
};

/** The checks of the trial; what those said and wait for that did not pass stands below them. */
export function renderHealth({ verdict, updateId, checks }: HealthAnswer): string {
  const about = updateId === undefined ? '' : ` (update ${printable(updateId)})`;
  // After a restart of the agent only a probation runs checks without a trial.
  const isWatched = verdict === 'unknown' && checks.length > 0;
  const said = isWatched ? 'the checks of the probation go on' : (verdicts[verdict] ?? printable(verdict));
  const head = `health: ${said}${about}\n`;
  if (checks.length === 0) return head;
  const table = renderTable(
    ['CHECK', 'STATUS', 'SINCE', 'REQUIRED', 'ATTEMPTS', 'TOOK'],
    checks.map(({ name, status, sinceAt, isRequired, attempts, durationMs }) => [
      name,
      status,
      sinceAt === undefined ? '' : formatTime(sinceAt),
      isRequired ? 'yes' : 'no',
      String(attempts),
      formatDuration(durationMs),
    ]),
  );
  return `${head}\n${table}${checks.map(detailOf).join('')}`;
}

function detailOf(check: CheckAnswer): string {
  const { name, status, output, waitsFor, excuse } = check;
  if (status === 'passed') return '';
  const lines = [
    ...(waitsFor === undefined ? [] : [`${printable(name)} waits for ${printable(waitsFor)}\n`]),
    ...(excuse === undefined ? [] : [`${printable(name)} does not count: ${printable(excuse)}\n`]),
    ...(output.trim() === '' ? [] : [`${printable(name)} said:\n${printableLines(output, '  | ')}\n`]),
  ];
  return lines.length === 0 ? '' : `\n${lines.join('')}`;
}
