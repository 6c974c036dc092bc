import { emptyFacts, type FactsData } from '../core/facts.ts';
import type { Facts } from '../core/ports.ts';

const lossMark = 'isLossUnconfirmed';

/** The facts in memory, in step with their file: changes go one after the other and are durable when they resolve. */
export class FactsKeeper {
  readonly #facts: Facts;
  #data: FactsData = emptyFacts;
  #isLost = false;
  #last: Promise<void> = Promise.resolve();

  constructor(facts: Facts) {
    this.#facts = facts;
  }

  get data(): FactsData {
    return this.#data;
  }

  /** Whether both copies were lost and nobody confirmed it yet. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Reads the file. Rejects with `facts-failed`. */
  async load(): Promise<void> {
    const { data, isLost } = await this.#facts.load();
    this.#isLost = isLost || data.extra[lossMark] === true;
    // Every save from now on carries the mark: only an operator's word ends the hold, not the next write.
    this.#data = this.#isLost ? { ...data, extra: { ...data.extra, [lossMark]: true } } : data;
  }

  /** Changes the facts; nothing is written when `change` returns the same object. Rejects with `facts-failed`. */
  async change(change: (data: FactsData) => FactsData): Promise<void> {
    const turn = this.#last.then(async () => {
      const next = change(this.#data);
      if (next === this.#data) return;
      await this.#facts.save(next);
      this.#data = next;
    });
    // A failed change must not fail the next one.
    this.#last = turn.catch(() => undefined);
    await turn;
  }

  /** An operator looked at the node: the facts begin anew, and updates may go on. */
  async confirmLoss(): Promise<void> {
    await this.change((data) => {
      const { [lossMark]: _confirmed, ...extra } = data.extra;
      return { ...data, extra };
    });
    this.#isLost = false;
  }
}
