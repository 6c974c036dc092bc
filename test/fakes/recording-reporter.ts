import type { EventRecord, Reporter, WriteProgress } from '../../agent/core/ports.ts';
import type { UpdateRequest } from '../../agent/core/update-state.ts';

/** A reporter that keeps what it hears. */
export class RecordingReporter implements Reporter {
  readonly events: Omit<EventRecord, 'sequence'>[] = [];
  readonly progresses: { readonly update: UpdateRequest; readonly progress: WriteProgress }[] = [];

  /** The kinds of all events, in order. */
  get kinds(): readonly string[] {
    return this.events.map(({ kind }) => kind);
  }

  report(event: Omit<EventRecord, 'sequence'>): void {
    this.events.push(event);
  }

  progress(update: UpdateRequest, progress: WriteProgress): void {
    this.progresses.push({ update, progress });
  }
}
