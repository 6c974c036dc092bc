import type { Logger } from 'pino';
import type { EventRecord, Reporter } from '../core/ports.ts';

/** Writes each event into the log. */
export class LogReporter implements Reporter {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  report({ kind, message, updateId, details }: Omit<EventRecord, 'sequence'>): void {
    this.#log.info({ event: kind, updateId, details }, message);
  }

  /** Progress is for the status; a log of it would only fill the disk. */
  progress(): void {
    return undefined;
  }
}
