import type Database from 'better-sqlite3';
import type {
  EventRecord,
  Journal,
  JournalChange,
  JournalSnapshot,
  RollbackRecord,
  UpdateRecord,
} from '../core/ports.ts';
import type { Outcome, UpdateRequest } from '../core/update-state.ts';
import { journalError, openJournalFile } from './journal-file.ts';
import {
  decodeBoot,
  decodeDeployment,
  decodeEvent,
  decodeRollback,
  decodeUpdate,
  encodeEvent,
  requestOfLostUpdate,
  rowLimits,
} from './record-codec.ts';
import { decodeState, encodeState } from './state-codec.ts';

const selectUpdates =
  'SELECT request, outcome, transfers.document AS transfer FROM updates LEFT JOIN transfers ON transfers.id = updates.id';

/** Where a journal lies and how large it may grow. */
export interface JournalOptions {
  readonly path: string;
  /** Files whose presence proves that this node had a journal, such as the copies of the facts. */
  readonly expectedBeside?: readonly string[];
  /** Largest size of the file; 64 MiB unless given. */
  readonly limitBytes?: number;
}

/**
 * The journal on SQLite (WAL, synchronous FULL). A save is one transaction, durable when it resolves; events ride along
 * unsynced and are durable with the next save. Rows that this agent does not understand are passed over. Rejects with
 * `journal-failed`.
 */
export class SqliteJournal implements Journal {
  readonly #path: string;
  readonly #database: Database.Database;
  readonly #rebuiltBecause: string | undefined;

  /** Opens or makes the file. Throws `journal-newer` or `journal-failed`. */
  constructor(options: JournalOptions) {
    this.#path = options.path;
    const opened = openJournalFile(options.path, options.expectedBeside ?? [], options.limitBytes ?? 64 * 1024 * 1024);
    this.#database = opened.database;
    this.#rebuiltBecause = opened.rebuiltBecause;
  }

  /** Closes the file; later calls reject. */
  close(): void {
    this.#database.close();
  }

  async load(): Promise<JournalSnapshot> {
    return this.#attempt('read', () => {
      const state = this.#documents('SELECT document FROM state WHERE id = 1')[0];
      const deployments = defined(this.#documents('SELECT document FROM deployments').map(decodeDeployment));
      return {
        state: state === undefined ? undefined : decodeState(state),
        deployments: Object.fromEntries(deployments.map((deployment) => [deployment.slot, deployment])),
        boots: defined(this.#documents('SELECT document FROM boots ORDER BY ordinal').map(decodeBoot)),
        rebuiltBecause: this.#rebuiltBecause,
      };
    });
  }

  async save(change: JournalChange): Promise<void> {
    this.#write(() => {
      if (change.state !== undefined) {
        this.#run('INSERT OR REPLACE INTO state (id, document) VALUES (1, ?)', encodeState(change.state));
        if ('update' in change.state) this.#saveRequest(change.state.update);
      }
      if (change.request !== undefined) this.#saveRequest(change.request);
      if (change.outcome !== undefined) this.#saveOutcome(change.outcome);
      if (change.transfer !== undefined) this.#saveTransfer(change.transfer);
      if (change.removeDeployment !== undefined) {
        this.#run('DELETE FROM deployments WHERE slot = ?', change.removeDeployment);
      }
      if (change.deployment !== undefined) {
        const { slot } = change.deployment;
        this.#run(
          'INSERT OR REPLACE INTO deployments (slot, document) VALUES (?, ?)',
          slot,
          JSON.stringify(change.deployment),
        );
      }
      if (change.rollback !== undefined) this.#upsert('rollbacks', change.rollback.id, JSON.stringify(change.rollback));
      if (change.boot !== undefined) this.#upsert('boots', change.boot.bootId, JSON.stringify(change.boot));
    });
  }

  async appendEvent(event: Omit<EventRecord, 'sequence'>): Promise<EventRecord> {
    return this.#attempt('write', () => {
      // Not worth a flush of its own on flash: the next save's flush makes it durable, as the log is one file.
      this.#database.pragma('synchronous = NORMAL');
      try {
        const { lastInsertRowid } = this.#run('INSERT INTO events (document) VALUES (?)', encodeEvent(event));
        const sequence = Number(lastInsertRowid);
        this.#run('DELETE FROM events WHERE sequence <= ?', sequence - rowLimits.events);
        return { ...event, sequence };
      } finally {
        this.#database.pragma('synchronous = FULL');
      }
    });
  }

  async updates(limit: number, beforeId?: string): Promise<readonly UpdateRecord[]> {
    return this.#attempt('read', () =>
      beforeId === undefined
        ? this.#updates(`${selectUpdates} ORDER BY ordinal DESC LIMIT ?`, atLeastZero(limit))
        : this.#updates(
            `${selectUpdates} WHERE ordinal < (SELECT ordinal FROM updates WHERE id = ?) ORDER BY ordinal DESC LIMIT ?`,
            beforeId,
            atLeastZero(limit),
          ),
    );
  }

  async update(id: string): Promise<UpdateRecord | undefined> {
    return this.#attempt('read', () => this.#updates(`${selectUpdates} WHERE updates.id = ?`, id)[0]);
  }

  async rollbacks(limit: number): Promise<readonly RollbackRecord[]> {
    const query = 'SELECT document FROM rollbacks ORDER BY ordinal DESC LIMIT ?';
    return this.#attempt('read', () => defined(this.#documents(query, atLeastZero(limit)).map(decodeRollback)));
  }

  async rollback(id: string): Promise<RollbackRecord | undefined> {
    return this.#attempt('read', () => {
      const document = this.#documents('SELECT document FROM rollbacks WHERE id = ?', id)[0];
      return document === undefined ? undefined : decodeRollback(document);
    });
  }

  async events(afterSequence: number, limit: number): Promise<readonly EventRecord[]> {
    return this.#attempt('read', () => {
      const query = 'SELECT sequence, document FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?';
      const rows = this.#all(query, afterSequence, atLeastZero(limit)) as readonly EventRow[];
      return defined(rows.map(({ sequence, document }) => decodeEvent(sequence, document)));
    });
  }

  async idempotencyKey(key: string): Promise<KeyRow | undefined> {
    const query = 'SELECT update_id AS updateId, body_digest AS bodyDigest FROM idempotency WHERE id = ?';
    return this.#attempt('read', () => (this.#all(query, key) as readonly KeyRow[])[0]);
  }

  async saveIdempotencyKey(key: string, updateId: string, bodyDigest: string): Promise<void> {
    this.#write(() => {
      this.#run(
        'INSERT INTO idempotency (id, update_id, body_digest) VALUES (?, ?, ?) ' +
          'ON CONFLICT (id) DO UPDATE SET update_id = excluded.update_id, body_digest = excluded.body_digest',
        key,
        updateId,
        bodyDigest,
      );
      this.#prune('idempotency');
    });
  }

  #updates(sql: string, ...values: readonly (string | number)[]): readonly UpdateRecord[] {
    const rows = this.#all(sql, ...values) as readonly UpdateRow[];
    return defined(rows.map(({ request, outcome, transfer }) => decodeUpdate(request, outcome, transfer)));
  }

  #saveRequest(request: UpdateRequest): void {
    this.#run(
      'INSERT INTO updates (id, request) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET request = excluded.request',
      request.id,
      JSON.stringify(request),
    );
    this.#prune('updates');
  }

  #saveOutcome(outcome: Outcome): void {
    this.#run(
      'INSERT INTO updates (id, request, outcome) VALUES (?, ?, ?) ' +
        'ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome',
      outcome.updateId,
      JSON.stringify(requestOfLostUpdate(outcome)),
      JSON.stringify(outcome),
    );
    this.#prune('updates');
  }

  #saveTransfer({ updateId, moved }: NonNullable<JournalChange['transfer']>): void {
    this.#run('INSERT OR REPLACE INTO transfers (id, document) VALUES (?, ?)', updateId, JSON.stringify(moved));
    this.#run('DELETE FROM transfers WHERE id NOT IN (SELECT id FROM updates)');
  }

  #upsert(table: 'rollbacks' | 'boots', id: string, document: string): void {
    this.#run(
      `INSERT INTO ${table} (id, document) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document`,
      id,
      document,
    );
    this.#prune(table);
  }

  #prune(table: 'updates' | 'rollbacks' | 'boots' | 'idempotency'): void {
    this.#run(
      `DELETE FROM ${table} WHERE ordinal <= (SELECT ordinal FROM ${table} ORDER BY ordinal DESC LIMIT 1 OFFSET ?)`,
      rowLimits[table],
    );
  }

  #write(change: () => void): void {
    this.#attempt('write', () => this.#database.transaction(change).immediate());
  }

  #attempt<T>(verb: 'read' | 'write', action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw journalError(verb, this.#path, error);
    }
  }

  #run(sql: string, ...values: readonly (string | number)[]): Database.RunResult {
    return this.#database.prepare(sql).run(...values);
  }

  #all(sql: string, ...values: readonly (string | number)[]): readonly unknown[] {
    return this.#database.prepare(sql).all(...values);
  }

  #documents(sql: string, ...values: readonly (string | number)[]): readonly string[] {
    return (this.#all(sql, ...values) as readonly { readonly document: string }[]).map(({ document }) => document);
  }
}

interface EventRow {
  readonly sequence: number;
  readonly document: string;
}

interface KeyRow {
  readonly updateId: string;
  readonly bodyDigest: string;
}

interface UpdateRow {
  readonly request: string;
  readonly outcome: string | null;
  readonly transfer: string | null;
}

function atLeastZero(limit: number): number {
  return Math.max(0, Math.floor(limit));
}

function defined<T>(values: readonly (T | undefined)[]): readonly T[] {
  return values.filter((value) => value !== undefined);
}
