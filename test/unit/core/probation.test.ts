import { describe, expect, it } from 'vitest';
import { recover } from '../../../agent/core/recover.ts';
import { effectOf, transition } from '../../../agent/core/transition.ts';
import type { UpdateEvent, UpdateRules } from '../../../agent/core/update-events.ts';
import type { UpdateState } from '../../../agent/core/update-state.ts';
import { eventNamed, rules as plainRules, stateNamed, target, update } from './samples.ts';

const alarming: UpdateRules = {
  ...plainRules,
  probation: { durationMs: 600_000, intervalMs: 60_000, onFailure: 'alarm' },
};
const rollingBack: UpdateRules = {
  ...plainRules,
  probation: { durationMs: 600_000, intervalMs: 60_000, onFailure: 'roll-back' },
};

function checked(isPassed: boolean, more: object = {}): UpdateEvent {
  return { ...eventNamed(isPassed ? 'probation passed' : 'probation failed'), ...more };
}

function after(rules: UpdateRules, state: UpdateState, ...events: readonly UpdateEvent[]): UpdateState {
  return events.reduce((current, event) => transition(rules, current, event), state);
}

const watched = stateNamed('idle, in probation');
const fails = 'effect-failed, retryable';

describe('a probation', () => {
  it('begins with the commit of an image, where the rules have one', () => {
    const committing = stateNamed('committing');
    const begun = transition(alarming, committing, eventNamed('marked-good'));
    expect(begun).toMatchObject({
      phase: 'idle',
      last: { result: 'committed' },
      probation: { update: { id: update.id }, target: { slot: 'b', previous: 'a' }, leftMs: 600_000 },
    });
    expect(effectOf(begun)).toBe('watch-health');
    expect(transition(plainRules, committing, eventNamed('marked-good'))).not.toHaveProperty('probation');
  });

  it('is of no rollback that an operator asked for', () => {
    const committing = { ...stateNamed('committing'), update: { ...update, kind: 'rollback' } } as UpdateState;
    expect(transition(alarming, committing, eventNamed('marked-good'))).not.toHaveProperty('probation');
  });

  it('knows what was broken before the update', () => {
    const taken = after(alarming, stateNamed('activating'), eventNamed('baseline-taken'));
    if (taken.phase !== 'activating') throw new Error('not activating');
    const { update: request, target: to, isRearmed, baseline } = taken;
    const trial: UpdateState = {
      phase: 'trial',
      ...{ update: request, target: to, isRearmed, baseline, bootId: 'boot-1', deadlineMonotonicMs: 1 },
    };
    const begun = after(alarming, trial, eventNamed('verdict passed'), eventNamed('marked-good'));
    expect(begun).toMatchObject({ probation: { baseline: { checks: [{ name: 'gps', isPassed: false }] } } });
  });

  it('ends once it was watched for long enough, whatever the wall clock says', () => {
    const later = checked(true, { watchedMs: 400_000, atMs: 0 });
    const once = after(alarming, watched, later);
    expect(once).toMatchObject({ probation: { leftMs: 200_000 } });
    expect(after(alarming, once, later)).toEqual({ phase: 'idle' });
  });

  it('keeps the first time of an alarm, ends it when the checks pass, and does not end before', () => {
    const failed = after(alarming, watched, checked(false, { watchedMs: 900_000 }));
    expect(failed).toMatchObject({ probation: { leftMs: 0, alarm: { atMs: 5_000, message: 'check web' } } });
    const still = after(alarming, failed, checked(false, { atMs: 9_000, message: 'check disk' }));
    expect(still).toMatchObject({ probation: { alarm: { atMs: 5_000, message: 'check disk' } } });
    expect(after(alarming, still, checked(true))).toEqual({ phase: 'idle' });
    expect(after(alarming, watched, checked(false), checked(true))).not.toHaveProperty('probation.alarm');
  });

  it('leads back only where the rules say so and the other slot is good', () => {
    expect(after(alarming, watched, checked(false)).phase).toBe('idle');
    expect(after(rollingBack, watched, checked(false, { isFallbackGood: false }))).toMatchObject({
      phase: 'idle',
      probation: { alarm: { message: 'check web; the other slot is no fallback, so the node stays' } },
    });
    expect(after(rollingBack, watched, checked(false))).toMatchObject({
      phase: 'rolling-back',
      update: { id: 'update-0' },
      target: { slot: 'b' },
      reason: 'health-failed',
      message: 'in probation: check web',
      isTargetBooted: true,
      step: 'record',
    });
  });

  it('stays in its slot, with an alarm, when the loader does not take the way back', () => {
    const back = after(rollingBack, watched, checked(false));
    const kept = after(rollingBack, back, eventNamed(fails), eventNamed(fails), eventNamed(fails));
    expect(kept).toMatchObject({
      phase: 'idle',
      probation: { alarm: { message: expect.stringContaining('the way back failed') as string } },
    });
    expect(after(rollingBack, back, eventNamed(fails), eventNamed('turned-back'))).toMatchObject({ step: 'reboot' });
  });

  it('goes on after an update that changed nothing, and ends with one that takes the other slot', () => {
    const preparing = after(alarming, watched, eventNamed('update-requested'));
    for (const name of ['found-running', 'effect-failed, for good']) {
      expect(after(alarming, preparing, eventNamed(name))).toMatchObject({
        phase: 'idle',
        probation: { leftMs: 600_000 },
      });
    }
    expect(after(alarming, preparing, eventNamed('cancel-asked'), eventNamed('cancelled'))).toMatchObject({
      phase: 'idle',
      probation: { leftMs: 600_000 },
    });
    expect(after(alarming, preparing, eventNamed('prepared'))).not.toHaveProperty('probation');
    expect(after(alarming, watched, eventNamed('rollback-requested'))).not.toHaveProperty('probation');
  });
});

describe('a restart in probation', () => {
  const good = { state: 'good', triesLeft: 4 } as const;
  const found = (booted: 'a' | 'b') => ({
    booted,
    bootId: 'boot-9',
    boot: { primary: booted, trial: undefined, trialTries: 0, slots: { a: good, b: good } },
    deployments: {},
    evidence: [],
    areAllTriesPowerLoss: false,
    monotonicMs: 1,
    atMs: 1,
  });

  it('goes on with what is left of it, its alarm included', () => {
    const failing = stateNamed('idle, in probation that fails');
    expect(recover(alarming, failing, found('b'))).toEqual(failing);
  });

  it('goes on in the middle of an update that has not begun to write', () => {
    const preparing = stateNamed('preparing, in probation');
    expect(recover(alarming, preparing, found('b'))).toEqual(preparing);
    expect(recover(plainRules, preparing, found('b'))).not.toHaveProperty('probation');
  });

  it('ends where another slot runs, or the rules have no probation any more', () => {
    expect(recover(alarming, watched, found('a'))).toEqual({ phase: 'idle' });
    expect(recover(plainRules, watched, found('b'))).toEqual({ phase: 'idle' });
  });

  it('in the middle of the way back turns back again, and ends in the old slot', () => {
    const back = after(rollingBack, watched, checked(false));
    const inNew = recover(rollingBack, back, found('b'));
    expect(inNew).toMatchObject({ phase: 'rolling-back', step: 'record', isTargetBooted: true });
    const inOld = recover(rollingBack, back, found('a'));
    const ended = after(rollingBack, inOld, eventNamed('turned-back'));
    expect(ended).toMatchObject({ phase: 'idle', last: { result: 'rolled-back', code: 'health-failed' } });
    expect(ended).not.toHaveProperty('probation');
  });

  it('keeps trying in the old slot, however often the loader fails', () => {
    const back = recover(rollingBack, after(rollingBack, watched, checked(false)), found('a'));
    expect(after(rollingBack, back, ...Array.from({ length: 9 }, () => eventNamed(fails)))).toMatchObject({
      phase: 'rolling-back',
      step: 'record',
    });
  });

  it('has the target of its update', () => {
    expect(watched).toMatchObject({ probation: { target } });
  });
});
