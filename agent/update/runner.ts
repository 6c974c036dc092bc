import type { Waiting } from '../core/control.ts';
import { AgentError, errorTable, reportOf } from '../core/errors.ts';
import type {
  CheckResult,
  Clock,
  Deployment,
  EventRecord,
  Journal,
  JournalChange,
  Reporter,
  WriteProgress,
} from '../core/ports.ts';
import { effectDueAtMs, effectOf, transition } from '../core/transition.ts';
import type { UpdateEvent, UpdateRules } from '../core/update-events.ts';
import type { SlotName, UpdateState } from '../core/update-state.ts';
import { describeEvent } from './describe-event.ts';
import type { EffectResult, Effects } from './effects.ts';
import { failureEvent, reporterFailure, waitingEvent } from './runner-events.ts';
import { applyDeployments, journalChange } from './journal-change.ts';
import type { Started } from './start.ts';
import type { Pulse } from './pulse.ts';
import { isTrialRunning } from './phase-checks.ts';
import type { TransferMeter } from './transfer-meter.ts';
import type { UpdateMemory } from './update-memory.ts';

/** What an effect came to, as an event to save. */
type FinishedEffect = Extract<EffectResult, { event: UpdateEvent }>;

const gatePollMs = 30_000;
const savePollMs = 10_000;
const restMs = 3_600_000;
/** What a write moved is saved so often besides: a killed agent forgets no more. */
const transferSaveMs = 30_000;

/**
 * Save state → perform effect → feed event; no decisions of its own. One effect at a time; events are taken one after
 * the other, each saved before the next effect begins.
 */
export class UpdateRunner {
  readonly #journal: Journal;
  readonly #effects: Effects;
  readonly #rules: UpdateRules;
  readonly #clock: Clock;
  readonly #reporters: readonly Reporter[];
  readonly #meter: TransferMeter;
  readonly #pulse: Pulse;
  readonly #onStep: (before: UpdateState, after: UpdateState) => void;
  #state: UpdateState;
  #deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  #standingFaults: readonly CheckResult[];
  #waiting: Waiting | undefined;
  #effect: AbortController | undefined;
  readonly #faultyReporters = new Set<Reporter>();
  #saveFailures = 0;
  #unsaved: { readonly state: UpdateState; readonly result: FinishedEffect } | undefined;
  #wake: () => void = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #transferSavedAtMs = 0;

  constructor(
    ports: {
      journal: Journal;
      effects: Effects;
      rules: UpdateRules;
      clock: Clock;
      reporters: readonly Reporter[];
      meter: TransferMeter;
      pulse: Pulse;
      onStep: (before: UpdateState, after: UpdateState) => void;
    },
    started: Started,
    standingFaults: readonly CheckResult[],
  ) {
    this.#journal = ports.journal;
    this.#effects = ports.effects;
    this.#rules = ports.rules;
    this.#clock = ports.clock;
    this.#reporters = ports.reporters;
    this.#meter = ports.meter;
    this.#pulse = ports.pulse;
    this.#onStep = ports.onStep;
    this.#state = started.state;
    this.#deployments = started.snapshot.deployments;
    this.#standingFaults = standingFaults;
  }

  get state(): UpdateState {
    return this.#state;
  }

  get memory(): UpdateMemory {
    return { deployments: this.#deployments, standingFaults: this.#standingFaults };
  }

  /** What the current effect waits for, beside its retry. */
  get waiting(): Waiting | undefined {
    return this.#waiting;
  }

  /**
   * Takes an event: saves the state that follows, then lets the machine go on. Resolves once saved, to whether the
   * event applied. Rejects with `journal-failed`, and then nothing changed. `check` runs in the event's turn and
   * may reject it.
   */
  async dispatch(
    event: UpdateEvent,
    extra: JournalChange = {},
    check?: (state: UpdateState) => void,
  ): Promise<boolean> {
    const turn = this.#turn.then(async () => {
      check?.(this.#state);
      const before = this.#state;
      const after = transition(this.#rules, before, event);
      if (after === before) return false;
      const moved = before.phase === 'writing' ? this.#meter.of(before.update.id) : undefined;
      const change = { ...extra, ...journalChange(before, event, after, this.#deployments, moved) };
      await this.#journal.save(change);
      this.#state = after;
      this.#deployments = applyDeployments(this.#deployments, change);
      this.#waiting = undefined;
      this.#onStep(before, after);
      this.#report(describeEvent(before, event, after, moved));
      // What is watched in idle makes way for whatever is asked for.
      if (event.type === 'cancel-asked' || event.type === 'pause-asked' || before.phase === 'idle') {
        this.#effect?.abort(new AgentError('update-cancelled', 'cannot go on: an operator stopped the update'));
      }
      return true;
    });
    this.#turn = turn.catch(() => undefined);
    const hasApplied = await turn;
    this.#wake();
    return hasApplied;
  }

  /** Asks closed gates and due retries again now. */
  poke(): void {
    this.#wake();
  }

  /** Carries the machine on until `signal` aborts or the node reboots. */
  async run(signal: AbortSignal): Promise<'stopped' | 'rebooting'> {
    for (;;) {
      if (signal.aborted) return 'stopped';
      const state = this.#state;
      const effect = effectOf(state);
      const dueInMs = this.#dueInMs(state);
      if (effect === undefined || dueInMs > 0) {
        await this.#idle(effect === undefined ? undefined : dueInMs, signal);
        continue;
      }
      // Only the save failed: what the effect came to holds, and need not be done again.
      const unsaved = this.#unsaved?.state === state ? this.#unsaved.result : undefined;
      const result = unsaved ?? (await this.#perform(state, signal));
      if ('isRebooting' in result) return 'rebooting';
      if ('isInterrupted' in result) continue;
      if ('waiting' in result) {
        await this.#wait(result.waiting, signal);
      } else if (!(await this.#take(result, state, signal))) {
        return 'rebooting';
      }
    }
  }

  /** Dispatches what an effect came to; `false` when the node goes down because nothing could be saved in a trial. */
  async #take(result: FinishedEffect, state: UpdateState, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return true;
    try {
      await this.dispatch(result.event, result.change);
      this.#saveFailures = 0;
      this.#unsaved = undefined;
      return true;
    } catch (error) {
      const report = reportOf(error);
      if (report.code === 'internal') throw error;
      this.#saveFailures += 1;
      this.#unsaved = { state, result };
      this.#report(failureEvent(state, report, this.#clock.nowMs()));
      if (isTrialRunning(state) && this.#saveFailures >= this.#rules.loaderAttempts) {
        // A slot that can't keep state is not good; without a record of it, the way back is all that is left.
        await this.#effects.abandonTrial(state, report.message, this.memory);
        return false;
      }
      await this.#wait(
        { gate: 'journal', code: report.code, text: report.message, untilMs: this.#clock.nowMs() + savePollMs },
        signal,
      );
      this.#waiting = undefined;
      return true;
    }
  }

  /** A wall clock that was set back must not postpone a retry: no retry is ever planned further ahead than the rules say. */
  #dueInMs(state: UpdateState): number {
    const dueInMs = effectDueAtMs(state) - this.#clock.nowMs();
    return dueInMs > 2 * this.#rules.retryMaxMs ? 0 : dueInMs;
  }

  /** Performs the effect of `state`. What an operator's cancel or pause made fail says nothing of what came after it. */
  async #perform(state: UpdateState, signal: AbortSignal): Promise<EffectResult | { readonly isInterrupted: true }> {
    const effect = new AbortController();
    const result = await this.#tryEffect(state, effect, signal);
    if (!effect.signal.aborted || 'isRebooting' in result) return result;
    return 'waiting' in result || result.event.type === 'effect-failed' ? { isInterrupted: true } : result;
  }

  async #tryEffect(state: UpdateState, effect: AbortController, signal: AbortSignal): Promise<EffectResult> {
    this.#effect = effect;
    this.#pulse.beat(state.phase);
    const ended = AbortSignal.any([signal, effect.signal]);
    try {
      if (state.phase === 'writing') await this.#beginTransfer(state.update.id);
      return await this.#effects.perform(state, this.memory, ended);
    } catch (error) {
      const report = reportOf(error);
      // What was told to end did not fail.
      if (!ended.aborted) this.#report(failureEvent(state, report, this.#clock.nowMs()));
      const { isRetryable } = errorTable[report.code];
      const durable = state.phase === 'writing' ? { durableBytes: this.#meter.durableBytes } : {};
      const atMs = this.#clock.nowMs();
      return { event: { type: 'effect-failed', error: report, isRetryable, ...durable, atMs } };
    } finally {
      this.#effect = undefined;
    }
  }

  /** What the runs before moved is in the record; it is not known yet to an agent that has just started. */
  async #beginTransfer(updateId: string): Promise<void> {
    const recorded = this.#meter.of(updateId) ?? (await this.#journal.update(updateId))?.transfer;
    this.#meter.begin(updateId, recorded);
    this.#transferSavedAtMs = this.#clock.monotonicMs();
  }

  async #wait(waiting: Waiting, signal: AbortSignal): Promise<void> {
    const isNew = this.#waiting?.gate !== waiting.gate || this.#waiting.text !== waiting.text;
    this.#waiting = waiting;
    // A failed save told its own line.
    if (isNew && waiting.gate !== 'journal') this.#report(waitingEvent(this.#state, waiting, this.#clock.nowMs()));
    const untilMs = waiting.untilMs ?? Number.POSITIVE_INFINITY;
    await this.#idle(Math.max(1, Math.min(gatePollMs, untilMs - this.#clock.nowMs())), signal);
  }

  async #idle(durationMs: number | undefined, signal: AbortSignal): Promise<void> {
    const waking = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const ended = AbortSignal.any([signal, waking.signal]);
    this.#pulse.beat(durationMs === undefined ? 'resting' : 'waiting');
    // A far retry is slept in pieces, so that a wall clock that is set meanwhile is noticed. Nothing is due in a rest.
    const pieceMs = durationMs === undefined ? restMs : Math.min(durationMs, gatePollMs);
    const slept = this.#clock.sleep(pieceMs, ended).catch(() => undefined);
    await Promise.race([woken, slept]);
    waking.abort();
    this.#wake = () => undefined;
  }

  #report(event: Omit<EventRecord, 'sequence'> | undefined): void {
    if (event !== undefined) this.#tell((reporter) => reporter.report(event));
  }

  /** A reporter that throws breaks its promise, and must not break the update: the others are told of it, once. */
  #tell(tell: (reporter: Reporter) => void): void {
    for (const reporter of this.#reporters) {
      try {
        tell(reporter);
      } catch (error) {
        if (this.#faultyReporters.has(reporter)) continue;
        this.#faultyReporters.add(reporter);
        const event = reporterFailure(reportOf(error), this.#clock.nowMs());
        this.#tell((other) => {
          if (other !== reporter) other.report(event);
        });
      }
    }
  }

  /** Hands the progress of the write to the reporters. */
  reportProgress(progress: WriteProgress): void {
    const state = this.#state;
    if (state.phase === 'idle') return;
    this.#pulse.beat(state.phase);
    this.#tell((reporter) => reporter.progress(state.update, progress));
    if (this.#clock.monotonicMs() - this.#transferSavedAtMs < transferSaveMs) return;
    this.#transferSavedAtMs = this.#clock.monotonicMs();
    const moved = this.#meter.of(state.update.id);
    if (moved === undefined) return;
    this.#journal.save({ transfer: { updateId: state.update.id, moved } }).catch((error: unknown) => {
      this.#report(failureEvent(state, reportOf(error), this.#clock.nowMs()));
    });
  }

  /** An agent that can't do its duty adds what is wrong with it; each is a failed required check of a trial. */
  addStandingFault(fault: CheckResult): void {
    this.#standingFaults = [...this.#standingFaults, fault];
  }
}
