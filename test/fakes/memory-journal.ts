import type {
  BootRecord,
  EventRecord,
  Journal,
  JournalChange,
  JournalSnapshot,
  RollbackRecord,
  UpdateRecord,
} from '../../agent/core/ports.ts';
import type { SlotName } from '../../agent/core/update-state.ts';
import {
  decodeBoot,
  decodeDeployment,
  decodeEvent,
  decodeRollback,
  decodeUpdate,
  encodeEvent,
  requestOfLostUpdate,
  rowLimits,
} from '../../agent/store/record-codec.ts';
import { decodeState, encodeState } from '../../agent/store/state-codec.ts';

interface Tables {
  readonly state: string | undefined;
  readonly updates: ReadonlyMap<string, { readonly request: string; readonly outcome: string | null }>;
  readonly transfers: ReadonlyMap<string, string>;
  readonly deployments: ReadonlyMap<SlotName, string>;
  readonly rollbacks: ReadonlyMap<string, string>;
  readonly boots: ReadonlyMap<string, string>;
  readonly events: ReadonlyMap<number, string>;
  readonly keys: ReadonlyMap<string, { readonly updateId: string; readonly bodyDigest: string }>;
  readonly sequence: number;
}

const noTables: Tables = {
  state: undefined,
  updates: new Map(),
  transfers: new Map(),
  deployments: new Map(),
  rollbacks: new Map(),
  boots: new Map(),
  events: new Map(),
  keys: new Map(),
  sequence: 0,
};

/**
 * A journal in memory that outlives the agents that use it. A save is one durable step, all or nothing; events are
 * durable with the next save, and `losePower` drops those that came after the last one.
 * `beforeStep` is called with `journal-save` or `journal-save-key` before the step and may throw to cut the power there.
 */
export class MemoryJournal implements Journal {
  readonly #beforeStep: (name: string) => void;
  #now: Tables = noTables;
  #durable: Tables = noTables;
  #rebuiltBecause: string | undefined;

  constructor(beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
  }

  /** The power goes: what was not durable is gone. */
  losePower(): void {
    this.#now = this.#durable;
  }

  /** The journal's file is lost or damaged; the next load says `because`. */
  lose(because: string): void {
    this.#now = noTables;
    this.#durable = noTables;
    this.#rebuiltBecause = because;
  }

  /** Replaces the state document, as an agent of another version may have written it. */
  putStateDocument(document: string): void {
    this.#durable = { ...this.#durable, state: document };
    this.#now = { ...this.#now, state: document };
  }

  async load(): Promise<JournalSnapshot> {
    const { state, deployments, boots } = this.#now;
    const snapshot: JournalSnapshot = {
      state: state === undefined ? undefined : decodeState(state),
      deployments: Object.fromEntries([...deployments].map(([slot, text]) => [slot, decodeDeployment(text)])),
      boots: defined([...boots.values()].map(decodeBoot)),
      rebuiltBecause: this.#rebuiltBecause,
    };
    this.#rebuiltBecause = undefined;
    return snapshot;
  }

  async save(change: JournalChange): Promise<void> {
    this.#beforeStep('journal-save');
    this.#now = applied(this.#now, change);
    this.#durable = this.#now;
  }

  async appendEvent(event: Omit<EventRecord, 'sequence'>): Promise<EventRecord> {
    const sequence = this.#now.sequence + 1;
    this.#now = {
      ...this.#now,
      sequence,
      events: bounded(withEntry(this.#now.events, sequence, encodeEvent(event)), rowLimits.events),
    };
    return { ...event, sequence };
  }

  async updates(limit: number, beforeId?: string): Promise<readonly UpdateRecord[]> {
    const ids = [...this.#now.updates.keys()].reverse();
    const from = beforeId === undefined ? 0 : ids.indexOf(beforeId) + 1;
    if (beforeId !== undefined && from === 0) return [];
    return defined(ids.slice(from, from + limit).map((id) => this.#update(id)));
  }

  async update(id: string): Promise<UpdateRecord | undefined> {
    return this.#update(id);
  }

  async rollbacks(limit: number): Promise<readonly RollbackRecord[]> {
    return defined([...this.#now.rollbacks.values()].reverse().slice(0, limit).map(decodeRollback));
  }

  async rollback(id: string): Promise<RollbackRecord | undefined> {
    const text = this.#now.rollbacks.get(id);
    return text === undefined ? undefined : decodeRollback(text);
  }

  async events(afterSequence: number, limit: number): Promise<readonly EventRecord[]> {
    const later = [...this.#now.events].filter(([sequence]) => sequence > afterSequence).slice(0, limit);
    return defined(later.map(([sequence, text]) => decodeEvent(sequence, text)));
  }

  async idempotencyKey(key: string): Promise<{ readonly updateId: string; readonly bodyDigest: string } | undefined> {
    return this.#now.keys.get(key);
  }

  async saveIdempotencyKey(key: string, updateId: string, bodyDigest: string): Promise<void> {
    this.#beforeStep('journal-save-key');
    this.#now = {
      ...this.#now,
      keys: bounded(withEntry(this.#now.keys, key, { updateId, bodyDigest }), rowLimits.idempotency),
    };
    this.#durable = this.#now;
  }

  #update(id: string): UpdateRecord | undefined {
    const row = this.#now.updates.get(id);
    return row && decodeUpdate(row.request, row.outcome, this.#now.transfers.get(id) ?? null);
  }
}

function applied(tables: Tables, change: JournalChange): Tables {
  const deployments = new Map(tables.deployments);
  if (change.removeDeployment !== undefined) deployments.delete(change.removeDeployment);
  if (change.deployment !== undefined) deployments.set(change.deployment.slot, JSON.stringify(change.deployment));
  const { rollback, boot, state } = change;
  const updates = bounded(appliedUpdates(tables.updates, change), rowLimits.updates);
  return {
    ...tables,
    state: state === undefined ? tables.state : encodeState(state),
    updates,
    transfers: appliedTransfers(tables.transfers, change, updates),
    deployments,
    rollbacks: rollback
      ? bounded(withEntry(tables.rollbacks, rollback.id, JSON.stringify(rollback)), rowLimits.rollbacks)
      : tables.rollbacks,
    boots: boot ? bounded(withBoot(tables.boots, boot), rowLimits.boots) : tables.boots,
  };
}

function appliedUpdates(updates: Tables['updates'], change: JournalChange): Tables['updates'] {
  const after = new Map(updates);
  const requests = [change.request, change.state && 'update' in change.state ? change.state.update : undefined];
  for (const request of defined(requests)) {
    after.set(request.id, { request: JSON.stringify(request), outcome: after.get(request.id)?.outcome ?? null });
  }
  const { outcome } = change;
  if (outcome !== undefined) {
    const request = after.get(outcome.updateId)?.request ?? JSON.stringify(requestOfLostUpdate(outcome));
    after.set(outcome.updateId, { request, outcome: JSON.stringify(outcome) });
  }
  return after;
}

function appliedTransfers(
  transfers: Tables['transfers'],
  { transfer }: JournalChange,
  updates: Tables['updates'],
): Tables['transfers'] {
  if (transfer === undefined) return transfers;
  const after = withEntry(transfers, transfer.updateId, JSON.stringify(transfer.moved));
  return new Map([...after].filter(([id]) => updates.has(id)));
}

function withBoot(boots: Tables['boots'], boot: BootRecord): Tables['boots'] {
  return withEntry(boots, boot.bootId, JSON.stringify(boot));
}

/** `map` with `key` set; a key that was there keeps its place. */
function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value);
}

function bounded<K, V>(map: ReadonlyMap<K, V>, limit: number): ReadonlyMap<K, V> {
  return map.size <= limit ? map : new Map([...map].slice(map.size - limit));
}

function defined<T>(values: readonly (T | undefined)[]): readonly T[] {
  return values.filter((value) => value !== undefined);
}
