import type { BaselineRule } from '../core/baseline.ts';

/** What one attempt of a check found. */
export interface CheckAttempt {
  readonly isPassed: boolean;
  /** What the check said, at most 4 KiB. */
  readonly output: string;
  /** It failed, and says that what it waits for makes progress: it may take longer than the deadline. */
  readonly isWorking?: boolean;
  /** Why a failure that stays as it is does not count, in words. */
  readonly excuse?: string;
  /** What it found wrong, by name; absent of checks that can't tell. */
  readonly faults?: readonly string[];
}

/** One kind of check, set up: it reports, the core decides. */
export interface HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  /** Why an attempt that has no answer in time does not count, in words; absent where it counts. */
  readonly lateExcuse?: string;
  /** What an attempt may take beside its time-out, for what comes before it begins; absent: nothing. */
  readonly leadMs?: number;
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
  /** Failed attempts after the first one; `undefined`: until the deadline. */
  readonly retries: number | undefined;
  /** Wait before the first attempt, once the checks that come before it passed. */
  readonly startDelayMs: number;
  /** So many passes in a row make it pass. */
  readonly passes: number;
  /** Names of checks that have to pass before it is tried; without cycles. */
  readonly after: readonly string[];
  readonly baseline: BaselineRule;
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
