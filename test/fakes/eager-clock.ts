import type { Clock } from '../../agent/core/ports.ts';

/** A clock for tests over real sockets: short sleeps (backoff) end at once and move time, long ones (timeouts) never end. */
export class EagerClock implements Clock {
  readonly sleptMs: number[] = [];
  readonly #longestMs: number;
  #elapsedMs = 0;

  /** Sleeps longer than `longestMs` last until they are aborted. */
  constructor(longestMs = 20_000) {
    this.#longestMs = longestMs;
  }

  nowMs(): number {
    return 1_750_000_000_000 + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Moves time; sleepers are not woken. */
  pass(durationMs: number): void {
    this.#elapsedMs += durationMs;
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (durationMs <= this.#longestMs) {
      this.sleptMs.push(durationMs);
      this.#elapsedMs += durationMs;
      return;
    }
    await new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
}
