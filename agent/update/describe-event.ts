import type { BaselineCheck, EventRecord, Transfer } from '../core/ports.ts';
import { probationOf } from '../core/probation.ts';
import { transferText } from '../core/transfer.ts';
import type { UpdateEvent } from '../core/update-events.ts';
import type { UpdateState } from '../core/update-state.ts';
import { rollbackDetails } from './rollback-record.ts';

/** The line of the audit trail for the step from `before` to `after`; `moved` is what a write that ended moved. */
export function describeEvent(
  before: UpdateState,
  event: UpdateEvent,
  after: UpdateState,
  moved?: Transfer,
): Omit<EventRecord, 'sequence'> | undefined {
  if (event.type === 'probation-checked') return probationEvent(before, event, after);
  // A failed effect has been told by its own line; what follows from it is told only when the phase changes.
  if (event.type === 'effect-failed' && before.phase === after.phase) return undefined;
  const update = 'update' in after ? after.update : 'update' in before ? before.update : undefined;
  const slot = 'target' in after ? after.target?.slot : undefined;
  const wayBack = after.phase === 'rolling-back' ? after : before.phase === 'rolling-back' ? before : undefined;
  return {
    atMs: event.atMs,
    updateId: update?.id,
    kind: after.phase === 'idle' ? `update-${after.last?.result ?? 'ended'}` : event.type,
    message:
      moved === undefined
        ? sentence(before, event, after)
        : `${sentence(before, event, after)} (${transferText(moved)})`,
    details: {
      from: before.phase,
      phase: after.phase,
      ...(slot === undefined ? {} : { slot }),
      ...(moved === undefined ? {} : { moved }),
      ...(update === undefined ? {} : { image: update.image }),
      ...(update?.downgradeReason === undefined ? {} : { downgradeReason: update.downgradeReason }),
      ...(wayBack === undefined ? {} : { rollback: rollbackDetails(wayBack) }),
      ...(after.phase === 'idle' && after.last?.code !== undefined ? { code: after.last.code } : {}),
    },
  };
}

function sentence(before: UpdateState, event: UpdateEvent, after: UpdateState): string {
  if (after.phase === 'idle') {
    const message = after.last?.message;
    return `the update ended: ${after.last?.result ?? 'idle'}${message === undefined ? '' : `: ${message}`}`;
  }
  if (event.type === 'pause-asked') return `an operator paused the update, which is ${after.phase}`;
  if (event.type === 'resume-asked') {
    const link = event.isMeteredAllowed === true ? ', over a metered link, too' : '';
    return `an operator lets the update go on, which is ${after.phase}${link}`;
  }
  if (event.type === 'baseline-taken') return baselineText(event.checks);
  switch (after.phase) {
    case 'preparing':
      return `an update to ${after.update.image} was asked for${
        after.update.downgradeReason === undefined
          ? ''
          : `, below the rollback floor if need be, as an operator says: ${after.update.downgradeReason}`
      }`;
    case 'writing':
      if (before.phase === 'activating' && event.type === 'effect-failed') {
        return `the boot partition lost what slot ${after.target.slot} starts; writing it again: ${event.error.message}`;
      }
      return `the image is verified; writing slot ${after.target.slot}`;
    case 'staged':
      return event.type === 'slot-written'
        ? `slot ${after.target.slot} is written and read back`
        : `the staged update goes on until ${after.update.until}`;
    case 'activating':
      return `arming the loader for slot ${after.target.slot}`;
    case 'activated':
      return `slot ${after.target.slot} is primary with its tries; the reboot is next`;
    case 'trial':
      return `slot ${after.target.slot} is in trial`;
    case 'committing':
      return `the trial passed: ${event.type === 'verdict-reached' ? event.message : 'committing'}`;
    case 'cancelling':
      return `cancelling the update out of ${before.phase}`;
    case 'rolling-back':
      return after.step === 'reboot'
        ? 'the loader is turned back; rebooting'
        : `rolling back: ${after.reason}: ${after.message}`;
  }
}

function baselineText(checks: readonly BaselineCheck[]): string {
  const failed = checks.filter(({ isPassed }) => !isPassed).map(({ name }) => name);
  const passed = checks.length - failed.length;
  const broken = failed.length === 0 ? '' : `; broken before the update: ${failed.join(', ')}`;
  return `the node before the update: ${passed} of ${checks.length} compared health checks pass${broken}`;
}

/** A round in probation is told where it changes something. */
function probationEvent(
  before: UpdateState,
  event: Extract<UpdateEvent, { type: 'probation-checked' }>,
  after: UpdateState,
): Omit<EventRecord, 'sequence'> | undefined {
  const { probation } = probationOf(before);
  if (probation === undefined) return undefined;
  const now = after.phase === 'idle' ? after.probation : undefined;
  const tell = (kind: string, message: string) => {
    const details = { phase: after.phase, slot: probation.target.slot, image: probation.update.image };
    return { atMs: event.atMs, updateId: probation.update.id, kind, message, details };
  };
  if (after.phase === 'rolling-back') return tell('probation-failed', `rolling back: ${after.message}`);
  if (now === undefined) return tell('probation-ended', `slot ${probation.target.slot} is well: its probation is over`);
  if (now.alarm !== undefined) {
    return probation.alarm === undefined ? tell('probation-failed', `in probation: ${now.alarm.message}`) : undefined;
  }
  return probation.alarm === undefined ? undefined : tell('probation-recovered', 'the checks in probation pass again');
}
