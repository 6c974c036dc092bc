import type { EventRecord, Journal, Reporter, WriteProgress } from '../core/ports.ts';
import type { UpdateRequest } from '../core/update-state.ts';

/** Keeps events in the journal, tells listeners, and holds the progress and the version that the status shows. */
export class EventLog implements Reporter {
  readonly #journal: Journal;
  readonly #onFault: (error: unknown) => void;
  readonly #listeners = new Set<(event: EventRecord) => void>();
  readonly #changeListeners = new Set<() => void>();
  #version = 1;
  #progress: WriteProgress | undefined;
  #last: Promise<void> = Promise.resolve();

  /** `onFault` hears of events that could not be stored, which still reach the listeners, and of listeners that throw. */
  constructor(journal: Journal, onFault: (error: unknown) => void) {
    this.#journal = journal;
    this.#onFault = onFault;
  }

  get version(): number {
    return this.#version;
  }

  /** The progress of the write under way. */
  get progressNow(): WriteProgress | undefined {
    return this.#progress;
  }

  report(event: Omit<EventRecord, 'sequence'>): void {
    this.#progress = undefined;
    this.#last = this.#last
      .then(() => this.#journal.appendEvent(event))
      .then(
        (stored) => this.#tell(stored),
        (error: unknown) => {
          this.#onFault(error);
          this.#tell({ ...event, sequence: 0 });
        },
      );
    this.changed();
  }

  progress(_update: UpdateRequest, progress: WriteProgress): void {
    this.#progress = progress;
    this.changed();
  }

  /** Something that the status shows changed. */
  changed(): void {
    this.#version += 1;
    for (const listener of [...this.#changeListeners]) listener();
  }

  /** Resolves once every event so far is stored. */
  async flush(): Promise<void> {
    await this.#last;
  }

  /** Calls `listener` for each event from now on; returns how to stop. */
  onEvent(listener: (event: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls `listener` at each change of the version; returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  #tell(event: EventRecord): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        // One reader that throws must not cost the others, nor the history, the events that follow.
        this.#onFault(error);
      }
    }
  }
}
