import type { AgentError } from '../core/errors.ts';
import type { EventRecord, Journal, JournalSnapshot, RollbackRecord, UpdateRecord } from '../core/ports.ts';

/** The journal of an agent that has none: every verb rejects with why, so that nothing is taken for saved. */
export class UnavailableJournal implements Journal {
  readonly #reason: AgentError;

  constructor(reason: AgentError) {
    this.#reason = reason;
  }

  async load(): Promise<JournalSnapshot> {
    throw this.#reason;
  }

  async save(): Promise<void> {
    throw this.#reason;
  }

  async appendEvent(): Promise<EventRecord> {
    throw this.#reason;
  }

  async updates(): Promise<readonly UpdateRecord[]> {
    throw this.#reason;
  }

  async update(): Promise<UpdateRecord | undefined> {
    throw this.#reason;
  }

  async rollbacks(): Promise<readonly RollbackRecord[]> {
    throw this.#reason;
  }

  async rollback(): Promise<RollbackRecord | undefined> {
    throw this.#reason;
  }

  async events(): Promise<readonly EventRecord[]> {
    throw this.#reason;
  }

  async idempotencyKey(): Promise<undefined> {
    throw this.#reason;
  }

  async saveIdempotencyKey(): Promise<void> {
    throw this.#reason;
  }
}
