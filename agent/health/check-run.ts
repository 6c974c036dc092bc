import { type Baseline, excuseOf, newFaults } from '../core/baseline.ts';
import type { CheckProgress, CheckResult, Clock } from '../core/ports.ts';
import { attemptWithin, lateAttempt, sleepUnless } from './attempt.ts';
import { CheckReport } from './check-progress.ts';
import type { CheckAttempt, ScheduledCheck } from './health-check.ts';
import type { Turnstile } from './turnstile.ts';

/** What the checks of one run share. */
export interface RunShared {
  readonly clock: Clock;
  /** On the monotonic clock. */
  readonly endMs: number;
  /** Until then a check may take that says that it still works. */
  readonly hardEndMs: number;
  readonly baseline: Baseline | undefined;
  readonly turnstile: Turnstile;
  /** The run is given up. */
  readonly signal: AbortSignal;
  /** What the checks come to is clear: no check is tried again. */
  readonly settled: AbortSignal;
  readonly onProgress: (progress: CheckProgress) => void;
  /** What the check of that name comes to; `undefined` where there is none. */
  readonly comesTo: (name: string) => Promise<Standing> | undefined;
}

/** What those that come after a check go by. `excused`: it fails, as it did before the update. */
export type Standing = 'passed' | 'failed' | 'skipped' | 'excused';

/** So many failures in a row that do not count are enough: the verdict need not wait for them until the deadline. */
const unclearAttempts = 3;

const skippedText = 'what the checks come to was clear before its turn';
const lateText = 'the deadline came before this check had its turn';

/** One check of a run, to its end. */
export class CheckRun {
  readonly #scheduled: ScheduledCheck;
  readonly #shared: RunShared;
  readonly #report: CheckReport;
  readonly #stands = Promise.withResolvers<Standing>();
  /** Why a failure of it does not count. */
  readonly #excuse: string | undefined;
  #passesInARow = 0;
  #failures = 0;
  #isWorking = false;
  #unclear = 0;

  constructor(scheduled: ScheduledCheck, shared: RunShared) {
    const { check, baseline: rule } = scheduled;
    this.#scheduled = scheduled;
    this.#shared = shared;
    this.#excuse = excuseOf(rule, check.name, shared.baseline);
    this.#report = new CheckReport(scheduled, shared.clock, shared.onProgress);
    this.#report.excuse = this.#excuse;
  }

  /** Whether the verdict waits for it. */
  get isCounted(): boolean {
    return this.#scheduled.check.isRequired && this.#excuse === undefined;
  }

  /** What those go by that come after it. Settles before `run` where its failure is excused. */
  get standing(): Promise<Standing> {
    return this.#stands.promise;
  }

  async run(): Promise<CheckResult> {
    const result = (await this.#waitForTurn()) ?? (await this.#tryUntilDone());
    this.#stands.resolve(result.status === 'failed' && result.excuse !== undefined ? 'excused' : result.status);
    return result;
  }

  async #waitForTurn(): Promise<CheckResult | undefined> {
    const { after, startDelayMs } = this.#scheduled;
    for (const name of after) {
      const standing = this.#shared.comesTo(name);
      if (standing === undefined) continue;
      this.#report.wait('waiting', `check ${name}`);
      const found = await standing;
      if (found === 'failed')
        return this.#report.end('failed', `it was not tried: it comes after ${name}, which failed`);
      if (found === 'skipped') return this.#report.end('skipped', skippedText);
    }
    if (startDelayMs === 0) return undefined;
    this.#report.wait('waiting', `its start delay of ${seconds(startDelayMs)}`);
    const delayMs = Math.min(startDelayMs, this.#leftMs());
    if (!(await this.#sleep(delayMs))) return this.#report.end('skipped', skippedText);
    return delayMs < startDelayMs ? this.#report.end('failed', lateText) : undefined;
  }

  async #tryUntilDone(): Promise<CheckResult> {
    const { intervalMs, timeoutMs } = this.#scheduled;
    for (;;) {
      this.#report.wait('trying', `the answer of attempt ${this.#report.attempts + 1}, at most ${seconds(timeoutMs)}`);
      const attempt = await this.#shared.turnstile.pass(() => this.#attempt());
      this.#report.attempts += 1;
      const isWell = this.#take(attempt);
      const done = this.#doneAfter(isWell);
      if (done !== undefined) return done;
      this.#report.wait('trying', this.#waitText(isWell));
      if (!(await this.#sleep(intervalMs))) return this.#endWhenSettled(isWell);
    }
  }

  /** Whether `attempt` is a pass; faults that were there before the update are none. */
  #take({ isPassed, output, isWorking, faults, excuse }: CheckAttempt): boolean {
    const { check, baseline: rule } = this.#scheduled;
    const { baseline } = this.#shared;
    const isKnown =
      !isPassed &&
      faults !== undefined &&
      faults.length > 0 &&
      newFaults(rule, check.name, faults, baseline).length === 0;
    const isWell = isPassed || isKnown;
    this.#report.output = isKnown ? `as before the update: ${output}` : output;
    this.#isWorking = !isWell && isWorking === true;
    this.#report.excuse = this.#excuse ?? excuse;
    this.#unclear = excuse === undefined ? 0 : this.#unclear + 1;
    this.#passesInARow = isWell ? this.#passesInARow + 1 : 0;
    if (!isWell && !this.#isWorking) this.#failures += 1;
    if (!isWell && this.#excuse !== undefined) this.#stands.resolve('excused');
    return isWell;
  }

  #doneAfter(isWell: boolean): CheckResult | undefined {
    const { passes, retries, intervalMs } = this.#scheduled;
    if (this.#passesInARow >= passes) return this.#report.end('passed');
    const isUsedUp = (retries !== undefined && this.#failures > retries) || this.#unclear >= unclearAttempts;
    if (this.#shared.settled.aborted) return this.#endWhenSettled(isWell);
    if (!isUsedUp && this.#leftMs() > intervalMs) return undefined;
    return this.#report.end('failed', isWell ? this.#passesText() : this.#report.output);
  }

  #endWhenSettled(isWell: boolean): CheckResult {
    return isWell ? this.#report.end('skipped', this.#passesText()) : this.#report.end('failed');
  }

  #passesText(): string {
    return `it passed ${this.#passesInARow} of ${this.#scheduled.passes} times in a row: ${this.#report.output}`;
  }

  #waitText(isWell: boolean): string {
    const { intervalMs, passes } = this.#scheduled;
    const next = `the next attempt, each ${seconds(intervalMs)}`;
    if (isWell) return `${passes - this.#passesInARow} more passes in a row; ${next}`;
    return this.#isWorking ? `what it says is still under way; ${next}` : next;
  }

  #leftMs(): number {
    const { clock, endMs, hardEndMs } = this.#shared;
    return (this.#isWorking ? hardEndMs : endMs) - clock.monotonicMs();
  }

  /** Whether the whole time went by before the run settled or was given up. */
  #sleep(durationMs: number): Promise<boolean> {
    const { clock, signal, settled } = this.#shared;
    return sleepUnless(clock, durationMs, AbortSignal.any([signal, settled]));
  }

  #attempt(): Promise<CheckAttempt> {
    const { clock, signal } = this.#shared;
    const { check, timeoutMs } = this.#scheduled;
    const limitMs = Math.min(timeoutMs + (check.leadMs ?? 0), this.#leftMs());
    if (limitMs <= 0) return Promise.resolve(lateAttempt(check, lateText));
    return attemptWithin(clock, check, limitMs, signal);
  }
}

function seconds(durationMs: number): string {
  return durationMs % 1000 === 0 ? `${durationMs / 1000} s` : `${durationMs} ms`;
}
