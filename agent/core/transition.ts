import {
  atLoader,
  baselineOf,
  cancelled,
  ended,
  retried,
  restaged,
  restagedOf,
  retriedAtLoader,
  rolledBack,
  rollingBack,
  triedForever,
  withoutRetry,
} from './endings.ts';
import { joinEvidence } from './evidence-bounds.ts';
import { paused, pauseOf, resumed } from './pausing.ts';
import { beginProbation, keptInProbation, probationChecked, probationOf } from './probation.ts';
import type { Effect, UpdateEvent, UpdateRules } from './update-events.ts';
import type { EvidenceItem, InPhase as In, UpdateState } from './update-state.ts';

/** The state after `event`. Total: an event that does not apply leaves the state as it is (the same object). */
export function transition(rules: UpdateRules, state: UpdateState, event: UpdateEvent): UpdateState {
  switch (state.phase) {
    case 'idle':
      return fromIdle(rules, state, event);
    case 'preparing':
      return fromPreparing(rules, state, event);
    case 'writing':
      return fromWriting(rules, state, event);
    case 'staged':
      return fromStaged(state, event);
    case 'activating':
      return fromActivating(rules, state, event);
    case 'activated':
      return fromActivated(rules, state, event);
    case 'trial':
      return fromTrial(state, event);
    case 'committing':
      return fromCommitting(rules, state, event);
    case 'cancelling':
      return fromCancelling(rules, state, event);
    case 'rolling-back':
      return fromRollingBack(rules, state, event);
  }
}

/** The one effect that carries `state` forward, or nothing where the agent waits for somebody. */
export function effectOf(state: UpdateState): Effect | undefined {
  if ('pause' in state) return undefined;
  switch (state.phase) {
    case 'idle':
      return state.probation === undefined ? undefined : 'watch-health';
    case 'preparing':
      return 'prepare';
    case 'writing':
      return 'write-slot';
    case 'staged':
      return state.update.until === 'staged' ? undefined : 'open-gates';
    case 'activating':
      return state.baseline === undefined ? 'take-baseline' : 'arm';
    case 'activated':
      return state.update.until === 'committed' || state.isRebootAsked ? 'reboot' : undefined;
    case 'trial':
      return 'check-health';
    case 'committing':
      return 'mark-good';
    case 'cancelling':
      return 'discard';
    case 'rolling-back':
      return state.step === 'record' ? 'turn-back' : 'reboot';
  }
}

/** When the effect of `state` may be performed: a retry's time, or 0 for at once. */
export function effectDueAtMs(state: UpdateState): number {
  return 'retry' in state ? state.retry.retryAtMs : 0;
}

function fromIdle(rules: UpdateRules, state: In<'idle'>, event: UpdateEvent): UpdateState {
  if (event.type === 'probation-checked') return probationChecked(rules, state, event);
  if (event.type === 'update-requested') return { phase: 'preparing', update: event.update, ...probationOf(state) };
  if (event.type === 'rollback-requested') {
    return { phase: 'activating', update: event.update, target: event.target, isRearmed: false };
  }
  return state;
}

function fromPreparing(rules: UpdateRules, state: In<'preparing'>, event: UpdateEvent): UpdateState {
  switch (event.type) {
    case 'prepared':
      return { phase: 'writing', update: state.update, target: event.target, isRearmed: false, ...pauseOf(state) };
    case 'found-running':
      return ended(state, event.atMs, 'committed', {
        digest: event.digest,
        code: 'already-running',
        message: 'the image is already running and proven',
      });
    case 'cancel-asked':
      return { phase: 'cancelling', update: state.update, target: undefined, ...probationOf(state) };
    case 'pause-asked':
      return paused(state, event.atMs);
    case 'resume-asked':
      return resumed(state, event.isMeteredAllowed);
    case 'effect-failed':
      // What ended as the pause came is done again after it.
      if (state.pause !== undefined) return state;
      return retried(rules, state, event) ?? ended(state, event.atMs, 'failed', event.error);
    default:
      return state;
  }
}

function fromWriting(rules: UpdateRules, state: In<'writing'>, event: UpdateEvent): UpdateState {
  const { update, target, isRearmed } = state;
  switch (event.type) {
    case 'slot-written':
      return { phase: 'staged', update, target, isRearmed, ...restagedOf(state), ...pauseOf(state) };
    case 'cancel-asked':
      return { phase: 'cancelling', update, target };
    case 'pause-asked':
      return paused(state, event.atMs);
    case 'resume-asked':
      return resumed(state, event.isMeteredAllowed);
    case 'effect-failed':
      if (state.pause !== undefined) return state;
      return retried(rules, state, event) ?? ended(state, event.atMs, 'failed', event.error);
    default:
      return state;
  }
}

function fromStaged(state: In<'staged'>, event: UpdateEvent): UpdateState {
  const { update, target, isRearmed, pause } = state;
  switch (event.type) {
    case 'activation-asked':
      if (pause !== undefined) return state;
      return { phase: 'staged', update: { ...update, until: event.until }, target, isRearmed, ...restagedOf(state) };
    case 'pause-asked':
      return paused(state, event.atMs);
    case 'resume-asked':
      return resumed(state, event.isMeteredAllowed);
    case 'gates-opened':
      return update.until === 'staged' || pause !== undefined
        ? state
        : { phase: 'activating', update, target, isRearmed, ...restagedOf(state) };
    case 'cancel-asked':
      return { phase: 'cancelling', update, target };
    default:
      return state;
  }
}

function fromActivating(rules: UpdateRules, state: In<'activating'>, event: UpdateEvent): UpdateState {
  const { update, target, isRearmed } = state;
  switch (event.type) {
    case 'baseline-taken':
      return { ...withoutRetry(state), baseline: { atMs: event.atMs, checks: event.checks } };
    case 'armed':
      return { phase: 'activated', update, target, isRearmed, isRebootAsked: false, ...baselineOf(state) };
    case 'cancel-asked':
      return rollingBack(state, 'operator', 'an operator cancelled the update', false);
    case 'effect-failed':
      return (
        restaged(state, event) ??
        retriedAtLoader(rules, state, event) ??
        rollingBack(state, 'activation-failed', event.error.message, false)
      );
    default:
      return state;
  }
}

function fromActivated(rules: UpdateRules, state: In<'activated'>, event: UpdateEvent): UpdateState {
  switch (event.type) {
    case 'reboot-asked':
      return { ...state, isRebootAsked: true };
    case 'activation-asked':
      return { ...state, update: { ...state.update, until: event.until } };
    case 'cancel-asked':
      return rollingBack(state, 'operator', 'an operator cancelled the update', false);
    case 'effect-failed':
      return triedForever(rules, state, event);
    default:
      return state;
  }
}

function fromTrial(state: In<'trial'>, event: UpdateEvent): UpdateState {
  const { update, target, isRearmed } = state;
  switch (event.type) {
    case 'verdict-reached':
      return event.isPassed
        ? { phase: 'committing', update, target, isRearmed, ...baselineOf(state) }
        : rollingBack(state, 'health-failed', event.message, true, event.evidence, event.cause);
    case 'cancel-asked':
      return rollingBack(state, 'operator', 'an operator cancelled the trial', true);
    case 'effect-failed':
      // Checks that can't be run prove nothing, and what is not proven goes back.
      return rollingBack(state, 'health-failed', event.error.message, true);
    default:
      return state;
  }
}

function fromCommitting(rules: UpdateRules, state: In<'committing'>, event: UpdateEvent): UpdateState {
  switch (event.type) {
    case 'marked-good':
      return {
        ...ended(state, event.atMs, 'committed', { digest: state.target.digest }),
        ...beginProbation(rules, state),
      };
    case 'effect-failed':
      return (
        retriedAtLoader(rules, state, event) ??
        rollingBack(state, 'mark-good-failed', event.error.message, true, [loaderFailure(rules, event)])
      );
    default:
      return state;
  }
}

function fromCancelling(rules: UpdateRules, state: In<'cancelling'>, event: UpdateEvent): UpdateState {
  switch (event.type) {
    case 'cancelled':
      return cancelled(state, event.atMs);
    case 'effect-failed':
      // The slot was marked bad before its first byte was written: what is left undone can't boot.
      return retriedAtLoader(rules, state, event) ?? cancelled(state, event.atMs);
    default:
      return state;
  }
}

function fromRollingBack(rules: UpdateRules, state: In<'rolling-back'>, event: UpdateEvent): UpdateState {
  switch (event.type) {
    case 'turned-back':
      return state.isTargetBooted
        ? { ...withoutRetry(state), step: 'reboot', evidence: joinEvidence(state.evidence, event.evidence ?? []) }
        : rolledBack(state, event.atMs);
    case 'effect-failed': {
      const attempts = (state.retry?.attempts ?? 0) + 1;
      if (state.probation !== undefined && state.step === 'record' && state.isTargetBooted) {
        // A committed slot has no tries that a reboot would use up: it would come up again, and go back for ever.
        return attempts < rules.loaderAttempts
          ? triedForever(atLoader(rules), state, event)
          : keptInProbation(state.probation, state.message, event.error.message, event.atMs);
      }
      // A loader that can't be written still counts: rebooting uses up the tries and ends in the old slot.
      return state.step === 'record' && state.isTargetBooted && attempts >= rules.loaderAttempts
        ? { ...withoutRetry(state), step: 'reboot' }
        : triedForever(state.isTargetBooted ? atLoader(rules) : rules, state, event);
    }
    default:
      return state;
  }
}

function loaderFailure(rules: UpdateRules, { error }: Extract<UpdateEvent, { type: 'effect-failed' }>): EvidenceItem {
  const text = `the slot passed its checks and could not be marked good in ${rules.loaderAttempts} attempts: ${error.message}`;
  return { kind: 'error', name: error.code, text };
}
