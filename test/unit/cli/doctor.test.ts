import { describe, expect, it } from 'vitest';
import type { LoaderView } from '../../../agent/core/control.ts';
import type { HealthAnswer, StatusAnswer } from '../../../agent/cli/answers.ts';
import { examine, type Finding } from '../../../agent/cli/doctor.ts';
import { bootVerdict } from '../../../agent/cli/health-verdict.ts';
import { renderFindings } from '../../../agent/cli/render-doctor.ts';
import { currentIn, digest, slot, statusAnswer } from './samples.ts';

const nowMs = 1_750_000_100_000;

function finding(status: StatusAnswer, name: string, atMs = nowMs): Finding | undefined {
  return examine(status, atMs).find((one) => one.name === name);
}

describe('the doctor', () => {
  it('finds nothing on a node that is well', () => {
    expect(examine(statusAnswer(), nowMs).filter(({ result }) => result !== 'ok')).toEqual([]);
  });

  it('gives a fix with everything that is not well', () => {
    const status = statusAnswer({
      slots: [slot('a', { state: 'bad' }), slot('b', { state: 'empty' })],
      primary: 'b',
      degraded: [{ code: 'journal-failed', message: 'cannot write the journal: no room' }],
      knownBad: [{ digest, reason: 'health-failed', updateId: 'u-1', atMs: 0 }],
      holdUntil: { reason: 'the shop is open', untilMs: undefined },
      waitingFor: [{ gate: 'facts', code: 'facts-lost', text: 'both copies are lost', untilMs: undefined }],
    });
    const ill = examine(status, 0).filter(({ result }) => result !== 'ok');
    expect(ill.map(({ name }) => name)).toEqual([
      'degraded',
      'booted slot',
      'next boot',
      'fallback',
      'facts',
      'hold',
      'known bad',
      'clock',
    ]);
    expect(ill.filter(({ fix }) => fix === undefined)).toEqual([]);
  });

  it('fails a booted slot that nothing will prove, and only warns in its trial', () => {
    const slots = [slot('a', { state: 'trial' }), slot('b')];
    expect(finding(statusAnswer({ slots }), 'booted slot')?.result).toBe('fail');
    expect(finding(statusAnswer({ slots, phase: 'trial' }), 'booted slot')?.result).toBe('warn');
  });

  it('warns of another slot at the next boot unless an update explains it', () => {
    expect(finding(statusAnswer({ primary: 'b' }), 'next boot')?.result).toBe('warn');
    const explained = statusAnswer({ primary: 'b', current: currentIn('activated') });
    expect(finding(explained, 'next boot')).toMatchObject({
      result: 'ok',
      text: expect.stringContaining('u-1') as string,
    });
  });

  it('warns without a fallback, and says when an update is about to fill it', () => {
    const slots = [slot('a'), slot('b', { state: 'bad' })];
    expect(finding(statusAnswer({ slots }), 'fallback')?.text).toContain('nothing takes over');
    expect(finding(statusAnswer({ slots, current: currentIn('writing') }), 'fallback')?.text).toContain('update u-1');
  });

  it('fails where the loader cannot be read', () => {
    expect(finding(statusAnswer({ slots: [], booted: undefined }), 'loader')?.result).toBe('fail');
    expect(finding(statusAnswer({ slots: [], booted: undefined }), 'booted slot')?.result).toBe('fail');
  });

  it('fails a clock that was never set or that went back', () => {
    expect(finding(statusAnswer(), 'clock', 1000)?.result).toBe('fail');
    expect(finding(statusAnswer({ startedAtMs: nowMs + 7 * 86_400_000 }), 'clock')?.result).toBe('fail');
    expect(finding(statusAnswer({ startedAtMs: nowMs + 1000 }), 'clock')?.result).toBe('ok');
  });

  it('shows each finding in a line, with its fix below', () => {
    const text = renderFindings([
      { name: 'hold', result: 'warn', text: 'on hold: \u001b[2J', fix: 'Lift it.' },
      { name: 'loader', result: 'ok', text: 'fine' },
    ]);
    expect(text).toBe('warn  hold    on hold: ?[2J\n              fix: Lift it.\nok    loader  fine\n');
  });
});

describe('the verdict over a boot', () => {
  const health = (verdict: string): HealthAnswer => ({ verdict, checks: [] });
  const inTrial = [slot('a', { isBooted: false, isPrimary: false }), slot('b', { isBooted: true, state: 'trial' })];

  it('waits while a trial runs, is committed, or is not looked at yet', () => {
    for (const phase of ['trial', 'committing', 'activated'] as const) {
      const status = statusAnswer({ phase, booted: 'b', slots: inTrial, current: currentIn(phase) });
      expect(bootVerdict(status, health('unknown'))).toEqual({ kind: 'running' });
    }
  });

  it('passes a booted slot that is proven, with an update under way or not', () => {
    expect(bootVerdict(statusAnswer(), health('unknown'))).toEqual({ kind: 'passed' });
    const writing = statusAnswer({ phase: 'writing', current: currentIn('writing') });
    expect(bootVerdict(writing, health('unknown'))).toEqual({ kind: 'passed' });
    const armed = statusAnswer({ phase: 'activated', primary: 'b', current: currentIn('activated') });
    expect(bootVerdict(armed, health('unknown'))).toEqual({ kind: 'passed' });
  });

  it('fails a trial that is being given up, and one that failed', () => {
    const current = currentIn('rolling-back');
    const status = statusAnswer({ phase: 'rolling-back', booted: 'b', slots: inTrial, current });
    expect(bootVerdict(status, health('running'))).toMatchObject({ kind: 'failed', code: 'health-failed' });
    expect(bootVerdict(statusAnswer(), health('failed'))).toMatchObject({ kind: 'failed', code: 'health-failed' });
  });

  it('never passes a slot that nobody proved, or a node whose slot is not known', () => {
    expect(bootVerdict(statusAnswer({ booted: 'b', slots: inTrial }), health('unknown'))).toMatchObject({
      code: 'booted-slot-unproven',
    });
    const degraded = [{ code: 'boot-env-corrupt', message: 'damaged' }] as const;
    expect(bootVerdict(statusAnswer({ booted: undefined, slots: [], degraded }), health('unknown'))).toMatchObject({
      code: 'boot-env-corrupt',
    });
  });

  it('passes on what the loader has to say', () => {
    const notes = ["greenboot's counter is set"];
    const loader = {
      name: 'grub/kaon',
      isProven: true,
      by: 'boot',
      provenAtMs: 1,
      isTestPending: false,
      isTestable: true,
      notes,
    } as const;
    expect(examine(statusAnswer({ loader }), nowMs)).toContainEqual(
      expect.objectContaining({ name: 'loader', result: 'warn', text: notes[0] }),
    );
  });

  it('looks at whether the loader counts, and says how it is shown', () => {
    const known = {
      name: 'gpt',
      by: 'self-test',
      provenAtMs: 1,
      isTestPending: false,
      isTestable: true,
      notes: [],
    } as const;
    const of = (loader: Partial<LoaderView>) =>
      finding(statusAnswer({ loader: { ...known, isProven: undefined, ...loader } }), 'boot counting');
    expect(of({ isProven: true })).toMatchObject({
      result: 'ok',
      text: expect.stringContaining('in a test') as string,
    });
    expect(of({ isProven: false })).toMatchObject({
      result: 'warn',
      text: expect.stringContaining('did not write') as string,
    });
    expect(of({})).toMatchObject({ result: 'warn', fix: 'Run kaonctl bootloader selftest --reboot.' });
    expect(of({ isTestable: false })).toMatchObject({ result: 'warn', fix: 'Try an update on a node at hand.' });
    expect(of({ isTestPending: true })?.text).toContain('the next boot shows');
    expect(finding(statusAnswer({ hasLoaderCounted: true }), 'boot counting')?.result).toBe('ok');
    expect(finding(statusAnswer({ hasLoaderCounted: false }), 'boot counting')).toMatchObject({ result: 'fail' });
  });

  it('tells of a silence that is too long where the node is to report one', () => {
    const offers = { quietSinceAtMs: Date.UTC(2026, 0, 2, 3, 4, 5), reportAfterMs: 1 };
    const alarm = { atMs: Date.UTC(2026, 1, 2, 3, 4, 5), message: 'nothing newer was offered' };
    expect(finding(statusAnswer({ offers }), 'offers')?.result).toBe('ok');
    expect(finding(statusAnswer({ offers: { ...offers, alarm } }), 'offers')).toMatchObject({
      result: 'warn',
      text: 'nothing newer was offered; a registry last answered at -',
    });
    expect(finding(statusAnswer({ offers: { quietSinceAtMs: offers.quietSinceAtMs } }), 'offers')).toBeUndefined();
  });
});
