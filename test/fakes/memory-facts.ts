import { decodeFacts, encodeFacts } from '../../agent/store/facts-codec.ts';
import { emptyFacts, type FactsData } from '../../agent/core/facts.ts';
import type { Facts } from '../../agent/core/ports.ts';

/**
 * Facts in memory that outlive the agents that use them. `beforeStep` is called with `facts-save` before the one durable
 * step of a save, and may throw to cut the power there: the facts then stay as they were.
 */
export class MemoryFacts implements Facts {
  readonly #beforeStep: (name: string) => void;
  #stored: Uint8Array | undefined;
  #isLost = false;

  constructor(beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
  }

  /** Both copies are damaged. */
  lose(): void {
    if (this.#stored === undefined) return;
    this.#stored = undefined;
    this.#isLost = true;
  }

  async load(): Promise<{ readonly data: FactsData; readonly isLost: boolean }> {
    const copy = this.#stored && decodeFacts(this.#stored);
    return copy?.kind === 'sound' ? { data: copy.data, isLost: false } : { data: emptyFacts, isLost: this.#isLost };
  }

  async save(data: FactsData): Promise<void> {
    this.#beforeStep('facts-save');
    this.#stored = encodeFacts(data, 1n);
    this.#isLost = false;
  }
}
