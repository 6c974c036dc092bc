import type { Clock } from '../core/ports.ts';
import type { Phase } from '../core/update-state.ts';

/** What the runner does: it rests until something happens, waits for a time, or performs the effect of a phase. */
export type Work = 'resting' | 'waiting' | Phase;

const minuteMs = 60_000;

/** The longest that each may take without a sign of life; far above what its own limits allow. */
const limitsMs = {
  idle: 10 * minuteMs,
  resting: 150 * minuteMs,
  waiting: 10 * minuteMs,
  preparing: 60 * minuteMs,
  // Each progress is a sign. Without one the writer reads what the slots hold, or what it wrote.
  writing: 60 * minuteMs,
  staged: 10 * minuteMs,
  activating: 10 * minuteMs,
  activated: 10 * minuteMs,
  // Its deadline is at most 12 min, and the guard ends what is longer.
  trial: 20 * minuteMs,
  committing: 10 * minuteMs,
  cancelling: 10 * minuteMs,
  'rolling-back': 10 * minuteMs,
} as const satisfies Record<Work, number>;

/** Whether the runner makes headway, for systemd's watchdog: an agent whose loop turns and whose runner is stuck is not alive. */
export class Pulse {
  readonly #clock: Clock;
  #work: Work = 'waiting';
  #atMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#atMs = clock.monotonicMs();
  }

  /** The runner begins `work`, or goes on with it. */
  beat(work: Work): void {
    this.#work = work;
    this.#atMs = this.#clock.monotonicMs();
  }

  isAlive(): boolean {
    return this.#clock.monotonicMs() - this.#atMs <= limitsMs[this.#work];
  }
}
