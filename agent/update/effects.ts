import { blockersOf } from '../core/admission.ts';
import { addKnownBad, raiseFloor, raiseSignedTime } from '../core/facts.ts';
import type { Waiting } from '../core/control.ts';
import { AgentError } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import type {
  CheckProgress,
  Clock,
  EvidenceCollector,
  Gate,
  HealthChecks,
  JournalChange,
  SlotService,
  WriteProgress,
} from '../core/ports.ts';
import { joinEvidence } from '../core/evidence-bounds.ts';
import { lastCommittedSlot } from '../core/recover.ts';
import type { SignedImages } from '../core/signed-images.ts';
import type { UpdateEvent } from '../core/update-events.ts';
import type { InPhase, SlotName, UpdateState } from '../core/update-state.ts';
import type { DownloadPacer } from './download-pacer.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import { findPatches } from './find-patches.ts';
import { ImageFetch, leastNeed } from './image-fetch.ts';
import { type ImageJudge, pinned, targetOf } from './judge-image.ts';
import { withOtherPlaces } from './other-places.ts';
import type { MeteredLink } from './metered-link.ts';
import { knownBadOf, lastWords, rollbackRecord } from './rollback-record.ts';
import { judgeTrial } from './trial-verdict.ts';
import type { TransferMeter } from './transfer-meter.ts';
import type { UpdateMemory } from './update-memory.ts';
import { HealthWatch } from './health-watch.ts';

/** What performing an effect came to. */
export type EffectResult =
  /** The event that carries the machine on. */
  | { readonly event: UpdateEvent; readonly change?: JournalChange }
  /** A gate is closed: ask again at `untilMs`, or soon. */
  | { readonly waiting: Waiting }
  /** The node goes down. */
  | { readonly isRebooting: true };

/** Performs each effect of the machine once. Decides nothing: it does, and says what came of it. */
export class Effects {
  readonly #judge: ImageJudge;
  readonly #slots: SlotService;
  readonly #facts: FactsKeeper;
  readonly #health: HealthChecks;
  readonly #evidence: Pick<EvidenceCollector, 'collectInTrial'>;
  readonly #gates: readonly Gate[];
  readonly #clock: Clock;
  readonly #tries: number;
  readonly #watch: HealthWatch;
  readonly #kept: Pick<SignedImages, 'save'> | undefined;
  readonly #meter: TransferMeter;
  readonly #metered: MeteredLink;
  readonly #pacer: DownloadPacer;
  readonly #onProgress: (progress: WriteProgress) => void;
  readonly #onCheck: (progress: CheckProgress) => void;
  readonly #onFault: (error: unknown) => void;

  constructor(ports: {
    judge: ImageJudge;
    slots: SlotService;
    facts: FactsKeeper;
    health: HealthChecks;
    evidence: Pick<EvidenceCollector, 'collectInTrial'>;
    gates: readonly Gate[];
    clock: Clock;
    tries: number;
    /** Time between two rounds of checks in probation. */
    watchIntervalMs: number;
    meter: TransferMeter;
    metered: MeteredLink;
    pacer: DownloadPacer;
    onProgress: (progress: WriteProgress) => void;
    onCheck: (progress: CheckProgress) => void;
    /** Where it is kept what a slot is trusted by; absent where nothing is. */
    kept?: Pick<SignedImages, 'save'>;
    /** Hears of what an update goes on without. */
    onFault: (error: unknown) => void;
  }) {
    this.#judge = ports.judge;
    this.#slots = ports.slots;
    this.#facts = ports.facts;
    this.#health = ports.health;
    this.#evidence = ports.evidence;
    this.#gates = ports.gates;
    this.#clock = ports.clock;
    this.#tries = ports.tries;
    this.#watch = new HealthWatch(ports);
    this.#kept = ports.kept;
    this.#meter = ports.meter;
    this.#metered = ports.metered;
    this.#pacer = ports.pacer;
    this.#onProgress = ports.onProgress;
    this.#onCheck = ports.onCheck;
    this.#onFault = ports.onFault;
  }

  /** Performs the effect of `state`. Rejects with coded errors; `signal` ends what can be ended. */
  async perform(state: UpdateState, memory: UpdateMemory, signal: AbortSignal): Promise<EffectResult> {
    try {
      return await this.#performNow(state, memory, signal);
    } catch (error) {
      const isHeld =
        error instanceof AgentError && error.code === 'link-metered' && this.#metered.rules.rule === 'wait';
      if (!isHeld) throw error;
      const text = `${error.message}; kaonctl resume --metered lets it`;
      return { waiting: { gate: 'metered', code: 'link-metered', text, untilMs: undefined } };
    }
  }

  async #performNow(state: UpdateState, memory: UpdateMemory, signal: AbortSignal): Promise<EffectResult> {
    switch (state.phase) {
      case 'preparing':
        return this.#prepare(state, memory, signal);
      case 'writing':
        return this.#write(state, memory, signal);
      case 'staged':
        return (await this.#askGates('reboot', state)) ?? { event: { type: 'gates-opened', atMs: this.#now() } };
      case 'activating':
        return state.baseline === undefined ? this.#takeBaseline(state, signal) : this.#arm(state);
      case 'activated':
        return (await this.#askGates('reboot', state)) ?? this.#reboot(state.target.slot);
      case 'trial':
        return this.#checkHealth(state, memory, signal);
      case 'committing':
        return this.#markGood(state);
      case 'cancelling':
        return this.#discard(state);
      case 'rolling-back':
        return state.step === 'record' ? this.#turnBack(state, memory) : this.#reboot();
      case 'idle':
        return { event: await this.#watch.round(state.probation, memory, signal) };
    }
  }

  /** Turns the loader back from the booted `slot` and reboots, with nothing recorded: for an agent that can't save. */
  async abandonTrial(state: InPhase<'trial' | 'rolling-back'>, why: string, memory: UpdateMemory): Promise<void> {
    // An unwritable loader still counts: the reboot uses up the trial's tries.
    await this.#slots.markBad(state.target.slot).catch(() => undefined);
    await this.#keepOverReset(lastWords(state, why, memory.standingFaults));
    await this.#slots.reboot();
  }

  /** As well as it goes: the way back must not fail by the words on it. */
  async #keepOverReset(text: string): Promise<void> {
    await this.#slots.keepEvidence(text).catch(this.#onFault);
  }

  #now(): number {
    return this.#clock.nowMs();
  }

  async #askGates(
    at: 'download' | 'reboot',
    state: Exclude<UpdateState, { phase: 'idle' }>,
  ): Promise<{ waiting: Waiting } | undefined> {
    for (const gate of this.#gates.filter((candidate) => candidate.at.includes(at))) {
      const answer = await gate.ask(state.update);
      if (!answer.isOpen) {
        return { waiting: { gate: gate.name, code: answer.code, text: answer.text, untilMs: answer.untilMs } };
      }
    }
    return undefined;
  }

  async #prepare(state: InPhase<'preparing'>, memory: UpdateMemory, signal: AbortSignal): Promise<EffectResult> {
    const closed = await this.#askGates('download', state);
    if (closed !== undefined) return closed;
    const { update } = state;
    await this.#metered.admitAgain(update);
    const judged = await this.#judge.judge(parseReference(update.image), update.from, memory.deployments, signal);
    if (judged.isAlreadyRunning) {
      return { event: { type: 'found-running', digest: judged.trusted.manifestDigest, atMs: this.#now() } };
    }
    const [blocker] = blockersOf(update, judged.blockers);
    if (blocker !== undefined) throw new AgentError(blocker.code, blocker.message);
    await this.#metered.admit(update, leastNeed(judged));
    return { event: { type: 'prepared', target: targetOf(judged), atMs: this.#now() } };
  }

  async #write(state: InPhase<'writing'>, memory: UpdateMemory, signal: AbortSignal): Promise<EffectResult> {
    const { update, target } = state;
    await this.#metered.admitAgain(update);
    const judged = await this.#judge.judge(pinned(update.image, target), update.from, memory.deployments, signal);
    const [blocker] = blockersOf(update, judged.blockers);
    if (blocker !== undefined) throw new AgentError(blocker.code, blocker.message);
    if (judged.trusted.manifestDigest !== target.digest) {
      throw new AgentError(
        'digest-mismatch',
        `cannot write slot ${target.slot}: the image is ${judged.trusted.manifestDigest}, want ${target.digest ?? 'none'}`,
      );
    }
    await this.#facts.change((facts) => ({
      ...raiseSignedTime(facts, judged.trusted.signedAtMs),
      installSequence: facts.installSequence + 1,
    }));
    const patches = await findPatches(judged, memory.deployments, signal, this.#onFault);
    const fetch = new ImageFetch(
      { judged, patches },
      update,
      { meter: this.#meter, metered: this.#metered, clock: this.#clock, pacer: this.#pacer },
      signal,
    );
    const onProgress = (progress: WriteProgress) => {
      this.#meter.note(progress);
      this.#onProgress(progress);
    };
    const write = () => this.#slots.writeSlot(target.slot, judged.signed, fetch.layers, onProgress, signal, patches);
    await withOtherPlaces(judged, write);
    // Power lost before: the slot is written again. Without it, a trial does not hold its own trust policy to the image.
    await this.#kept?.save(target.slot, judged.signed).catch(this.#onFault);
    return { event: { type: 'slot-written', atMs: this.#now() } };
  }

  async #takeBaseline(state: InPhase<'activating'>, signal: AbortSignal): Promise<EffectResult> {
    const closed = await this.#askGates('reboot', state);
    if (closed !== undefined) return closed;
    const checks = await this.#health.takeBaseline(signal);
    return { event: { type: 'baseline-taken', checks, atMs: this.#now() } };
  }

  async #arm(state: InPhase<'activating'>): Promise<EffectResult> {
    // An operator's rollback comes here without having been staged; arming waits for the reboot's gates all the same.
    const closed = await this.#askGates('reboot', state);
    if (closed !== undefined) return closed;
    const { maxTries } = await this.#slots.readNode();
    await this.#slots.activate(state.target.slot, Math.min(this.#tries, maxTries), state.target.digest);
    return { event: { type: 'armed', atMs: this.#now() } };
  }

  async #reboot(trial?: SlotName): Promise<EffectResult> {
    await this.#slots.reboot(trial);
    return { isRebooting: true };
  }

  async #checkHealth(state: InPhase<'trial'>, memory: UpdateMemory, signal: AbortSignal): Promise<EffectResult> {
    const ports = { health: this.#health, clock: this.#clock, onCheck: this.#onCheck };
    return { event: await judgeTrial(ports, state, memory.standingFaults, signal) };
  }

  async #markGood(state: InPhase<'committing'>): Promise<EffectResult> {
    // The commit point. Power lost before: another try of this slot. Power lost after: committed, and recorded again.
    await this.#slots.markGood(state.target.slot);
    await this.#facts.change((facts) => raiseFloor(facts, state.target.rollbackIndex));
    return { event: { type: 'marked-good', atMs: this.#now() } };
  }

  async #discard(state: InPhase<'cancelling'>): Promise<EffectResult> {
    if (state.target !== undefined) await this.#slots.markBad(state.target.slot);
    return { event: { type: 'cancelled', atMs: this.#now() } };
  }

  async #turnBack(state: InPhase<'rolling-back'>, memory: UpdateMemory): Promise<EffectResult> {
    const { target, reason } = state;
    const atMs = this.#now();
    const bad = knownBadOf(state, atMs);
    // Known-bad first: power lost after this line still keeps a controller from sending the same image again.
    if (bad !== undefined) await this.#facts.change((facts) => addKnownBad(facts, bad));
    if (reason === 'committed-slot-lost') {
      await this.#slots.markGood(target.previous);
    } else {
      // Power lost before: the trial's own tries lead back. Power lost after: the old slot is primary.
      await this.#slots.markBad(target.slot);
    }
    const givenUp = memory.deployments[target.slot];
    const isCommitted = givenUp !== undefined && lastCommittedSlot(memory.deployments) === target.slot;
    // A directory that is not the node's own keeps nothing for the slot that comes back.
    if (state.isTargetBooted && memory.standingFaults.length > 0) {
      await this.#keepOverReset(lastWords(state, state.message, memory.standingFaults));
    }
    // After the loader was turned back: power lost while this is collected costs evidence, and nothing else.
    const found = state.isTargetBooted ? await this.#evidence.collectInTrial() : [];
    return {
      event: { type: 'turned-back', atMs, ...(found.length === 0 ? {} : { evidence: found }) },
      change: {
        rollback: rollbackRecord(state, joinEvidence(state.evidence, found), atMs),
        // The commit is taken back: the next start must not take the old slot for a fallback of the loader. Nor is that one
        // committed anew, whose time would be below the lost one's where a clock began in 1970.
        ...(isCommitted ? { deployment: { ...givenUp, committedAtMs: undefined } } : {}),
      },
    };
  }
}
