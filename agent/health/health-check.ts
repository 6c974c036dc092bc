/** What one attempt of a check found. */
export interface CheckAttempt {
  readonly isPassed: boolean;
  /** What the check said, at most 4 KiB. */
  readonly output: string;
}

/** One kind of check, set up: it reports, the core decides. */
export interface HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  /** One attempt. It ends soon after `signal` is aborted; a failure is an answer, not a rejection. */
  run(signal: AbortSignal): Promise<CheckAttempt>;
}

/** A check and when to try it. */
export interface ScheduledCheck {
  readonly check: HealthCheck;
  /** Longest time of one attempt. */
  readonly timeoutMs: number;
  /** Wait between two attempts. */
  readonly intervalMs: number;
  /** Attempts after the first one; `undefined`: until the deadline. */
  readonly retries: number | undefined;
}

/** Runs a program with no shell. */
export interface CommandRunner {
  /**
   * Runs `argv` to its end. Aborting kills it with all that it started. `exitCode` is `undefined` when it could not be
   * started or was killed; `output` then says so. Never rejects.
   */
  run(argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome>;
}

/** How a program ended. */
export interface CommandOutcome {
  readonly exitCode: number | undefined;
  /** The last 4 KiB of what it wrote to both outputs. */
  readonly output: string;
}

/** Most characters of an output that is kept. */
export const outputLimit = 4096;
