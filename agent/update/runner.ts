import type { Waiting } from '../core/control.ts';
import { AgentError, errorTable, type ErrorReport, reportOf } from '../core/errors.ts';
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
import { applyDeployments, journalChange } from './journal-change.ts';
import type { Started } from './start.ts';
import type { UpdateMemory } from './update-memory.ts';

const gatePollMs = 30_000;
const savePollMs = 10_000;

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
  readonly #onStep: (before: UpdateState, after: UpdateState) => void;
  #state: UpdateState;
  #deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  #standingFaults: readonly CheckResult[];
  #waiting: Waiting | undefined;
  #effect: AbortController | undefined;
  #saveFailures = 0;
  #wake: () => void = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    ports: {
      journal: Journal;
      effects: Effects;
      rules: UpdateRules;
      clock: Clock;
      reporters: readonly Reporter[];
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
      const change = { ...extra, ...journalChange(before, event, after, this.#deployments) };
      await this.#journal.save(change);
      this.#state = after;
      this.#deployments = applyDeployments(this.#deployments, change);
      this.#waiting = undefined;
      this.#onStep(before, after);
      this.#report(describeEvent(before, event, after));
      if (event.type === 'cancel-asked') {
        this.#effect?.abort(new AgentError('update-cancelled', 'cannot go on: the update was cancelled'));
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
      const dueInMs = effectDueAtMs(state) - this.#clock.nowMs();
      if (effect === undefined || dueInMs > 0) {
        await this.#idle(effect === undefined ? undefined : dueInMs, signal);
        continue;
      }
      const result = await this.#perform(state, signal);
      if ('isRebooting' in result) return 'rebooting';
      // What failed because the phase was left says nothing about the phase that came.
      const isStale = this.#state.phase !== state.phase;
      if (isStale && ('waiting' in result || result.event.type === 'effect-failed')) continue;
      if ('waiting' in result) {
        await this.#wait(result.waiting, signal);
      } else if (!(await this.#take(result, state, signal))) {
        return 'rebooting';
      }
    }
  }

  /** Dispatches what an effect came to; `false` when the node goes down because nothing could be saved in a trial. */
  async #take(
    result: Extract<EffectResult, { event: UpdateEvent }>,
    state: UpdateState,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (signal.aborted) return true;
    try {
      await this.dispatch(result.event, result.change);
      this.#saveFailures = 0;
      return true;
    } catch (error) {
      const report = reportOf(error);
      if (report.code === 'internal') throw error;
      this.#saveFailures += 1;
      this.#report(failureEvent(state, report, this.#clock.nowMs()));
      if (state.phase === 'trial' && this.#saveFailures >= this.#rules.loaderAttempts) {
        // A slot that can't keep state is not good; without a record of it, the way back is all that is left.
        await this.#effects.abandonTrial(state.target.slot);
        return false;
      }
      await this.#wait(
        { gate: 'journal', code: report.code, text: report.message, untilMs: this.#clock.nowMs() + savePollMs },
        signal,
      );
      return true;
    }
  }

  async #perform(state: UpdateState, signal: AbortSignal): Promise<EffectResult> {
    const effect = new AbortController();
    this.#effect = effect;
    try {
      return await this.#effects.perform(state, this.memory, AbortSignal.any([signal, effect.signal]));
    } catch (error) {
      const report = reportOf(error);
      this.#report(failureEvent(state, report, this.#clock.nowMs()));
      const { isRetryable } = errorTable[report.code];
      return { event: { type: 'effect-failed', error: report, isRetryable, atMs: this.#clock.nowMs() } };
    } finally {
      this.#effect = undefined;
    }
  }

  async #wait(waiting: Waiting, signal: AbortSignal): Promise<void> {
    this.#waiting = waiting;
    const untilMs = waiting.untilMs ?? Number.POSITIVE_INFINITY;
    await this.#idle(Math.max(1, Math.min(gatePollMs, untilMs - this.#clock.nowMs())), signal);
  }

  async #idle(durationMs: number | undefined, signal: AbortSignal): Promise<void> {
    const waking = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const ended = AbortSignal.any([signal, waking.signal]);
    // A far retry is slept in pieces, so that a wall clock that is set meanwhile is noticed.
    const slept = this.#clock.sleep(Math.min(durationMs ?? 3_600_000, gatePollMs), ended).catch(() => undefined);
    await Promise.race([woken, slept]);
    waking.abort();
    this.#wake = () => undefined;
  }

  #report(event: Omit<EventRecord, 'sequence'> | undefined): void {
    if (event === undefined) return;
    for (const reporter of this.#reporters) reporter.report(event);
  }

  /** Hands the progress of the write to the reporters. */
  reportProgress(progress: WriteProgress): void {
    if (this.#state.phase === 'idle') return;
    for (const reporter of this.#reporters) reporter.progress(this.#state.update, progress);
  }

  /** An agent that can't do its duty adds what is wrong with it; each is a failed required check of a trial. */
  addStandingFault(fault: CheckResult): void {
    this.#standingFaults = [...this.#standingFaults, fault];
  }
}

function failureEvent(state: UpdateState, report: ErrorReport, atMs: number): Omit<EventRecord, 'sequence'> {
  return {
    atMs,
    updateId: state.phase === 'idle' ? undefined : state.update.id,
    kind: 'effect-failed',
    message: report.message,
    details: { phase: state.phase, code: report.code },
  };
}
