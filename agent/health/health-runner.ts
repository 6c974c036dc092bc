import type { CheckResult, Clock, HealthChecks } from '../core/ports.ts';
import { type CheckAttempt, outputLimit, type ScheduledCheck } from './health-check.ts';
import { Turnstile } from './turnstile.ts';

const attemptsAtOnce = 8;

/**
 * Runs all checks side by side, each until it passes, its retries are used up, or the deadline comes. Once every required
 * check passed, or one of them failed for good, the others end with the attempt that runs: an advisory check holds the
 * verdict up for one attempt at most. A check that ignores its time-out counts as failed and is not waited for.
 */
export class HealthRunner implements HealthChecks {
  readonly #checks: readonly ScheduledCheck[];
  readonly #clock: Clock;

  constructor(checks: readonly ScheduledCheck[], clock: Clock) {
    this.#checks = checks;
    this.#clock = clock;
  }

  /** Rejects only with the reason of `signal`. */
  async run(
    deadlineMs: number,
    onResult: (result: CheckResult) => void,
    signal: AbortSignal,
  ): Promise<readonly CheckResult[]> {
    const startMs = this.#clock.monotonicMs();
    const run = new HealthRun(this.#clock, startMs, startMs + deadlineMs, onResult, signal);
    let requiredLeft = this.#checks.filter(({ check }) => check.isRequired).length;
    const results = await Promise.all(
      this.#checks.map(async (scheduled) => {
        const result = await run.runCheck(scheduled);
        if (result.isRequired) {
          requiredLeft -= 1;
          if (requiredLeft === 0 || result.status === 'failed') run.settle();
        }
        return result;
      }),
    );
    signal.throwIfAborted();
    return results;
  }
}

/** One run of all checks against one deadline. */
class HealthRun {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #endMs: number;
  readonly #onResult: (result: CheckResult) => void;
  readonly #signal: AbortSignal;
  readonly #settled = new AbortController();
  readonly #turnstile = new Turnstile(attemptsAtOnce);

  constructor(
    clock: Clock,
    startMs: number,
    endMs: number,
    onResult: (result: CheckResult) => void,
    signal: AbortSignal,
  ) {
    this.#clock = clock;
    this.#startMs = startMs;
    this.#endMs = endMs;
    this.#onResult = onResult;
    this.#signal = signal;
  }

  /** The verdict can no longer change: no check is tried again. */
  settle(): void {
    this.#settled.abort();
  }

  async runCheck(scheduled: ScheduledCheck): Promise<CheckResult> {
    const { check, intervalMs, retries } = scheduled;
    const waitSignal = AbortSignal.any([this.#signal, this.#settled.signal]);
    for (let attempts = 1; ; attempts++) {
      const { isPassed, output } = await this.#turnstile.pass(() => this.#attempt(scheduled));
      const result: CheckResult = {
        name: check.name,
        isRequired: check.isRequired,
        status: isPassed ? 'passed' : 'failed',
        attempts,
        durationMs: this.#clock.monotonicMs() - this.#startMs,
        output: output.length > outputLimit ? output.slice(-outputLimit) : output,
      };
      this.#onResult(result);
      const isLast = retries !== undefined && attempts > retries;
      if (isPassed || isLast || waitSignal.aborted || this.#leftMs() <= intervalMs) return result;
      if (!(await this.#wait(intervalMs, waitSignal))) return result;
    }
  }

  #leftMs(): number {
    return this.#endMs - this.#clock.monotonicMs();
  }

  /** Whether the whole time went by before `signal`. */
  async #wait(durationMs: number, signal: AbortSignal): Promise<boolean> {
    return this.#clock.sleep(durationMs, signal).then(
      () => true,
      () => false,
    );
  }

  async #attempt({ check, timeoutMs }: ScheduledCheck): Promise<CheckAttempt> {
    const limitMs = Math.min(timeoutMs, this.#leftMs());
    if (limitMs <= 0) return { isPassed: false, output: 'the deadline came before this check had its turn' };
    const end = new AbortController();
    const signal = AbortSignal.any([this.#signal, end.signal]);
    const ranOut = this.#wait(limitMs, signal).then((isOver): CheckAttempt => ({
      isPassed: false,
      output: isOver ? `no answer within ${limitMs} ms` : 'the checks were ended',
    }));
    const answered = check
      .run(signal)
      .catch((error: unknown): CheckAttempt => ({ isPassed: false, output: String(error) }));
    try {
      return await Promise.race([answered, ranOut]);
    } finally {
      end.abort();
    }
  }
}
