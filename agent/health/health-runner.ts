import type { Baseline, BaselineCheck } from '../core/baseline.ts';
import type { CheckProgress, CheckResult, Clock, HealthChecks } from '../core/ports.ts';
import { attemptWithin, sleepUnless } from './attempt.ts';
import { CheckRun, type RunShared } from './check-run.ts';
import type { CheckAttempt, ScheduledCheck } from './health-check.ts';
import { Turnstile } from './turnstile.ts';

const attemptsAtOnce = 8;
const baselineAttempts = 3;
const baselineIntervalMs = 5000;
const baselineLimitMs = 120_000;
/** A failure that ends by itself in this time is none. */
const watchDeadlineMs = 120_000;
/** Short, as it comes between the verdict and the commit, or the reboot back. */
const concludeLimitMs = 30_000;

/** Something that the node has to do once the verdict is known; ends soon after `signal` is aborted. */
export type AfterVerdict = (isPassed: boolean, signal: AbortSignal) => Promise<void>;

/**
 * Runs all checks side by side, each in its order until it passes, its retries are used up, or the deadline comes. Once
 * every check that counts passed, or one of them failed for good, the others end with the attempt that runs: an advisory
 * check holds the verdict up for one attempt at most.
 */
export class HealthRunner implements HealthChecks {
  readonly #checks: readonly ScheduledCheck[];
  readonly #clock: Clock;
  readonly #extensionMs: number;
  readonly #afterVerdict: readonly AfterVerdict[];

  /** `extensionMs`: so much longer than the deadline a check may take that says that it still works. */
  constructor(
    checks: readonly ScheduledCheck[],
    clock: Clock,
    extensionMs: number,
    afterVerdict: readonly AfterVerdict[] = [],
  ) {
    this.#checks = checks;
    this.#clock = clock;
    this.#extensionMs = extensionMs;
    this.#afterVerdict = afterVerdict;
  }

  /** Rejects only with the reason of `signal`. */
  async run(
    deadlineMs: number,
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]> {
    return this.#runAll(this.#checks, deadlineMs, onProgress, signal, baseline);
  }

  async watch(
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]> {
    // Start delays are for a boot; what counts only where it passed before the update tells nothing of a slot that passed.
    const watched = this.#checks
      .filter(({ baseline: rule }) => rule !== 'prove')
      .map((scheduled) => ({ ...scheduled, startDelayMs: 0, retries: undefined }));
    return this.#runAll(watched, watchDeadlineMs, onProgress, signal, baseline);
  }

  async #runAll(
    checks: readonly ScheduledCheck[],
    deadlineMs: number,
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline: Baseline | undefined,
  ): Promise<readonly CheckResult[]> {
    const endMs = this.#clock.monotonicMs() + deadlineMs;
    const settling = new AbortController();
    const runs = new Map<string, CheckRun>();
    const shared: RunShared = {
      clock: this.#clock,
      endMs,
      hardEndMs: endMs + this.#extensionMs,
      baseline,
      turnstile: new Turnstile(attemptsAtOnce),
      signal,
      settled: settling.signal,
      onProgress,
      comesTo: (name) => runs.get(name)?.standing,
    };
    for (const scheduled of checks) runs.set(scheduled.check.name, new CheckRun(scheduled, shared));
    let countedLeft = [...runs.values()].filter(({ isCounted }) => isCounted).length;
    if (countedLeft === 0) settling.abort();
    const results = await Promise.all(
      [...runs.values()].map(async (run) => {
        const result = await run.run();
        if (run.isCounted) {
          countedLeft -= 1;
          if (countedLeft === 0 || (result.status === 'failed' && result.excuse === undefined)) settling.abort();
        }
        return result;
      }),
    );
    signal.throwIfAborted();
    return results;
  }

  async conclude(isPassed: boolean, signal: AbortSignal): Promise<void> {
    const end = new AbortController();
    const ending = AbortSignal.any([signal, end.signal]);
    const done = Promise.all(this.#afterVerdict.map(async (act) => act(isPassed, ending))).catch(() => undefined);
    await Promise.race([done, sleepUnless(this.#clock, concludeLimitMs, ending)]);
    end.abort();
  }

  async takeBaseline(signal: AbortSignal): Promise<readonly BaselineCheck[]> {
    const endMs = this.#clock.monotonicMs() + baselineLimitMs;
    const turnstile = new Turnstile(attemptsAtOnce);
    const compared = this.#checks.filter(({ baseline }) => baseline !== 'none');
    const taken = await Promise.all(compared.map((scheduled) => this.#tryBefore(scheduled, endMs, turnstile, signal)));
    return taken.filter((found) => found !== undefined);
  }

  /** What a check says before an update; one failed attempt may be chance. `undefined`: it never had its turn. */
  async #tryBefore(
    { check, timeoutMs, intervalMs }: ScheduledCheck,
    endMs: number,
    turnstile: Turnstile,
    signal: AbortSignal,
  ): Promise<BaselineCheck | undefined> {
    const waitMs = Math.min(intervalMs, baselineIntervalMs);
    let last: CheckAttempt | undefined;
    for (let count = 1; count <= baselineAttempts; count += 1) {
      const attempt = await turnstile.pass(async () => {
        const limitMs = Math.min(timeoutMs + (check.leadMs ?? 0), endMs - this.#clock.monotonicMs());
        return limitMs <= 0 ? undefined : attemptWithin(this.#clock, check, limitMs, signal);
      });
      if (signal.aborted || attempt === undefined) break;
      last = attempt;
      if (attempt.isPassed || endMs - this.#clock.monotonicMs() <= waitMs) break;
      if (count < baselineAttempts && !(await sleepUnless(this.#clock, waitMs, signal))) break;
    }
    if (last === undefined) return undefined;
    const { isPassed, faults } = last;
    return { name: check.name, isPassed, ...(faults === undefined ? {} : { faults }) };
  }
}
