import { describe, expect, it } from 'vitest';
import {
  causeOf,
  causeOfVerdict,
  classifyFallback,
  fallbackSentence,
  type FallbackSigns,
  kindOf,
  noSigns,
  type PanicSign,
  rollbackKinds,
  type TryFacts,
} from '../../../agent/core/rollback-cause.ts';
import { isKnownBadAfter } from '../../../agent/core/recover.ts';
import type { RollbackReason } from '../../../agent/core/update-state.ts';

const seen: TryFacts = { bootId: 't1', isAgentSeen: true, endedBy: undefined, reset: 'clear' };
const unseen: TryFacts = { bootId: 't2', isAgentSeen: false, endedBy: 'shutdown', reset: 'unknown' };

describe('what a fallback came of', () => {
  it.each<[string, Partial<FallbackSigns>, boolean, string]>([
    ['nothing is known', {}, false, 'never-booted'],
    ['the kernel found no root file system', { panic: 'early', tries: [seen] }, true, 'died-before-userspace'],
    ['the kernel panicked', { panic: 'panic', tries: [seen], lastReset: 'watchdog' }, true, 'kernel-panic'],
    ['the watchdog made the last reset', { lastReset: 'watchdog' }, false, 'hang'],
    ['the watchdog made an earlier reset', { tries: [{ ...seen, reset: 'watchdog' }, seen] }, true, 'hang'],
    [
      'the guard ended a try without an agent',
      { tries: [{ ...unseen, endedBy: 'trial-guard' }] },
      false,
      'agent-absent',
    ],
    ['the guard ended a try with one', { tries: [{ ...seen, endedBy: 'trial-guard' }] }, true, 'agent-degraded'],
    ['a try without an agent was shut down', { tries: [unseen] }, false, 'agent-absent'],
    ['the journal has a boot without an agent', { hasUnseenUserspace: true }, false, 'agent-absent'],
    ['a try with an agent was shut down', { tries: [{ ...seen, endedBy: 'shutdown' }] }, true, 'interrupted'],
    ['a try with an agent just ended', { tries: [seen] }, true, 'trial-lost'],
    ['only our journal knows of the agent', {}, true, 'trial-lost'],
  ])('where %s is the right kind', (_name, signs, wasInTrial, expected) => {
    expect(classifyFallback({ ...noSigns, ...signs }, wasInTrial)).toBe(expected);
  });

  it('is decided for every combination of signs, the stronger sign first, and never a power loss', () => {
    const flags = [true, false];
    const ends = [undefined, 'shutdown', 'trial-guard'] as const;
    const resets = ['clear', 'watchdog', 'unknown'] as const;
    const one = flags.flatMap((isAgentSeen) =>
      ends.flatMap((endedBy) => resets.map((reset): TryFacts => ({ bootId: 't', isAgentSeen, endedBy, reset }))),
    );
    const tries: readonly (readonly TryFacts[])[] = [
      [],
      ...one.map((first) => [first]),
      ...one.flatMap((first) => one.map((second) => [first, second])),
    ];
    const panics: readonly PanicSign[] = ['none', 'panic', 'early', 'unknown'];
    let combinations = 0;
    for (const panic of panics) {
      for (const some of tries) {
        for (const lastReset of resets) {
          for (const hasUnseenUserspace of flags) {
            for (const wasInTrial of flags) {
              combinations += 1;
              const signs = { tries: some, panic, hasUnseenUserspace, lastReset };
              const kind = classifyFallback(signs, wasInTrial);
              const hasHung = lastReset === 'watchdog' || some.some(({ reset }) => reset === 'watchdog');
              const hasAgent = wasInTrial || some.some(({ isAgentSeen }) => isAgentSeen);
              const isGuarded = some.some(({ endedBy }) => endedBy === 'trial-guard');
              const isHeardOf = hasAgent || some.length > 0 || hasUnseenUserspace;
              const where = JSON.stringify({ signs, wasInTrial });
              expect(kind === 'died-before-userspace', where).toBe(panic === 'early');
              expect(kind === 'kernel-panic', where).toBe(panic === 'panic');
              const isSilent = panic === 'none' || panic === 'unknown';
              expect(kind === 'hang', where).toBe(isSilent && hasHung);
              const isLeft = isSilent && !hasHung;
              expect(kind === 'agent-degraded', where).toBe(isLeft && isGuarded && hasAgent);
              expect(kind === 'agent-absent', where).toBe(isLeft && !hasAgent && isHeardOf);
              expect(kind === 'never-booted', where).toBe(isLeft && !isHeardOf);
              if (kind === 'interrupted' || kind === 'trial-lost') expect(hasAgent && !isGuarded, where).toBe(true);
              expect(kind).not.toBe('power-loss');
            }
          }
        }
      }
    }
    expect(combinations).toBe(4 * (1 + 18 + 18 * 18) * 3 * 2 * 2);
  });
});

describe('the cause of a verdict', () => {
  const check = (name: string, status: 'passed' | 'failed', isRequired = true) => ({
    name,
    isRequired,
    status,
    attempts: 1,
    durationMs: 1,
    output: '',
  });

  it('names the required checks that failed', () => {
    const checks = [
      check('web', 'failed'),
      check('gps', 'failed', false),
      check('modem', 'passed'),
      check('db', 'failed'),
    ];
    expect(causeOfVerdict([], checks)).toEqual({ kind: 'check-failed', isInconclusive: false, checks: ['web', 'db'] });
  });

  it("is the agent's own fault where it has one, whatever the checks said", () => {
    expect(causeOfVerdict([check('agent', 'failed')], [check('web', 'failed')])).toMatchObject({
      kind: 'agent-degraded',
      checks: ['web'],
    });
  });
});

describe('every reason of a rollback', () => {
  const reasons: readonly RollbackReason[] = [
    'never-booted',
    'trial-lost',
    'health-failed',
    'power-lost',
    'operator',
    'activation-failed',
    'mark-good-failed',
    'committed-slot-lost',
  ];

  it.each(reasons)('%s has a kind, and only a power loss says nothing of the image', (reason) => {
    const cause = causeOf(reason);
    expect(rollbackKinds).toContain(kindOf(reason));
    expect(cause.isInconclusive).toBe(reason === 'power-lost');
    if (cause.isInconclusive) expect(isKnownBadAfter(reason)).toBe(false);
  });

  it.each(rollbackKinds)('of kind %s is told in a sentence, with the tries', (kind) => {
    const sentence = fallbackSentence({ kind, isInconclusive: false, tries: { armed: 4, used: 3 } });
    expect(sentence).toMatch(/^[a-z].* \(3 of 4 tries used\)$/);
    expect(fallbackSentence({ kind, isInconclusive: false })).not.toContain('tries used');
  });
});
