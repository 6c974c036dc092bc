import { type ErrorCode, type ErrorRow, errorTable } from '../core/errors.ts';
import { exitCodeMeanings } from './exit-codes.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** What a code means, as it is shown. */
export interface Explanation {
  readonly code: ErrorCode;
  readonly title: string;
  readonly meaning: string;
  readonly fix: string;
  readonly exitCode: number;
  readonly httpStatus: number;
  readonly isRetryable: boolean;
}

/** What `code` means to who asks kaon for something. */
export function explanationOf(code: ErrorCode): Explanation {
  const { title, fix, exitCode, httpStatus, isRetryable }: ErrorRow = errorTable[code];
  const later =
    exitCode === 0
      ? 'This is no failure.'
      : isRetryable
        ? 'The same request may succeed later, without anybody changing anything.'
        : 'The same request fails again until something is changed.';
  return { code, title, meaning: `${title}. ${later}`, fix, exitCode, httpStatus, isRetryable };
}

/** One code in full. */
export function renderExplanation(explanation: Explanation): string {
  const { code, title, meaning, fix, exitCode, httpStatus, isRetryable } = explanation;
  const exitMeaning = exitCodeMeanings[exitCode];
  return `${title}\n\n${renderPairs([
    ['code', code],
    ['meaning', meaning],
    ['fix', fix],
    ['exit code', `${exitCode}${exitMeaning === undefined ? '' : ` (${exitMeaning})`}`],
    ['HTTP status', String(httpStatus)],
    ['retryable', isRetryable ? 'yes' : 'no'],
  ])}`;
}

/** All codes, and what the exit codes say. */
export function renderExplanations(explanations: readonly Explanation[]): string {
  const codes = renderTable(
    ['CODE', 'EXIT', 'HTTP', 'RETRY', 'TITLE'],
    explanations.map(({ code, exitCode, httpStatus, isRetryable, title }) => [
      code,
      String(exitCode),
      String(httpStatus),
      isRetryable ? 'yes' : 'no',
      title,
    ]),
  );
  const exits = renderTable(['EXIT', 'MEANING'], Object.entries(exitCodeMeanings));
  return `${codes}\n${exits}`;
}
