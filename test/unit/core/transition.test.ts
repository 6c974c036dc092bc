import { describe, expect, it } from 'vitest';
import { effectDueAtMs, effectOf, transition } from '../../../agent/core/transition.ts';
import { defaultRules, type UpdateEvent } from '../../../agent/core/update-events.ts';
import { phases, type UpdateState } from '../../../agent/core/update-state.ts';
import { digest as stateDigest, events, eventNamed, expected, rules, states, stateNamed, update } from './samples.ts';

function after(state: string, ...names: readonly string[]): UpdateState {
  return names.reduce((current, name) => transition(rules, current, eventNamed(name)), stateNamed(state));
}

describe('every state and every event', () => {
  it('has a sample state for each phase', () => {
    expect(new Set(states.map(([, state]) => state.phase))).toEqual(new Set(phases));
  });

  for (const [stateName, state] of states) {
    for (const [eventName, event] of events) {
      const phase = expected[stateName]?.[eventName];
      it(`${stateName}: ${eventName} leads to ${phase ?? 'the same state'}`, () => {
        const next = transition(rules, state, event);
        if (phase === undefined) expect(next).toBe(state);
        else expect(next.phase).toBe(phase);
      });
    }
  }
});

describe('effects', () => {
  it.each([
    ['idle', undefined],
    ['idle, in probation', 'watch-health'],
    ['rolling-back, out of probation', 'turn-back'],
    ['preparing', 'prepare'],
    ['preparing, paused', undefined],
    ['writing', 'write-slot'],
    ['writing, paused', undefined],
    ['staged', 'open-gates'],
    ['staged, until staged', undefined],
    ['staged, paused', undefined],
    ['activating', 'take-baseline'],
    ['activating, baseline taken', 'arm'],
    ['activated', 'reboot'],
    ['activated, until activated', undefined],
    ['trial', 'check-health'],
    ['committing', 'mark-good'],
    ['cancelling', 'discard'],
    ['rolling-back, not booted', 'turn-back'],
    ['rolling-back, booted', 'turn-back'],
    ['rolling-back, rebooting', 'reboot'],
  ])('%s is carried forward by %s', (name, effect) => {
    expect(effectOf(stateNamed(name))).toBe(effect);
  });

  it('reboots an update that waits in activated once somebody asks for the reboot', () => {
    expect(effectOf(after('activated, until activated', 'reboot-asked'))).toBe('reboot');
  });

  it('goes on from staged once somebody asks for the activation', () => {
    expect(effectOf(after('staged, until staged', 'activation-asked'))).toBe('open-gates');
  });
});

describe('what the checks said before the update', () => {
  it('is kept until the reboot, over failures at the loader', () => {
    const taken = { atMs: 5_000, checks: [{ name: 'gps', isPassed: false }] };
    expect(after('activating', 'baseline-taken')).toMatchObject({ phase: 'activating', baseline: taken });
    const armed = after('activating', 'baseline-taken', 'effect-failed, retryable', 'armed', 'reboot-asked');
    expect(armed).toMatchObject({ phase: 'activated', isRebootAsked: true, baseline: taken });
  });

  it('is not known of an update that an older agent armed', () => {
    expect(after('activating', 'armed')).not.toHaveProperty('baseline');
  });
});

describe('a pause', () => {
  it.each(['preparing', 'writing', 'staged', 'staged, until staged'])('of %s ends where it began', (name) => {
    expect(after(name, 'pause-asked', 'resume-asked')).toEqual(stateNamed(name));
  });

  it('begins once, however often it is asked for', () => {
    const once = after('writing', 'pause-asked');
    expect(transition(rules, once, { type: 'pause-asked', atMs: 99_000 })).toBe(once);
  });

  it('is kept by work that ended as it came, and nothing is armed behind it', () => {
    const staged = after('preparing, paused', 'prepared', 'slot-written');
    expect(staged).toMatchObject({ phase: 'staged', pause: { atMs: 4_000 } });
    expect(effectOf(staged)).toBeUndefined();
    expect(transition(rules, staged, eventNamed('gates-opened'))).toBe(staged);
  });

  it('forgets the failures before it: who resumes tries anew', () => {
    const state = after('writing', 'effect-failed, retryable', 'pause-asked', 'resume-asked');
    expect(state).toEqual(stateNamed('writing'));
    expect(effectDueAtMs(state)).toBe(0);
  });

  it('is no reason for a failure', () => {
    const state = stateNamed('writing, paused');
    expect(transition(rules, state, eventNamed('effect-failed, for good'))).toBe(state);
  });

  it('does not outlive what it is of', () => {
    expect(after('writing, paused', 'cancel-asked')).not.toHaveProperty('pause');
  });
});

describe('retries', () => {
  const fails = 'effect-failed, retryable';

  it('come exponentially later and end in the failure that was last', () => {
    const once = after('preparing', fails);
    const twice = after('preparing', fails, fails);
    expect([effectDueAtMs(once), effectDueAtMs(twice)]).toEqual([6_000, 7_000]);
    expect(after('preparing', fails, fails, fails)).toMatchObject({
      phase: 'idle',
      last: { result: 'failed', code: 'registry-unreachable' },
    });
  });

  it('begin anew when more of a write became durable since, and not for what was durable before', () => {
    const failed = (durableBytes: number) => ({ ...eventNamed(fails), durableBytes }) as UpdateEvent;
    const after4 = [10, 20, 30, 40].reduce(
      (state, durableBytes) => transition(rules, state, failed(durableBytes)),
      stateNamed('writing'),
    );
    expect(after4).toMatchObject({ phase: 'writing', retry: { attempts: 1, durableBytes: 40 } });
    const stuck = transition(rules, transition(rules, after4, failed(40)), failed(0));
    expect(stuck).toMatchObject({ phase: 'idle', last: { result: 'failed' } });
    expect(transition(rules, after4, failed(0))).toMatchObject({ retry: { attempts: 2, durableBytes: 40 } });
  });

  it('never come later than the rules allow', () => {
    const many = { ...rules, attempts: 50 };
    const state = Array.from({ length: 40 }).reduce<UpdateState>(
      (current) => transition(many, current, eventNamed(fails)),
      stateNamed('preparing'),
    );
    expect(effectDueAtMs(state)).toBe(5_000 + rules.retryMaxMs);
  });

  it('are forgotten when the phase is done', () => {
    expect(effectDueAtMs(after('preparing', fails, 'prepared'))).toBe(0);
  });

  it('turn an activation back when the loader cannot be armed', () => {
    expect(after('activating', fails, fails, fails)).toMatchObject({
      phase: 'rolling-back',
      reason: 'activation-failed',
      isTargetBooted: false,
    });
  });

  it('write a slot again, once, when its kernel is gone', () => {
    const gone: UpdateEvent = {
      type: 'effect-failed',
      error: { code: 'boot-payload-missing', message: 'there is no kernel' },
      isRetryable: false,
      atMs: 5_000,
    };
    const again = transition(rules, stateNamed('activating, baseline taken'), gone);
    expect(again).toMatchObject({ phase: 'writing', isRestaged: true });
    const armed = ['slot-written', 'gates-opened', 'baseline-taken'].reduce(
      (state, name) => transition(rules, state, eventNamed(name)),
      again,
    );
    expect(transition(rules, armed, gone)).toMatchObject({ phase: 'activating', isRestaged: true, retry: {} });
    const back = { ...stateNamed('activating'), update: { ...update, kind: 'rollback' } } as UpdateState;
    expect(transition(rules, back, gone)).toMatchObject({ phase: 'activating', retry: { attempts: 1 } });
  });

  it('roll a trial back when the loader cannot be told that it is good', () => {
    expect(after('committing', fails, fails, fails)).toMatchObject({
      phase: 'rolling-back',
      reason: 'mark-good-failed',
      isTargetBooted: true,
      evidence: [
        { kind: 'error', name: 'registry-unreachable', text: expect.stringContaining('in 3 attempts') as string },
      ],
    });
  });

  it('at the loader come soon, whatever the waits for the network are', () => {
    const slow = { ...rules, retryBaseMs: 3_600_000, retryMaxMs: 3_600_000 };
    const error = { code: 'boot-env-write-failed', message: 'cannot write the loader: EROFS' } as const;
    const failed = { type: 'effect-failed', error, isRetryable: false, atMs: 5_000 } as const;
    for (const phase of ['activating', 'committing', 'cancelling', 'rolling-back, booted']) {
      const once = transition(slow, stateNamed(phase), failed);
      expect([phase, effectDueAtMs(once)]).toEqual([phase, 7_000]);
      expect([phase, effectDueAtMs(transition(slow, once, failed))]).toEqual([phase, 9_000]);
    }
  });

  it('leave the trial guard its time: a trial of the longest deadline is committed or given up before it', () => {
    const { loaderAttempts, loaderRetryBaseMs, loaderRetryMaxMs } = defaultRules;
    const waits = Array.from({ length: loaderAttempts - 1 }, (_, n) =>
      Math.min(loaderRetryMaxMs, loaderRetryBaseMs * 2 ** n),
    );
    const spanMs = waits.reduce((sum, wait) => sum + wait, 0);
    expect(spanMs).toBeGreaterThan(30_000);
    // Twice: marking good, and then turning back.
    expect(12 * 60_000 + 2 * spanMs).toBeLessThan(15 * 60_000);
  });

  it('end in the reboot when the loader of a failed trial cannot be written: its tries lead back', () => {
    expect(after('rolling-back, booted', fails, fails, fails)).toMatchObject({ phase: 'rolling-back', step: 'reboot' });
  });

  it('never end while the slot that is given up is not booted', () => {
    const state = after('rolling-back, not booted', ...Array.from({ length: 20 }, () => fails));
    expect(state).toMatchObject({ phase: 'rolling-back', step: 'record', retry: { attempts: 20 } });
  });

  it('end a cancelled update all the same: the slot was bad before its first byte', () => {
    expect(after('cancelling', fails, fails, fails)).toMatchObject({ phase: 'idle', last: { result: 'cancelled' } });
  });
});

describe('outcomes', () => {
  it('say which digest was committed', () => {
    expect(after('committing', 'marked-good')).toMatchObject({ last: { result: 'committed', digest: stateDigest } });
  });

  it('say that the image was running already', () => {
    expect(after('preparing', 'found-running')).toMatchObject({
      last: { result: 'committed', code: 'already-running' },
    });
  });

  it('keep the evidence of the failed checks on the way back', () => {
    const failed = transition(rules, stateNamed('trial'), {
      type: 'verdict-reached',
      isPassed: false,
      message: 'web failed',
      evidence: [{ kind: 'health-check', name: 'web', text: 'connection refused' }],
      atMs: 9,
    });
    expect(failed).toMatchObject({ reason: 'health-failed', evidence: [{ name: 'web' }] });
    expect(after('rolling-back, not booted', 'turned-back')).toMatchObject({
      last: { result: 'rolled-back', code: 'health-failed', message: 'check web failed' },
    });
  });

  it('call an update that an operator ended cancelled', () => {
    expect(after('activated', 'cancel-asked', 'turned-back')).toMatchObject({ last: { result: 'cancelled' } });
  });
});
