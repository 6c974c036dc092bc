import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, NodeBoot, SlotService } from '../core/ports.ts';

/**
 * Whoever polls the status must not start kaon-slotd, and mount the ESP, each time. What the agent changes is read again at
 * once; only others' changes come late.
 */
const maxAgeMs = 30_000;
const maxFaultAgeMs = 5_000;

/** The loader's truth for the status: read again after each change and after half a minute, one reader at a time. */
export class NodeReader {
  readonly #slots: SlotService;
  readonly #clock: Clock;
  #latest:
    { readonly node: NodeBoot | undefined; readonly fault: ErrorReport | undefined; readonly atMs: number } | undefined;
  #reading: Promise<void> | undefined;
  #invalidations = 0;

  constructor(slots: SlotService, clock: Clock) {
    this.#slots = slots;
    this.#clock = clock;
  }

  /** The node as it is now, or why it can't be read. Never rejects. */
  async read(): Promise<{ readonly node: NodeBoot | undefined; readonly fault: ErrorReport | undefined }> {
    for (;;) {
      const latest = this.#latest;
      const limitMs = latest?.fault === undefined ? maxAgeMs : maxFaultAgeMs;
      if (latest !== undefined && this.#clock.monotonicMs() - latest.atMs <= limitMs) return latest;
      this.#reading ??= this.#readNow();
      await this.#reading;
    }
  }

  /** What was read may be out of date. */
  invalidate(): void {
    this.#latest = undefined;
    // A read under way may have seen the loader as it was before.
    this.#invalidations += 1;
  }

  async #readNow(): Promise<void> {
    const invalidations = this.#invalidations;
    const answer = await this.#slots.readNode().then(
      (node) => ({ node, fault: undefined }),
      (error: unknown) => ({ node: undefined, fault: reportOf(error) }),
    );
    this.#reading = undefined;
    if (invalidations === this.#invalidations) this.#latest = { ...answer, atMs: this.#clock.monotonicMs() };
  }
}
