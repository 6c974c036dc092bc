import type { CheckProgress, CheckResult, Clock } from '../core/ports.ts';
import { outputLimit, type ScheduledCheck } from './health-check.ts';

/** What one check said last, and since when it stands where it does; told to a listener as it changes. */
export class CheckReport {
  readonly #check: ScheduledCheck['check'];
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #onProgress: (progress: CheckProgress) => void;
  #status: CheckProgress['status'] | undefined;
  #sinceAtMs = 0;
  attempts = 0;
  output = '';
  /** Why a failure of it does not count. */
  excuse: string | undefined;

  constructor({ check }: ScheduledCheck, clock: Clock, onProgress: (progress: CheckProgress) => void) {
    this.#check = check;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
    this.#onProgress = onProgress;
  }

  /** It is not done: `waitsFor` says in words what it waits for. */
  wait(status: 'waiting' | 'trying', waitsFor: string): void {
    this.#tell(status, { waitsFor });
  }

  /** It is done. */
  end(status: CheckResult['status'], output = this.output): CheckResult {
    this.output = output;
    return { ...this.#tell(status, {}), status };
  }

  #tell(status: CheckProgress['status'], more: Pick<CheckProgress, 'waitsFor'>): Omit<CheckResult, 'status'> {
    if (status !== this.#status) this.#sinceAtMs = this.#clock.nowMs();
    this.#status = status;
    const { output } = this;
    const result = {
      name: this.#check.name,
      isRequired: this.#check.isRequired,
      attempts: this.attempts,
      durationMs: this.#clock.monotonicMs() - this.#startMs,
      output: output.length > outputLimit ? output.slice(-outputLimit) : output,
      ...(status === 'failed' && this.excuse !== undefined ? { excuse: this.excuse } : {}),
    };
    this.#onProgress({ ...result, status, sinceAtMs: this.#sinceAtMs, ...more });
    return result;
  }
}
