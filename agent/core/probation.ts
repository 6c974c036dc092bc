import type { Baseline } from './baseline.ts';
import { baselineOf, rollingBack } from './endings.ts';
import type { UpdateEvent, UpdateRules } from './update-events.ts';
import type { InPhase, SlotName, Target, UpdateRequest, UpdateState } from './update-state.ts';

/** What failed in a probation, and since when; it stands until the checks pass again. */
export interface ProbationAlarm {
  readonly atMs: number;
  readonly message: string;
}

/** The time after a commit in which the checks go on. */
export interface Probation {
  readonly update: UpdateRequest;
  readonly target: Target;
  /** Time under watch that is left. It is counted while the agent runs: a wall clock that jumps ends no probation. */
  readonly leftMs: number;
  /** What was broken before the update is no failure of it now. */
  readonly baseline?: Baseline | undefined;
  readonly alarm?: ProbationAlarm | undefined;
}

/** The rules of a probation. */
export interface ProbationRules {
  readonly durationMs: number;
  readonly intervalMs: number;
  /** `alarm`: a failure is told and nothing else; `roll-back`: it leads back to the old slot, where that is good. */
  readonly onFailure: 'alarm' | 'roll-back';
}

type Checked = Extract<UpdateEvent, { type: 'probation-checked' }>;

/** The probation of `state`, to be handed on. */
export function probationOf(state: UpdateState): { readonly probation?: Probation } {
  return 'probation' in state && state.probation !== undefined ? { probation: state.probation } : {};
}

/** The probation that begins with the commit of `state`; an operator's rollback has none. */
export function beginProbation(
  { probation: rules }: UpdateRules,
  state: InPhase<'committing'>,
): { readonly probation?: Probation } {
  const { update, target } = state;
  if (rules === undefined || update.kind !== 'install') return {};
  return { probation: { update, target, leftMs: rules.durationMs, ...baselineOf(state) } };
}

/** The probation of `state` that goes on after a restart, in `booted`: of the slot that runs, where the rules still have one. */
export function keptProbation(
  { probation: rules }: UpdateRules,
  state: UpdateState,
  booted: SlotName,
): { readonly probation?: Probation } {
  const { probation } = probationOf(state);
  return rules === undefined || probation?.target.slot !== booted ? {} : { probation };
}

/** The state after a round of checks in probation. */
export function probationChecked(rules: UpdateRules, state: InPhase<'idle'>, event: Checked): UpdateState {
  const { probation, ...idle } = state;
  if (probation === undefined) return state;
  const leftMs = Math.max(0, probation.leftMs - event.watchedMs);
  const { alarm, ...calm } = { ...probation, leftMs };
  if (event.isPassed) return leftMs === 0 ? idle : { ...idle, probation: calm };
  if (rules.probation?.onFailure === 'roll-back' && event.isFallbackGood) {
    const { update, target } = probation;
    const message = `in probation: ${event.message}`;
    const back = rollingBack(
      // A digest that was committed is not armed once more.
      { phase: 'committing', update, target, isRearmed: true },
      'health-failed',
      message,
      true,
      event.evidence,
    );
    return { ...back, probation: calm };
  }
  // It does not end while it fails.
  return {
    ...idle,
    probation: { ...calm, alarm: { atMs: alarm?.atMs ?? event.atMs, message: alarmText(rules, event) } },
  };
}

/** A roll back out of probation that the loader did not take: the slot is committed and stays, and the alarm says why. */
export function keptInProbation(probation: Probation, message: string, reason: string, atMs: number): InPhase<'idle'> {
  const text = `${message}; the way back failed: ${reason}`;
  return { phase: 'idle', probation: { ...probation, alarm: { atMs, message: text } } };
}

function alarmText(rules: UpdateRules, { message, isFallbackGood }: Checked): string {
  const isWanted = rules.probation?.onFailure === 'roll-back' && !isFallbackGood;
  return isWanted ? `${message}; the other slot is no fallback, so the node stays` : message;
}
