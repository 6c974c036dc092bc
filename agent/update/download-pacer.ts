import type { RateLimitView } from '../core/control.ts';
import type { Clock } from '../core/ports.ts';
import type { FactsKeeper } from './facts-keeper.ts';

/** So much may come at once after a pause: a tenth of a second's worth. */
const burstSeconds = 0.1;
/** A wait is looked at again after this time, as the limit may have changed. */
const waitMs = 1000;

/** Holds downloads to the configured rate, or to the one that an operator said in its place. */
export class DownloadPacer {
  readonly #configured: number | undefined;
  readonly #facts: FactsKeeper;
  readonly #clock: Clock;
  /** Bytes that came and whose time has not passed yet; below 0: what may come at once. */
  #owedBytes = 0;
  #seenMs: number;

  constructor(configured: number | undefined, facts: FactsKeeper, clock: Clock) {
    this.#configured = configured;
    this.#facts = facts;
    this.#clock = clock;
    this.#seenMs = clock.monotonicMs();
  }

  /** The rate that holds now, and whose word it is. */
  get limit(): RateLimitView {
    const { downloadRate } = this.#facts.data;
    return downloadRate === undefined
      ? { bytesPerSecond: this.#configured ?? null, by: 'configuration' }
      : { bytesPerSecond: downloadRate.bytesPerSecond, by: 'operator' };
  }

  /** Resolves when the time of `sizeBytes` that came has passed. Rejects with the signal's reason. */
  async pace(sizeBytes: number, signal: AbortSignal): Promise<void> {
    this.#settle();
    this.#owedBytes += sizeBytes;
    for (let rate = this.#settle(); rate !== null && this.#owedBytes > 0; rate = this.#settle()) {
      await this.#clock.sleep(Math.min(waitMs, Math.ceil((this.#owedBytes / rate) * 1000)), signal);
    }
  }

  /** Takes the time that passed off what is owed; the rate of now, `null` where there is none. */
  #settle(): number | null {
    const { bytesPerSecond } = this.limit;
    const nowMs = this.#clock.monotonicMs();
    const passedSeconds = (nowMs - this.#seenMs) / 1000;
    this.#seenMs = nowMs;
    this.#owedBytes =
      bytesPerSecond === null
        ? 0
        : Math.max(-bytesPerSecond * burstSeconds, this.#owedBytes - passedSeconds * bytesPerSecond);
    return bytesPerSecond;
  }
}
