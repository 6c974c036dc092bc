import type {
  Accepted,
  AgentControl,
  HealthView,
  HoldView,
  RateLimitView,
  PlanView,
  StatusView,
  TriggerAccepted,
  UpdateInput,
  UpdateView,
} from '../../agent/core/control.ts';
import { AgentError } from '../../agent/core/errors.ts';
import type { EventRecord, RollbackRecord } from '../../agent/core/ports.ts';
import type { SlotName } from '../../agent/core/update-state.ts';

const digest = `sha256:${'1'.repeat(64)}`;

/** An agent that holds one update in memory and does what it is asked, for tests of what stands before it. */
export class ScriptedControl implements AgentControl {
  readonly asked: string[] = [];
  /** Who holds a reboot back. */
  rebootHeldBy: string | undefined;
  /** Thrown by every verb. */
  failure: Error | undefined;
  #version = 1;
  #hold: HoldView | undefined;
  #rate: RateLimitView = { bytesPerSecond: null, by: 'configuration' };
  #updates: readonly UpdateView[] = [];
  #events: readonly EventRecord[] = [];
  #knownBad = [{ digest, reason: 'health-failed', updateId: 'u-0', atMs: 86_400_000 }];
  readonly #listeners = new Set<(event: EventRecord) => void>();
  readonly #waiters = new Set<() => void>();

  /** Something happens: the version grows, and an event is told. */
  emit(kind: string): void {
    const event = { sequence: this.#events.length + 1, atMs: 0, updateId: undefined, kind, message: kind, details: {} };
    this.#events = [...this.#events, event];
    this.#version += 1;
    for (const listener of this.#listeners) listener(event);
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  async status(): Promise<StatusView> {
    this.#ask('status');
    return {
      agentVersion: '0.1.0',
      nodeId: 'node-1',
      compatible: 'acme-gw-2',
      labels: { site: 'oslo' },
      loader: {
        name: 'grub/kaon',
        isProven: undefined,
        by: undefined,
        provenAtMs: undefined,
        isTestPending: false,
        isTestable: true,
        notes: [],
      },
      phase: 'idle',
      booted: 'a',
      primary: 'a',
      slots: [
        {
          name: 'a',
          isBooted: true,
          isPrimary: true,
          state: 'good',
          loaderState: 'good',
          triesLeft: 4,
          deployment: undefined,
        },
        {
          name: 'b',
          isBooted: false,
          isPrimary: false,
          state: 'empty',
          loaderState: 'bad',
          triesLeft: 0,
          deployment: undefined,
        },
      ],
      current: undefined,
      last: undefined,
      waitingFor:
        this.#hold === undefined
          ? []
          : [{ gate: 'hold', code: 'update-held', text: this.#hold.reason, untilMs: this.#hold.untilMs }],
      degraded: [],
      knownBad: this.#knownBad,
      rollbackFloor: 0,
      holdUntil: this.#hold,
      startedAtMs: 0,
    };
  }

  statusVersion(): number {
    return this.#version;
  }

  async waitForChange(version: number, _timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#version > version || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#waiters.add(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async plan(input: UpdateInput): Promise<PlanView> {
    this.#ask(`plan ${input.image}`);
    return {
      image: input.image,
      digest,
      name: 'edge',
      version: '2',
      isAlreadyRunning: false,
      slot: 'b',
      trust: { rule: 'registry.acme.io/os', keyIds: ['release-1'] },
      downloadBytes: 1000,
      writeBytes: 4096,
      partitions: [{ name: 'root', layerSizeBytes: 1000, contentSizeBytes: 4096, partitionSizeBytes: 8192 }],
      blockers: [],
      warnings: [],
    };
  }

  async startUpdate(input: UpdateInput, idempotencyKey: string | undefined): Promise<Accepted> {
    const floor = input.downgradeReason === undefined ? '' : ` below the floor: ${input.downgradeReason}`;
    const why = input.isMeteredAllowed === true ? `${floor} metered` : floor;
    this.#ask(
      `update ${input.image} ${input.from ?? 'registry'} ${input.until} ${input.requestedBy} ${idempotencyKey ?? 'no key'}${why}`,
    );
    const id = `u-${this.#updates.length + 1}`;
    const { image, from, until, requestedBy } = input;
    const request = { id, kind: 'install', image, from, until, requestedBy, requestedAtMs: 0 } as const;
    this.#updates = [{ request, outcome: undefined, phase: 'preparing', current: undefined }, ...this.#updates];
    return { updateId: id, isRepeated: false };
  }

  async update(id: string): Promise<UpdateView> {
    this.#ask(`show ${id}`);
    const found = this.#updates.find(({ request }) => request.id === id);
    if (found === undefined)
      throw new AgentError('update-not-found', `cannot show update ${id}: there is none with this id`);
    return found;
  }

  async updates(limit: number, beforeId: string | undefined): Promise<readonly UpdateView[]> {
    this.#ask(`list ${limit} ${beforeId ?? 'newest'}`);
    return this.#updates.slice(0, limit);
  }

  async activate(id: string, andReboot: boolean): Promise<void> {
    this.#ask(`activate ${id} ${andReboot}`);
  }

  async cancel(id: string): Promise<void> {
    this.#ask(`cancel ${id}`);
  }

  async pause(id: string): Promise<void> {
    this.#ask(`pause ${id}`);
  }

  async resume(id: string, isMeteredAllowed: boolean): Promise<void> {
    this.#ask(`resume ${id}${isMeteredAllowed ? ' metered' : ''}`);
  }

  async startRollback(idempotencyKey: string | undefined): Promise<Accepted> {
    this.#ask(`rollback ${idempotencyKey ?? 'no key'}`);
    return { updateId: 'u-9', isRepeated: false };
  }

  async rollbacks(limit: number): Promise<readonly RollbackRecord[]> {
    this.#ask(`rollbacks ${limit}`);
    return [];
  }

  async rollback(): Promise<RollbackRecord | undefined> {
    return undefined;
  }

  async reboot(): Promise<string | undefined> {
    this.#ask('reboot');
    return this.rebootHeldBy;
  }

  async testLoader(): Promise<void> {
    this.#ask('test-loader');
  }

  async markGood(slot: SlotName): Promise<void> {
    this.#ask(`mark-good ${slot}`);
  }

  async markBad(slot: SlotName): Promise<void> {
    this.#ask(`mark-bad ${slot}`);
  }

  health(): HealthView {
    return { verdict: 'unknown', updateId: undefined, checks: [] };
  }

  async clearKnownBad(bad: string): Promise<boolean> {
    this.#ask(`clear ${bad}`);
    const wasKnown = this.#knownBad.some((entry) => entry.digest === bad);
    this.#knownBad = this.#knownBad.filter((entry) => entry.digest !== bad);
    return wasKnown;
  }

  async confirmFacts(): Promise<void> {
    this.#ask('confirm-facts');
  }

  hold(): HoldView | undefined {
    return this.#hold;
  }

  async setHold(reason: string, untilMs: number | undefined): Promise<void> {
    this.#ask(`hold ${reason} ${untilMs ?? 'forever'}`);
    this.#hold = { reason, untilMs };
  }

  rateLimit(): RateLimitView {
    return this.#rate;
  }

  async setRateLimit(bytesPerSecond: number | null): Promise<void> {
    this.#ask(`rate-limit ${bytesPerSecond ?? 'none'}`);
    this.#rate = { bytesPerSecond, by: 'operator' };
  }

  async clearRateLimit(): Promise<void> {
    this.#rate = { bytesPerSecond: null, by: 'configuration' };
  }

  async clearHold(): Promise<void> {
    this.#hold = undefined;
  }

  async trigger(envelope: unknown): Promise<TriggerAccepted> {
    this.#ask(`trigger ${JSON.stringify(envelope)}`);
    return { updateId: 'u-7', isRepeated: false, keyId: 'fleet-1', action: 'stage' };
  }

  async events(afterSequence: number, limit: number): Promise<readonly EventRecord[]> {
    return this.#events.filter(({ sequence }) => sequence > afterSequence).slice(0, limit);
  }

  onEvent(listener: (event: EventRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #ask(what: string): void {
    if (this.failure !== undefined) throw this.failure;
    this.asked.push(what);
  }
}
