import { describe, expect, it } from 'vitest';
import { areAllTriesPowerLoss, type FallbackFacts, judgeWatchdog } from '../../../agent/evidence/boot-judgement.ts';

const boot = (bootId: string, slot: 'a' | 'b', isEndedCleanly = false) => ({
  bootId,
  slot,
  firstSeenAtMs: 1,
  isEndedCleanly,
});

/** Slot b was armed with 3 tries, and the power went in two of them; then the last one, too. */
const powerLost: FallbackFacts = {
  trial: { slot: 'b', tries: 3, triesLeft: 0 },
  bootId: 'now',
  boots: [boot('old', 'a', true), boot('t1', 'b'), boot('t2', 'b'), boot('t3', 'b'), boot('now', 'a')],
  orderlyEnds: new Map([['old', 'shutdown']]),
  resets: new Map([
    ['t1', 'unknown'],
    ['t2', 'clear'],
    ['t3', 'clear'],
    ['now', 'clear'],
  ]),
  panics: 'none',
};

describe('whether every try ended in a power loss', () => {
  it('is known when each left its mark and the watchdog and the panic records are clear', () => {
    expect(areAllTriesPowerLoss(powerLost)).toBe(true);
    const withoutNow = { ...powerLost, boots: powerLost.boots.slice(0, -1) };
    expect(areAllTriesPowerLoss(withoutNow)).toBe(true);
  });

  it.each<[string, Partial<FallbackFacts>]>([
    ['there is no trial', { trial: undefined }],
    ['the trial was never tried', { trial: { slot: 'b', tries: 3, triesLeft: 3 } }],
    ['one try left no mark', { boots: powerLost.boots.filter(({ bootId }) => bootId !== 't2') }],
    ['no try left a mark', { boots: [] }],
    ['one try was shut down in order', { orderlyEnds: new Map([['t2', 'shutdown']]) }],
    ['the agent saw one try end in order', { boots: [boot('t1', 'b'), boot('t2', 'b', true), boot('t3', 'b')] }],
    ['the watchdog fired in the last try', { resets: new Map([...powerLost.resets, ['now', 'watchdog'] as const]) }],
    ['the watchdog fired in the first try', { resets: new Map([...powerLost.resets, ['t2', 'watchdog'] as const]) }],
    ['the watchdog can not tell', { resets: new Map([...powerLost.resets, ['now', 'unknown'] as const]) }],
    ['a reset was not written down', { resets: new Map([['now', 'clear'] as const]) }],
    ['a panic left a record', { panics: 'found' }],
    ['a panic would have left no record', { panics: 'unknown' }],
  ])('is not known when %s', (_name, change) => {
    expect(areAllTriesPowerLoss({ ...powerLost, ...change })).toBe(false);
  });
});

describe("a watchdog's word on the last reset", () => {
  it.each([
    ['0\n', '0x8180\n', 'unknown', 'the driver can not tell'],
    ['0\n', '0x81a0\n', 'clear', 'the driver can tell and nothing happened'],
    ['32\n', '0x81a0\n', 'watchdog', 'it fired'],
    ['16\n', '0x8180\n', 'watchdog', 'another fault is flagged'],
    ['', '0x81a0', 'unknown', 'it says nothing'],
    ['nonsense', '0x81a0', 'unknown', 'it says nonsense'],
    ['0', 'nonsense', 'unknown', 'its options are nonsense'],
  ])('%j with options %j is %s: %s', (status, options, expected) => {
    expect(judgeWatchdog(status, options)).toBe(expected);
  });
});
