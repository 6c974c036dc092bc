import { errorTable, isErrorCode, reportOf } from '../core/errors.ts';

/** What each exit code of kaonctl says, by sysexits where one fits. */
export const exitCodeMeanings: Readonly<Record<number, string>> = {
  0: 'done, or already running',
  1: 'it was done and ended badly, or a check failed',
  64: 'the command line or the request is wrong',
  65: 'refused for good: the same request stays refused',
  66: 'what was named does not exist',
  69: 'something does not answer',
  70: 'a bug',
  71: 'the system refused',
  74: 'reading or writing failed',
  75: 'try again later',
  76: 'the other side breaks the protocol',
  77: 'not allowed',
  78: 'the configuration or the state cannot be used',
  130: 'Ctrl-C; what the daemon does goes on',
};

/** Exit code of a command that Ctrl-C ended. */
export const interruptedExitCode = 130;

/** The exit code of an error code; a code of a newer agent counts as a plain failure. */
export function exitCodeOf(code: string | undefined): number {
  return isErrorCode(code) ? errorTable[code].exitCode : 1;
}

/** What a command failed with; unlike an `AgentError` it may have a code of a newer agent, and a fix that fits better. */
export class CliError extends Error {
  readonly code: string;
  readonly fix: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    options: { fix?: string | undefined; details?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'CliError';
    this.code = code;
    this.fix = options.fix;
    this.details = options.details ?? {};
  }
}

/** A failure as it is shown. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly exitCode: number;
}

/** What is shown of any thrown value; what carries no code of ours is `internal`. */
export function failureOf(error: unknown): Failure {
  const report = error instanceof CliError ? error : reportOf(error);
  const { code, message } = report;
  const fix = error instanceof CliError ? error.fix : undefined;
  return {
    code,
    message,
    fix: fix ?? (isErrorCode(code) ? errorTable[code].fix : 'Use the kaonctl of the version that kaond has.'),
    details: detailsOf(error),
    exitCode: exitCodeOf(code),
  };
}

function detailsOf(error: unknown): Readonly<Record<string, unknown>> {
  const details: unknown = error instanceof Error && 'details' in error ? error.details : undefined;
  return typeof details === 'object' && details !== null ? (details as Readonly<Record<string, unknown>>) : {};
}
