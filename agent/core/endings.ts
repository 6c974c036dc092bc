import type { Baseline } from './baseline.ts';
import type { ErrorCode, ErrorReport } from './errors.ts';
import { causeOf, type RollbackCause } from './rollback-cause.ts';
import type { UpdateEvent, UpdateRules } from './update-events.ts';
import type { EvidenceItem, InPhase as In, Outcome, Retry, RollbackReason, UpdateState } from './update-state.ts';

type Failed = Extract<UpdateEvent, { type: 'effect-failed' }>;

/** The code that a rollback's outcome carries. */
export const rollbackCodes = {
  'never-booted': 'boot-tries-exhausted',
  'trial-lost': 'trial-lost',
  'health-failed': 'health-failed',
  'power-lost': 'power-lost',
  operator: 'update-cancelled',
  'activation-failed': 'boot-env-write-failed',
  'mark-good-failed': 'boot-env-write-failed',
  'committed-slot-lost': 'committed-slot-lost',
} as const satisfies Record<RollbackReason, ErrorCode>;

type Targeted = In<'writing' | 'staged' | 'activating' | 'activated' | 'trial' | 'committing' | 'rolling-back'>;

/** The start of a way back; `isTargetBooted` tells whether it ends in a reboot. */
export function rollingBack(
  state: Targeted,
  reason: RollbackReason,
  message: string,
  isTargetBooted: boolean,
  evidence: readonly EvidenceItem[] = [],
  cause: RollbackCause = causeOf(reason),
): In<'rolling-back'> {
  const { update, target, isRearmed } = state;
  return {
    phase: 'rolling-back',
    update,
    target,
    isRearmed,
    reason,
    message,
    evidence,
    cause,
    isTargetBooted,
    step: 'record',
  };
}

/** The end of a way back: `cancelled` where an operator wanted it, else `rolled-back` with the reason's code. */
export function rolledBack(state: In<'rolling-back'>, atMs: number): UpdateState {
  const result = state.reason === 'operator' ? 'cancelled' : 'rolled-back';
  return ended(state, atMs, result, {
    digest: state.target.digest,
    code: rollbackCodes[state.reason],
    message: state.message,
  });
}

/** The end of a cancelled update. */
export function cancelled(state: In<'cancelling'>, atMs: number): UpdateState {
  return ended(state, atMs, 'cancelled', {
    digest: state.target?.digest,
    code: 'update-cancelled',
    message: 'an operator cancelled the update',
  });
}

/** Idle, with how the update ended. */
export function ended(
  state: Exclude<UpdateState, { phase: 'idle' }>,
  atMs: number,
  result: Outcome['result'],
  why: { digest?: string | undefined; code?: ErrorCode; message?: string },
): In<'idle'> {
  const digest = why.digest ?? ('target' in state ? state.target?.digest : undefined);
  return {
    phase: 'idle',
    last: {
      updateId: state.update.id,
      kind: state.update.kind,
      result,
      atMs,
      digest,
      ...(why.code === undefined ? {} : { code: why.code }),
      ...(why.message === undefined ? {} : { message: why.message }),
    },
    // Of an update that ended before it touched the other slot.
    ...(state.phase !== 'rolling-back' && 'probation' in state && state.probation !== undefined
      ? { probation: state.probation }
      : {}),
  };
}

function delayMs({ retryBaseMs, retryMaxMs }: UpdateRules, attempts: number): number {
  return Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(attempts - 1, 20));
}

function retryOf(rules: UpdateRules, attempts: number, error: ErrorReport, atMs: number): Retry {
  return { attempts, retryAtMs: atMs + delayMs(rules, attempts), last: error };
}

/** The same state with one more retry, exponentially later; `undefined` once the attempts are used up. */
export function retried<S extends In<'preparing' | 'writing' | 'activating' | 'committing' | 'cancelling'>>(
  rules: UpdateRules,
  state: S,
  event: Failed,
): S | undefined {
  const { durableBytes = 0 } = event;
  const mostBytes = state.retry?.durableBytes ?? 0;
  // A link that drops every few seconds still finishes: the attempts are for what makes no progress.
  const attempts = durableBytes > mostBytes ? 1 : (state.retry?.attempts ?? 0) + 1;
  if (!event.isRetryable || attempts >= rules.attempts) return undefined;
  const retry = retryOf(rules, attempts, event.error, event.atMs);
  return {
    ...state,
    retry: event.durableBytes === undefined ? retry : { ...retry, durableBytes: Math.max(durableBytes, mostBytes) },
  };
}

/** As `retried`, for a loader that can't be written: by its own attempts and waits, whatever the error. */
export function retriedAtLoader<S extends In<'activating' | 'committing' | 'cancelling'>>(
  rules: UpdateRules,
  state: S,
  event: Failed,
): S | undefined {
  return retried({ ...atLoader(rules), attempts: rules.loaderAttempts }, state, { ...event, isRetryable: true });
}

/**
 * Back to writing, where the loader's partition lost what the slot is started from: what is there of the slot need not be
 * fetched again. `undefined` for any other failure, for what was not fetched, and the second time.
 */
export function restaged(state: In<'activating'>, event: Failed): In<'writing'> | undefined {
  const { update, target, isRearmed, isRestaged } = state;
  const isOver = isRestaged === true || update.kind !== 'install' || target.digest === undefined;
  if (event.error.code !== 'boot-payload-missing' || isOver) return undefined;
  return { phase: 'writing', update, target, isRearmed, isRestaged: true };
}

/** Whether the slot was written again for its kernel, to be handed on. */
export function restagedOf(state: UpdateState): { readonly isRestaged?: true } {
  return 'isRestaged' in state ? { isRestaged: true } : {};
}

/** `rules` with the waits between attempts at the loader. */
export function atLoader(rules: UpdateRules): UpdateRules {
  return { ...rules, retryBaseMs: rules.loaderRetryBaseMs, retryMaxMs: rules.loaderRetryMaxMs };
}

/** How long a committed slot's agent waits before it renews its markers again, after so many failed attempts. */
export function renewalDelayMs(rules: UpdateRules, attempts: number): number {
  return delayMs({ ...rules, retryBaseMs: rules.loaderRetryBaseMs }, attempts);
}

/** The same state with one more retry, however many there were. */
export function triedForever<S extends In<'activated' | 'rolling-back'>>(
  rules: UpdateRules,
  state: S,
  event: Failed,
): S {
  const attempts = (state.retry?.attempts ?? 0) + 1;
  return { ...state, retry: retryOf(rules, attempts, event.error, event.atMs) };
}

/** What the checks said before the update, to be handed on. */
export function baselineOf(state: UpdateState): { readonly baseline?: Baseline } {
  return 'baseline' in state && state.baseline !== undefined ? { baseline: state.baseline } : {};
}

/** The same state, its effect due at once. */
export function withoutRetry<S extends { readonly retry?: Retry }>(state: S): S {
  const rest: S & { retry?: Retry } = { ...state };
  delete (rest as { retry?: Retry }).retry;
  return rest;
}
