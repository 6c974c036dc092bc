import type { HealthAnswer } from './answers.ts';
import { formatDuration, printable, printableLines } from './format-values.ts';
import { renderTable } from './render-table.ts';

const verdicts: Readonly<Record<string, string>> = {
  unknown: 'no trial ran in this boot',
  running: 'the checks of the trial are running',
  passed: 'the trial passed',
  failed: 'the trial failed',
};

/** The checks of the trial; what a failed one said stands below them. */
export function renderHealth({ verdict, updateId, checks }: HealthAnswer): string {
  const about = updateId === undefined ? '' : ` (update ${printable(updateId)})`;
  const head = `health: ${verdicts[verdict] ?? printable(verdict)}${about}\n`;
  if (checks.length === 0) return head;
  const table = renderTable(
    ['CHECK', 'STATUS', 'REQUIRED', 'ATTEMPTS', 'TOOK'],
    checks.map(({ name, status, isRequired, attempts, durationMs }) => [
      name,
      status,
      isRequired ? 'yes' : 'no',
      String(attempts),
      formatDuration(durationMs),
    ]),
  );
  const outputs = checks
    .filter(({ status, output }) => status === 'failed' && output.trim() !== '')
    .map(({ name, output }) => `\n${printable(name)} said:\n${printableLines(output, '  | ')}\n`);
  return `${head}\n${table}${outputs.join('')}`;
}
