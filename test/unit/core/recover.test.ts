import { describe, expect, it } from 'vitest';
import type { BootStatus, SlotBootState } from '../../../bootloader/bootloader.ts';
import type { Deployment } from '../../../agent/core/ports.ts';
import { type BootFacts, isKnownBadAfter, looksLikeFallback, recover } from '../../../agent/core/recover.ts';
import { effectOf } from '../../../agent/core/transition.ts';
import type { SlotName, UpdateState } from '../../../agent/core/update-state.ts';
import { rules, stateNamed, states } from './samples.ts';

const good: SlotBootState = { state: 'good', triesLeft: 4 };
const unrenewed: SlotBootState = { state: 'unrenewed', triesLeft: 3 };
const bad: SlotBootState = { state: 'bad', triesLeft: 0 };
const trial = (triesLeft: number): SlotBootState => ({ state: 'trial', triesLeft });

function deployment(slot: SlotName, committedAtMs: number | undefined): Deployment {
  return {
    slot,
    digest: `sha256:${slot.repeat(64)}`,
    image: `registry.acme.io/os/edge:${slot}`,
    version: slot,
    rollbackIndex: 0,
    keyIds: [],
    rule: undefined,
    updateId: `update-${slot}`,
    writtenAtMs: 1,
    committedAtMs,
  };
}

function boot(a: SlotBootState, b: SlotBootState, primary: SlotName | undefined): BootStatus {
  const trialSlot = a.state === 'trial' ? 'a' : b.state === 'trial' ? 'b' : undefined;
  return { primary, trial: trialSlot, trialTries: trialSlot === undefined ? 0 : 4, slots: { a, b } };
}

function facts(booted: SlotName, status: BootStatus, more: Partial<BootFacts> = {}): BootFacts {
  return {
    booted,
    bootId: 'boot-2',
    boot: status,
    deployments: {},
    evidence: [],
    areAllTriesPowerLoss: false,
    monotonicMs: 20_000,
    atMs: 50_000,
    ...more,
  };
}

const oldRuns = facts('a', boot(unrenewed, bad, 'a'));
const trialRuns = facts('b', boot(good, trial(3), 'b'));
const fellBack = facts('a', boot(unrenewed, trial(0), 'a'));
const armed = facts('a', boot(good, trial(4), 'b'));

const pausedOnes = ['preparing, paused', 'writing, paused', 'staged, paused'];

describe('a restart of the agent in the old slot', () => {
  it.each(['preparing', 'writing', 'staged', 'staged, until staged', 'cancelling', ...pausedOnes])(
    'goes on with %s',
    (name) => {
      expect(recover(rules, stateNamed(name), oldRuns)).toBe(stateNamed(name));
    },
  );

  it('repeats an activation that never reached the loader', () => {
    expect(recover(rules, stateNamed('activating'), oldRuns)).toBe(stateNamed('activating'));
  });

  it('repeats an activation that reached the loader and was never tried', () => {
    expect(recover(rules, stateNamed('activating'), armed)).toBe(stateNamed('activating'));
  });

  it('stays activated while the armed slot was never tried', () => {
    expect(recover(rules, stateNamed('activated'), armed)).toBe(stateNamed('activated'));
  });

  it('hands what the checks said before the update on to the trial, and to each try of it', () => {
    const before = stateNamed('activating, baseline taken');
    const inTrial = recover(rules, before, { ...trialRuns, bootId: 'boot-2' });
    expect(inTrial).toMatchObject({ phase: 'trial', baseline: { checks: [{ name: 'web', isPassed: true }] } });
    const again = recover(rules, inTrial, { ...trialRuns, bootId: 'boot-3' });
    expect(again).toMatchObject({ phase: 'trial', bootId: 'boot-3', baseline: { atMs: 4_500 } });
  });

  it.each(['activating', 'activated'])('takes %s for a slot that never booted once any try is gone', (name) => {
    expect(recover(rules, stateNamed(name), fellBack)).toMatchObject({
      phase: 'rolling-back',
      reason: 'never-booted',
      isTargetBooted: false,
      evidence: [{ kind: 'loader' }],
    });
  });

  it('turns back where the loader lost its armed state', () => {
    expect(recover(rules, stateNamed('activated'), oldRuns)).toMatchObject({ reason: 'activation-failed' });
  });

  it('takes an armed slot that was marked bad since for a trial that could not keep why it was given up', () => {
    const found = { ...oldRuns, wasLoaderRepaired: false };
    const next = recover(rules, stateNamed('activated'), found);
    expect(next).toMatchObject({ reason: 'trial-lost', cause: { kind: 'agent-degraded', isInconclusive: false } });
    expect(isKnownBadAfter('trial-lost')).toBe(true);
    const repaired = recover(rules, stateNamed('activated'), { ...found, wasLoaderRepaired: true });
    expect(repaired).toMatchObject({ reason: 'activation-failed' });
  });

  it('arms a one-shot loader again whose reboot never came, at the gates of the reboot', () => {
    const untried = facts('a', boot(good, trial(4), 'a'));
    expect(recover(rules, stateNamed('activated'), { ...untried, isArmedAtReboot: true })).toMatchObject({
      phase: 'activating',
      target: { slot: 'b' },
    });
    expect(recover(rules, stateNamed('activated'), untried)).toMatchObject({ reason: 'activation-failed' });
    expect(recover(rules, stateNamed('activated'), { ...oldRuns, isArmedAtReboot: true })).toMatchObject({
      reason: 'activation-failed',
    });
    expect(recover(rules, stateNamed('activated'), { ...fellBack, isArmedAtReboot: true })).toMatchObject({
      reason: 'never-booted',
    });
  });

  it('takes a trial for lost when the node came back in the old slot', () => {
    expect(recover(rules, stateNamed('trial'), fellBack)).toMatchObject({
      phase: 'rolling-back',
      reason: 'trial-lost',
    });
  });

  it('records a rollback again that was under way', () => {
    expect(recover(rules, stateNamed('rolling-back, rebooting'), oldRuns)).toMatchObject({
      step: 'record',
      isTargetBooted: false,
    });
  });

  it('adds to a rollback what only the old slot can find out, however often it starts', () => {
    const found = { kind: 'pstore', name: 'dmesg-efi-1', text: 'Kernel panic' } as const;
    const checks = { kind: 'health-check', name: 'web', text: 'HTTP 500' } as const;
    const state = { ...stateNamed('rolling-back, rebooting'), evidence: [checks] } as UpdateState;
    const once = recover(rules, state, { ...oldRuns, evidence: [found] });
    expect(once).toMatchObject({ evidence: [checks, found], cause: { kind: 'check-failed' } });
    expect(recover(rules, once, { ...oldRuns, evidence: [found] })).toEqual(once);
    expect(recover(rules, state, { ...trialRuns, evidence: [found] })).toMatchObject({ evidence: [checks] });
  });

  it('says of a fallback its kind and how many tries are gone', () => {
    const threeUsed = facts('a', boot(unrenewed, trial(1), 'a'));
    expect(recover(rules, stateNamed('activated'), threeUsed)).toMatchObject({
      cause: { kind: 'never-booted', isInconclusive: false, tries: { armed: 4, used: 3 } },
      message: 'the loader used up all tries, and the agent of the new slot never came up (3 of 4 tries used)',
    });
    const signs = { tries: [], panic: 'panic', hasUnseenUserspace: false, lastReset: 'unknown' } as const;
    expect(recover(rules, stateNamed('activated'), { ...threeUsed, signs })).toMatchObject({
      reason: 'never-booted',
      cause: { kind: 'kernel-panic' },
    });
    expect(recover(rules, stateNamed('trial'), threeUsed)).toMatchObject({ cause: { kind: 'trial-lost' } });
  });

  it.each<[string, BootFacts, boolean]>([
    ['activated', fellBack, true],
    ['activated', armed, false],
    ['trial', oldRuns, true],
    ['rolling-back, rebooting', oldRuns, true],
    ['rolling-back, rebooting', trialRuns, false],
    ['committing', oldRuns, true],
    ['staged', oldRuns, false],
    ['idle', oldRuns, false],
  ])('asks what outlived a trial where %s may have fallen back', (name, found, expected) => {
    expect(looksLikeFallback(stateNamed(name), found)).toBe(expected);
  });

  it('says that a slot which was marked good no longer boots', () => {
    const lost = facts('a', boot(unrenewed, { state: 'unrenewed', triesLeft: 0 }, 'a'));
    expect(recover(rules, stateNamed('committing'), lost)).toMatchObject({ reason: 'committed-slot-lost' });
    expect(recover(rules, stateNamed('committing'), fellBack)).toMatchObject({ reason: 'trial-lost' });
  });
});

describe('a restart of the agent in the new slot', () => {
  it.each(['activating', 'activated', 'staged'])(
    'makes %s a trial with a deadline on the clock of this boot',
    (name) => {
      expect(recover(rules, stateNamed(name), trialRuns)).toMatchObject({
        phase: 'trial',
        bootId: 'boot-2',
        deadlineMonotonicMs: 620_000,
      });
    },
  );

  it('keeps the deadline of a trial within one boot and sets it anew in another', () => {
    const state = stateNamed('trial');
    expect(recover(rules, state, { ...trialRuns, bootId: 'boot-1' })).toBe(state);
    expect(recover(rules, state, trialRuns)).toMatchObject({ phase: 'trial', deadlineMonotonicMs: 620_000 });
  });

  it('goes on committing: the verdict was reached', () => {
    expect(recover(rules, stateNamed('committing'), trialRuns)).toBe(stateNamed('committing'));
  });

  it('goes on rolling back, with the reboot still to come', () => {
    expect(recover(rules, stateNamed('rolling-back, rebooting'), trialRuns)).toMatchObject({
      step: 'record',
      isTargetBooted: true,
    });
  });

  it('gives up a slot that was booted while it was being written', () => {
    expect(recover(rules, stateNamed('writing'), trialRuns)).toMatchObject({
      phase: 'rolling-back',
      isTargetBooted: true,
    });
  });
});

describe('power that was lost in every try', () => {
  const powerLost = { ...fellBack, areAllTriesPowerLoss: true };

  it('stages the digest again, once', () => {
    const once = recover(rules, stateNamed('activated'), powerLost);
    expect(once).toMatchObject({ phase: 'staged', isRearmed: true });
    const twice = recover(
      rules,
      { ...(once as object), phase: 'activated', isRebootAsked: false } as UpdateState,
      powerLost,
    );
    expect(twice).toMatchObject({
      phase: 'rolling-back',
      reason: 'power-lost',
      cause: { kind: 'power-loss', isInconclusive: true },
    });
  });

  it('leaves the digest free for an operator', () => {
    expect(isKnownBadAfter('power-lost')).toBe(false);
    expect(isKnownBadAfter('never-booted')).toBe(true);
  });
});

describe('a journal that is lost', () => {
  it('is idle where the loader shows no trial', () => {
    expect(recover(rules, undefined, oldRuns)).toEqual({ phase: 'idle' });
  });

  it('tries a booted trial all the same', () => {
    expect(recover(rules, undefined, trialRuns)).toMatchObject({
      phase: 'trial',
      target: { slot: 'b', digest: undefined },
    });
  });

  it('gives up a slot that is armed and that no record explains', () => {
    expect(recover(rules, undefined, armed)).toMatchObject({ reason: 'activation-failed', isTargetBooted: false });
  });

  it('takes a used-up trial for one that never booted, with the digest that is known of it', () => {
    const known = { ...fellBack, deployments: { b: deployment('b', undefined) } };
    expect(recover(rules, undefined, known)).toMatchObject({
      reason: 'never-booted',
      target: { digest: `sha256:${'b'.repeat(64)}` },
    });
  });
});

describe('an idle node', () => {
  it('stays idle with its last outcome', () => {
    const last = { updateId: 'u', kind: 'install', result: 'committed', atMs: 1, digest: undefined } as const;
    expect(recover(rules, { phase: 'idle', last }, oldRuns)).toEqual({ phase: 'idle', last });
  });

  it('notices that the loader fell back from the committed slot', () => {
    const deployments = { a: deployment('a', 10), b: deployment('b', 20) };
    expect(recover(rules, { phase: 'idle' }, { ...oldRuns, deployments })).toMatchObject({
      phase: 'rolling-back',
      reason: 'committed-slot-lost',
      target: { slot: 'b', previous: 'a' },
    });
    expect(isKnownBadAfter('committed-slot-lost')).toBe(false);
  });
});

describe('every state in every boot', () => {
  const slotStates = [good, unrenewed, bad, trial(4), trial(2), trial(0)];
  const found = (['a', 'b'] as const).flatMap((booted) =>
    slotStates.flatMap((a) =>
      slotStates
        .filter((b) => !(a.state === 'trial' && b.state === 'trial'))
        .flatMap((b) => (['a', 'b', undefined] as const).map((primary) => facts(booted, boot(a, b, primary)))),
    ),
  );
  const journals: readonly (readonly [string, UpdateState | undefined])[] = [...states, ['lost', undefined]];

  it('never leaves a booted trial unattended, and never arms or commits what is not booted', () => {
    let combinations = 0;
    for (const [name, state] of journals) {
      for (const boots of found) {
        combinations += 1;
        const next = recover(rules, state, boots);
        const where = `${name} in ${JSON.stringify(boots)}`;
        if (boots.boot.trial === boots.booted && next.phase !== 'cancelling') {
          const isOurs = !('target' in next) || next.target.slot === boots.booted;
          if (isOurs) expect(effectOf(next), where).toBeDefined();
        }
        if (next.phase === 'trial' || next.phase === 'committing') expect(next.target.slot, where).toBe(boots.booted);
        if (next.phase === 'rolling-back') expect(next.isTargetBooted, where).toBe(next.target.slot === boots.booted);
      }
    }
    expect(combinations).toBe(journals.length * found.length);
  });
});
