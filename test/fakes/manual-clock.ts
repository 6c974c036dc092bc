import type { Clock } from '../../agent/core/ports.ts';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until it is advanced. Sleepers wake in the order of their due times. */
export class ManualClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  #sleepers: readonly Sleeper[] = [];
  #woken = 0;

  constructor(nowMs = 1_750_000_000_000) {
    this.#nowMs = nowMs;
  }

  /** How many sleeps have not ended. */
  get sleeperCount(): number {
    return this.#sleepers.length;
  }

  /** How many sleeps came to their end. */
  get wokenCount(): number {
    return this.#woken;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal.reason as Error);
      };
      const sleeper: Sleeper = {
        dueMs: this.#monotonicMs + Math.max(0, durationMs),
        wake: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#sleepers = [...this.#sleepers, sleeper];
    });
  }

  /** Moves both clocks on, from one due sleeper to the next, and lets what woke run before it goes on. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#monotonicMs + durationMs;
    await settle();
    for (;;) {
      const due = this.#sleepers.filter(({ dueMs }) => dueMs <= endMs).sort((one, other) => one.dueMs - other.dueMs)[0];
      if (due === undefined) break;
      this.#sleepers = this.#sleepers.filter((other) => other !== due);
      this.#moveTo(Math.max(due.dueMs, this.#monotonicMs));
      this.#woken += 1;
      due.wake();
      await settle();
    }
    this.#moveTo(endMs);
  }

  /** Sets the wall clock alone, as NTP does. */
  setWall(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** A reboot: the monotonic clock starts again, and the sleepers of the boot before never wake. */
  reboot(): void {
    this.#sleepers = [];
    this.#monotonicMs = 0;
  }

  #moveTo(monotonicMs: number): void {
    this.#nowMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

/** Lets promise chains, and callbacks that are ready, run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
