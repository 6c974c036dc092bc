import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, NodeBoot, SlotService } from '../core/ports.ts';

const maxAgeMs = 5_000;

/** The loader's truth for the status: read again after each change and after five seconds, one reader at a time. */
export class NodeReader {
  readonly #slots: SlotService;
  readonly #clock: Clock;
  #latest:
    { readonly node: NodeBoot | undefined; readonly fault: ErrorReport | undefined; readonly atMs: number } | undefined;
  #reading: Promise<void> | undefined;

  constructor(slots: SlotService, clock: Clock) {
    this.#slots = slots;
    this.#clock = clock;
  }

  /** The node as it is now, or why it can't be read. Never rejects. */
  async read(): Promise<{ readonly node: NodeBoot | undefined; readonly fault: ErrorReport | undefined }> {
    if (this.#latest === undefined || this.#clock.monotonicMs() - this.#latest.atMs > maxAgeMs) {
      this.#reading ??= this.#readNow();
      await this.#reading;
    }
    return this.#latest ?? { node: undefined, fault: undefined };
  }

  /** What was read may be out of date. */
  invalidate(): void {
    this.#latest = undefined;
  }

  async #readNow(): Promise<void> {
    try {
      const node = await this.#slots.readNode();
      this.#latest = { node, fault: undefined, atMs: this.#clock.monotonicMs() };
    } catch (error) {
      this.#latest = { node: undefined, fault: reportOf(error), atMs: this.#clock.monotonicMs() };
    } finally {
      this.#reading = undefined;
    }
  }
}
