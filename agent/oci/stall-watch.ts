import type { Clock } from '../core/ports.ts';

/**
 * Tells when somebody has waited longer than `timeoutMs` for bytes. Time in which nobody waits (a slow consumer) does
 * not count. One sleep is under way at a time, however many reads it covers.
 */
export class StallWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #stalled = new AbortController();
  readonly #ended = new AbortController();
  #waitingSinceMs: number | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    void this.#watch();
  }

  /** Aborted when the wait became too long. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  /** Waits for `promise`, and counts the wait. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.#waitingSinceMs = this.#clock.monotonicMs();
    try {
      return await promise;
    } finally {
      this.#waitingSinceMs = undefined;
    }
  }

  /** Something moved: a wait that is under way counts from now. */
  noteProgress(): void {
    if (this.#waitingSinceMs !== undefined) this.#waitingSinceMs = this.#clock.monotonicMs();
  }

  /** Ends the watch; nothing is aborted any more. */
  end(): void {
    this.#ended.abort();
  }

  async #watch(): Promise<void> {
    let remainingMs = this.#timeoutMs;
    while (remainingMs > 0) {
      const isAwake = await this.#clock.sleep(remainingMs, this.#ended.signal).then(
        () => true,
        // Only our own end rejects a sleep.
        () => false,
      );
      if (!isAwake) return;
      const nowMs = this.#clock.monotonicMs();
      remainingMs = (this.#waitingSinceMs ?? nowMs) + this.#timeoutMs - nowMs;
    }
    this.#stalled.abort();
  }
}
