import { describe, expect, it } from 'vitest';
import type { SeenRecord } from '../../../agent/evidence/panic-log.ts';
import { panicSignOf, recordsOfTrial, signsOf, type TrialFacts, triesOf } from '../../../agent/evidence/trial-signs.ts';

const boot = (bootId: string, slot: 'a' | 'b', isEndedCleanly = false) => ({
  bootId,
  slot,
  firstSeenAtMs: 1,
  isEndedCleanly,
});

/** Slot b was tried twice, from slot a, and the agent came up in both tries. */
const facts: TrialFacts = {
  bootId: 'now',
  slot: 'b',
  triesUsed: 2,
  boots: [boot('older', 'b'), boot('armed', 'a', true), boot('t1', 'b'), boot('t2', 'b'), boot('now', 'a')],
  orderlyEnds: new Map([['armed', 'shutdown']]),
  resets: new Map([
    ['t2', 'clear'],
    ['now', 'watchdog'],
  ]),
};
const ids = (changed: Partial<TrialFacts>) => triesOf({ ...facts, ...changed }).map(({ bootId }) => bootId);

describe('the tries of a trial', () => {
  it('are the boots of its slot since the other one ran, with how each ended', () => {
    expect(triesOf(facts)).toEqual([
      { bootId: 't1', isAgentSeen: true, endedBy: undefined, reset: 'clear' },
      { bootId: 't2', isAgentSeen: true, endedBy: undefined, reset: 'watchdog' },
    ]);
  });

  it('are no more than the loader counted, the latest of them', () => {
    expect(ids({ triesUsed: 1 })).toEqual(['t2']);
    expect(ids({ triesUsed: 0 })).toEqual([]);
    expect(ids({ triesUsed: undefined })).toEqual(['t1', 't2']);
  });

  it('are told by the mark of their end where no agent came up in them', () => {
    const orderlyEnds = new Map([
      ['long-ago', 'shutdown'],
      ['armed', 'shutdown'],
      ['unseen', 'trial-guard'],
    ]);
    const boots = [boot('armed', 'a', true), boot('now', 'a')];
    expect(triesOf({ ...facts, boots, orderlyEnds })).toEqual([
      { bootId: 'unseen', isAgentSeen: false, endedBy: 'trial-guard', reset: 'unknown' },
    ]);
  });

  it('are not guessed from marks that no known boot dates', () => {
    expect(ids({ boots: [boot('now', 'a')], orderlyEnds: new Map([['unseen', 'trial-guard']]) })).toEqual([]);
  });

  it('ended in order where the agent or a mark says so; the guard by its own name', () => {
    const boots = [boot('armed', 'a'), boot('t1', 'b', true), boot('t2', 'b')];
    const orderlyEnds = new Map([['t2', 'trial-guard']]);
    expect(triesOf({ ...facts, boots, orderlyEnds }).map(({ endedBy }) => endedBy)).toEqual([
      'shutdown',
      'trial-guard',
    ]);
  });
});

describe('the records that a trial left', () => {
  const record = (firstSeenBy: string | undefined, text = 'Kernel panic - not syncing'): SeenRecord => ({
    path: `/sys/fs/pstore/${firstSeenBy ?? 'old'}`,
    changedAtMs: 0,
    text,
    header: '',
    firstSeenBy,
  });
  const all = ['armed', 't1', 't2', 'now', undefined].map((by) => record(by));
  const seenBy = (changed: Partial<TrialFacts>) =>
    recordsOfTrial(all, { ...facts, ...changed }).map(({ firstSeenBy }) => firstSeenBy);

  it('are those that were first seen after its first try', () => {
    expect(seenBy({})).toEqual(['t2', 'now']);
  });

  it('may have been seen by the first known try, where an earlier one was seen by nobody', () => {
    expect(seenBy({ triesUsed: 3 })).toEqual(['t1', 't2', 'now']);
  });

  it.each([
    ['Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)', 'early'],
    ['Kernel panic - not syncing: No working init found.', 'early'],
    ['Kernel panic - not syncing: Requested init /sbin/init failed (error -2).', 'early'],
    ['Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100', 'panic'],
    ['Panic#1 Part1\n<4>[   12.3] Call Trace', 'panic'],
    ['Oops#1 Part1\n<4>[   12.3] Call Trace', 'none'],
    ['the console of an ordinary boot', 'none'],
  ])('are read by the words of the kernel: %j is %s', (text, expected) => {
    expect(panicSignOf([record('now', text)], true)).toBe(expected);
  });

  it('are not missed where nothing keeps them', () => {
    expect(panicSignOf([], true)).toBe('none');
    expect(panicSignOf([], false)).toBe('unknown');
  });
});

describe("the system's journal as a sign", () => {
  it.each([
    ['unheard-of', true],
    ['t2', false],
    ['now', false],
    [undefined, false],
  ])('with the boot %s before this one says that there was a userspace without an agent: %s', (id, expected) => {
    expect(signsOf(facts, 'none', id).hasUnseenUserspace).toBe(expected);
  });
});
