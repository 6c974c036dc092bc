import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Reporter } from '../core/ports.ts';

/**
 * Nothing happened for so long: the memory of what did is not needed soon. The first minute after a boot belongs to what
 * the node is there for: a slow processor needs four seconds for all passes.
 */
const quietMs = 60_000;
const passPauseMs = 100;

/**
 * V8 forgets the code of functions that outlived so many collections without a call. What an idle agent calls again is
 * compiled anew in a few milliseconds.
 */
const passes = 8;

/**
 * Gives memory back to the system once the agent was quiet for a minute: what its start or an update left in the heap,
 * which V8 would keep until it needs the room. `collect` is one full collection, of some 40 ms. Each event begins the
 * wait anew. Nothing goes on once `signal` is aborted.
 */
export class IdleMemory implements Reporter {
  readonly #clock: Clock;
  readonly #collect: () => void;
  readonly #signal: AbortSignal;
  #lastMs = 0;
  #isWaiting = false;

  constructor(clock: Clock, collect: () => void, signal: AbortSignal) {
    this.#clock = clock;
    this.#collect = collect;
    this.#signal = signal;
  }

  report(): void {
    this.#note();
  }

  progress(): void {
    this.#note();
  }

  #note(): void {
    this.#lastMs = this.#clock.monotonicMs();
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    // A sleep rejects when it is aborted, and for nothing else.
    this.#collectOnceQuiet().catch(() => undefined);
  }

  async #collectOnceQuiet(): Promise<void> {
    for (let done = 0; done < passes;) {
      const leftMs = this.#lastMs + quietMs - this.#clock.monotonicMs();
      if (leftMs > 0) {
        done = 0;
        await this.#clock.sleep(leftMs, this.#signal);
        continue;
      }
      this.#collect();
      done += 1;
      await this.#clock.sleep(passPauseMs, this.#signal);
    }
    this.#isWaiting = false;
  }
}

/** A full collection that gives unused pages back. */
export function fullCollection(): void {
  // V8 refuses all code that Node brings along compiled while a flag of this kind is set, as one on the command line is
  // for good: kaond's start would take a sixth longer. So it is set for as long as it takes to get at the function.
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as NodeJS.GCFunction;
  setFlagsFromString('--no-expose-gc');
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
