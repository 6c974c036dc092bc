import type { Clock } from '../core/ports.ts';

/**
 * Tells when somebody has waited longer than `timeoutMs` for `leastBytes`: a server that gives a byte now and then must
 * not keep us forever. Time in which nobody waits (a slow consumer) does not count. One sleep is under way at a time,
 * however many reads it covers.
 */
export class StallWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #leastBytes: number;
  readonly #stalled = new AbortController();
  readonly #ended = new AbortController();
  #waitingSinceMs: number | undefined;
  /** Of waits that ended since enough bytes came, and of all. */
  #waitedMs = 0;
  #totalMs = 0;
  #gotBytes = 0;

  constructor(clock: Clock, timeoutMs: number, leastBytes = 1) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#leastBytes = leastBytes;
    void this.#watch();
  }

  /** Aborted when the wait became too long. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  /** All waits that have ended. */
  get totalMs(): number {
    return this.#totalMs;
  }

  /** Waits for `promise`, and counts the wait. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.#waitingSinceMs = this.#clock.monotonicMs();
    try {
      return await promise;
    } finally {
      const waitedMs = this.#clock.monotonicMs() - this.#waitingSinceMs;
      this.#waitedMs += waitedMs;
      this.#totalMs += waitedMs;
      this.#waitingSinceMs = undefined;
    }
  }

  /** Bytes came: after enough of them a wait counts from then. */
  noteBytes(sizeBytes: number): void {
    this.#gotBytes += sizeBytes;
    if (this.#gotBytes >= this.#leastBytes) this.noteProgress();
  }

  /** Something moved: a wait that is under way counts from now. */
  noteProgress(): void {
    this.#gotBytes = 0;
    this.#waitedMs = 0;
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
      remainingMs = (this.#waitingSinceMs ?? nowMs) + this.#timeoutMs - this.#waitedMs - nowMs;
    }
    this.#stalled.abort();
  }
}
