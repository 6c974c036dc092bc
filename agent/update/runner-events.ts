import type { Waiting } from '../core/control.ts';
import type { ErrorReport } from '../core/errors.ts';
import type { EventRecord } from '../core/ports.ts';
import type { UpdateState } from '../core/update-state.ts';

/** An effect of `state` failed. */
export function failureEvent(state: UpdateState, report: ErrorReport, atMs: number): Omit<EventRecord, 'sequence'> {
  return {
    atMs,
    updateId: state.phase === 'idle' ? undefined : state.update.id,
    kind: 'effect-failed',
    message: report.message,
    details: { phase: state.phase, code: report.code },
  };
}

/** An effect of `state` began to wait. */
export function waitingEvent(state: UpdateState, waiting: Waiting, atMs: number): Omit<EventRecord, 'sequence'> {
  return {
    atMs,
    updateId: state.phase === 'idle' ? undefined : state.update.id,
    kind: 'gate-closed',
    message: `the update waits: ${waiting.text}`,
    details: { phase: state.phase, gate: waiting.gate, code: waiting.code, untilMs: waiting.untilMs },
  };
}

/** A reporter threw. */
export function reporterFailure(report: ErrorReport, atMs: number): Omit<EventRecord, 'sequence'> {
  const message = `a reporter could not take an event: ${report.message}`;
  return { atMs, updateId: undefined, kind: 'reporter-failed', message, details: { code: report.code } };
}
