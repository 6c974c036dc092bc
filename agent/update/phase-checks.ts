import { AgentError, type ErrorReport } from '../core/errors.ts';
import type { InPhase, UpdateState } from '../core/update-state.ts';

/** Throws `update-in-progress` unless no update is under way. */
export function refuseUnlessIdle(state: UpdateState): void {
  if (state.phase === 'idle') return;
  throw new AgentError('update-in-progress', `cannot start an update: ${state.update.id} is ${state.phase}`, {
    details: { updateId: state.update.id, phase: state.phase },
  });
}

/** Throws `update-phase-wrong` unless update `id` is in one of the `allowed` phases. */
export function refuseUnlessPhase(
  state: UpdateState,
  id: string,
  allowed: readonly UpdateState['phase'][],
  verb: string,
): void {
  if (state.phase === 'idle' || state.update.id !== id) {
    throw new AgentError('update-phase-wrong', `cannot ${verb} update ${id}: it is not under way`, {
      details: { phase: 'idle' },
    });
  }
  if (!allowed.includes(state.phase)) {
    throw new AgentError('update-phase-wrong', `cannot ${verb} update ${id}: it is ${state.phase}`, {
      details: { phase: state.phase },
    });
  }
}

/** Throws `update-phase-wrong` while an operator's pause holds the update. */
export function refuseWhilePaused(state: UpdateState, verb: string): void {
  if (!('pause' in state)) return;
  const { phase, update } = state;
  throw new AgentError('update-phase-wrong', `cannot ${verb} update ${update.id}: it is paused; resume it first`, {
    details: { phase, isPaused: true },
  });
}

/** Throws `update-phase-wrong` while an update is under way. */
export function refuseWhileActive(state: UpdateState, what: string): void {
  if (state.phase === 'idle') return;
  const { phase } = state;
  throw new AgentError('update-phase-wrong', `cannot ${what}: an update is ${phase}`, { details: { phase } });
}

/** Throws `agent-degraded` unless nothing of the agent is broken. */
export function refuseWhileDegraded(degraded: readonly ErrorReport[], what: string): void {
  const [first] = degraded;
  if (first === undefined) return;
  throw new AgentError('agent-degraded', `cannot ${what}: the agent is degraded: ${first.message}`, {
    details: { causes: degraded.map(({ code }) => code) },
  });
}

/** Whether what runs is a slot on trial, or one that is given up: only a reboot ends either. */
export function isTrialRunning(state: UpdateState): state is InPhase<'trial' | 'rolling-back'> {
  if (state.phase === 'trial') return true;
  // A slot in probation was proven: without a record of it, it stays.
  return state.phase === 'rolling-back' && state.isTargetBooted && state.probation === undefined;
}
