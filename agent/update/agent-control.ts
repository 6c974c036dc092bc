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
} from '../core/control.ts';
import { AgentError, type ErrorReport } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import type { Clock, EventRecord, Journal, Random, RollbackRecord, SlotService } from '../core/ports.ts';
import { pausablePhases } from '../core/pausing.ts';
import { statusOf } from '../core/status.ts';
import type { SlotName, UpdateRequest, UpdateState } from '../core/update-state.ts';
import type { DownloadPacer } from './download-pacer.ts';
import type { EventLog } from './event-log.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import type { HealthBoard } from './health-board.ts';
import type { HeldReboot } from './held-reboot.ts';
import type { ImageJudge } from './judge-image.ts';
import type { MeteredLink } from './metered-link.ts';
import { NodeControl } from './node-control.ts';
import type { NodeReader } from './node-reader.ts';
import type { OfferWatch } from './offer-watch.ts';
import { refuseUnlessIdle, refuseUnlessPhase, refuseWhileDegraded, refuseWhilePaused } from './phase-checks.ts';
import { estimateWrite } from './estimate-write.ts';
import { planOf } from './plan.ts';
import { RequestKeys } from './request-keys.ts';
import { rollbackTarget } from './rollback-target.ts';
import type { UpdateRunner } from './runner.ts';
import type { TransferMeter } from './transfer-meter.ts';
import { useSequence } from './use-sequence.ts';
import type { TriggerVerifier } from './trigger-verifier.ts';
import { transferNow, viewOf } from './update-view.ts';
import { waitForVersion } from './wait-for-version.ts';

/** What the control works with. */
export interface ControlPorts {
  readonly runner: UpdateRunner;
  readonly judge: ImageJudge;
  readonly facts: FactsKeeper;
  readonly journal: Journal;
  readonly slots: SlotService;
  readonly nodeReader: NodeReader;
  readonly events: EventLog;
  readonly meter: TransferMeter;
  readonly metered: MeteredLink;
  readonly pacer: DownloadPacer;
  readonly health: HealthBoard;
  readonly heldReboot: HeldReboot;
  readonly clock: Clock;
  readonly random: Random;
  readonly verifyTrigger: TriggerVerifier;
  readonly agentVersion: string;
  readonly node: {
    readonly id: string;
    readonly compatible: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  /** Why the agent starts no update until it is started again. */
  readonly degraded: readonly ErrorReport[];
  readonly startedAtMs: number;
  readonly hasLoaderCounted: boolean | undefined;
  readonly bootId: string;
  /** Absent on an agent without its facts. */
  readonly offers?: Pick<OfferWatch, 'view'> | undefined;
  /** The configured loader with its dialect. */
  readonly loader: string;
}

/** Answers the API: checks what may be asked now, saves it by the runner, and reads the rest. */
export class AgentControlService implements AgentControl {
  readonly #ports: ControlPorts;
  readonly #keys: RequestKeys;
  readonly #node: NodeControl;

  constructor(ports: ControlPorts) {
    this.#ports = ports;
    this.#keys = new RequestKeys(ports.journal);
    this.#node = new NodeControl(ports);
  }

  async status(): Promise<StatusView> {
    const { runner, facts, events, clock, degraded } = this.#ports;
    const { node, fault } = await this.#ports.nodeReader.read();
    return statusOf({
      agentVersion: this.#ports.agentVersion,
      node: this.#ports.node,
      state: runner.state,
      deployments: runner.memory.deployments,
      boot: node,
      facts: facts.data,
      areFactsLost: facts.isLost,
      waiting: runner.waiting,
      progress: events.progressNow,
      link: this.#ports.metered.last,
      transfer: await transferNow(this.#ports),
      degraded: fault === undefined ? degraded : [...degraded, fault],
      startedAtMs: this.#ports.startedAtMs,
      loader: this.#ports.loader,
      hasLoaderCounted: this.#ports.hasLoaderCounted,
      offers: this.#ports.offers?.view,
      nowMs: clock.nowMs(),
    });
  }

  statusVersion(): number {
    return this.#ports.events.version;
  }

  async waitForChange(version: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    await waitForVersion(this.#ports.events, this.#ports.clock, version, timeoutMs, signal);
  }

  async plan(input: UpdateInput, signal: AbortSignal): Promise<PlanView> {
    const { judge, runner } = this.#ports;
    const { deployments } = runner.memory;
    const judged = await judge.judge(parseReference(input.image), input.from, deployments, signal);
    const estimate = await estimateWrite(judged, this.#ports.slots, deployments, signal);
    return planOf(input.image, judged, this.#ports.hasLoaderCounted, estimate);
  }

  async startUpdate(input: UpdateInput, idempotencyKey: string | undefined): Promise<Accepted> {
    parseReference(input.image);
    refuseWhileDegraded(this.#ports.degraded, 'start an update');
    const body = JSON.stringify(['install', input]);
    return this.#keys.once(idempotencyKey, body, this.#ports.random.id(), async (id) => {
      const update = this.#newRequest(id, 'install', input);
      const event = { type: 'update-requested', update, atMs: update.requestedAtMs } as const;
      await this.#ports.runner.dispatch(event, {}, refuseUnlessIdle);
    });
  }

  async startRollback(idempotencyKey: string | undefined): Promise<Accepted> {
    refuseWhileDegraded(this.#ports.degraded, 'start an update');
    return this.#keys.once(idempotencyKey, '["rollback"]', this.#ports.random.id(), async (id) => {
      const node = await this.#ports.slots.readNode();
      const { runner, facts } = this.#ports;
      const target = rollbackTarget(node, runner.memory.deployments, facts.data);
      const image = runner.memory.deployments[target.slot]?.image ?? 'unknown';
      const asked = { image, from: undefined, until: 'committed', requestedBy: 'operator' } as const;
      const update = this.#newRequest(id, 'rollback', asked);
      const event = { type: 'rollback-requested', update, target, atMs: update.requestedAtMs } as const;
      await runner.dispatch(event, {}, refuseUnlessIdle);
    });
  }

  async update(id: string): Promise<UpdateView> {
    const record = await this.#ports.journal.update(id);
    if (record === undefined)
      throw new AgentError('update-not-found', `cannot show update ${id}: there is none with this id`);
    return viewOf(this.#ports, record);
  }

  async updates(limit: number, beforeId: string | undefined): Promise<readonly UpdateView[]> {
    return (await this.#ports.journal.updates(limit, beforeId)).map((record) => viewOf(this.#ports, record));
  }

  async activate(id: string, andReboot: boolean): Promise<void> {
    const { runner, clock } = this.#ports;
    refuseWhileDegraded(this.#ports.degraded, 'start an update');
    const until = andReboot ? 'committed' : 'activated';
    const check = (state: UpdateState) => {
      refuseUnlessPhase(state, id, ['staged', 'activated'], 'activate');
      refuseWhilePaused(state, 'activate');
    };
    await runner.dispatch({ type: 'activation-asked', until, atMs: clock.nowMs() }, {}, check);
  }

  async cancel(id: string): Promise<void> {
    const { runner, clock } = this.#ports;
    const allowed = ['preparing', 'writing', 'staged', 'activating', 'activated', 'trial'] as const;
    const check = (state: UpdateState) => refuseUnlessPhase(state, id, allowed, 'cancel');
    await runner.dispatch({ type: 'cancel-asked', atMs: clock.nowMs() }, {}, check);
  }

  async pause(id: string): Promise<void> {
    const { runner, clock } = this.#ports;
    const check = (state: UpdateState) => refuseUnlessPhase(state, id, pausablePhases, 'pause');
    await runner.dispatch({ type: 'pause-asked', atMs: clock.nowMs() }, {}, check);
  }

  async resume(id: string, isMeteredAllowed: boolean): Promise<void> {
    const { runner, clock } = this.#ports;
    const check = (state: UpdateState) => refuseUnlessPhase(state, id, pausablePhases, 'resume');
    await runner.dispatch({ type: 'resume-asked', isMeteredAllowed, atMs: clock.nowMs() }, {}, check);
  }

  async rollbacks(limit: number): Promise<readonly RollbackRecord[]> {
    return this.#ports.journal.rollbacks(limit);
  }

  async rollback(id: string): Promise<RollbackRecord | undefined> {
    return this.#ports.journal.rollback(id);
  }

  async reboot(): Promise<string | undefined> {
    return this.#node.reboot();
  }

  async testLoader(): Promise<void> {
    refuseWhileDegraded(this.#ports.degraded, 'test the loader');
    await this.#node.testLoader();
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#node.markGood(slot);
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#node.markBad(slot);
  }

  health(): HealthView {
    return this.#ports.health.view();
  }

  async clearKnownBad(digest: string): Promise<boolean> {
    return this.#node.clearKnownBad(digest);
  }

  async confirmFacts(): Promise<void> {
    await this.#node.confirmFacts();
  }

  hold(): HoldView | undefined {
    return this.#node.hold();
  }

  async setHold(reason: string, untilMs: number | undefined): Promise<void> {
    await this.#node.setHold(reason, untilMs);
  }

  async clearHold(): Promise<void> {
    await this.#node.clearHold();
  }

  rateLimit(): RateLimitView {
    return this.#node.rateLimit();
  }

  async setRateLimit(bytesPerSecond: number | null): Promise<void> {
    await this.#node.setRateLimit(bytesPerSecond);
  }

  async clearRateLimit(): Promise<void> {
    await this.#node.clearRateLimit();
  }

  async trigger(envelope: unknown): Promise<TriggerAccepted> {
    const { facts, clock, verifyTrigger, runner } = this.#ports;
    refuseWhileDegraded(this.#ports.degraded, 'start an update');
    if (facts.isLost) {
      throw new AgentError(
        'facts-lost',
        'cannot accept the trigger: the sequences of earlier triggers are lost, so a replay could not be told',
      );
    }
    const verified = verifyTrigger(envelope, facts.data.triggerSequences, clock.nowMs());
    refuseUnlessIdle(runner.state);
    const { keyId, sequence, sequenceKeys } = verified;
    // The sequence first: power lost between the two lines loses the trigger, never the protection against replays.
    await facts.change((data) => useSequence(data, keyId, sequenceKeys, sequence));
    const until = verified.action === 'stage' ? 'staged' : 'committed';
    const input: UpdateInput = { image: verified.image, from: undefined, until, requestedBy: 'trigger' };
    const accepted = await this.startUpdate(input, undefined);
    return { ...accepted, keyId, action: verified.action };
  }

  async events(afterSequence: number, limit: number): Promise<readonly EventRecord[]> {
    await this.#ports.events.flush();
    return this.#ports.journal.events(afterSequence, limit);
  }

  onEvent(listener: (event: EventRecord) => void): () => void {
    return this.#ports.events.onEvent(listener);
  }

  #newRequest(id: string, kind: UpdateRequest['kind'], input: UpdateInput): UpdateRequest {
    return { id, kind, ...input, requestedAtMs: this.#ports.clock.nowMs() };
  }
}
