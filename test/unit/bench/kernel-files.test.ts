import { expect, it } from 'vitest';
import { parseCounters } from '../../bench/loop-slot.ts';
import { parsePageCache } from '../../bench/page-cache.ts';
import { parseMemory, parseTimes } from '../../bench/process-tree.ts';

it('counts processor time of a process whose name has spaces and parentheses', () => {
  const stat = '42 (tmux: (server) x) S 1 42 42 0 -1 4194560 100 200 0 0 7 5 30 12 20 0 1 0 500';
  expect(parseTimes(stat)).toEqual({ own: 12, ofChildren: 42 });
  expect(parseTimes('')).toEqual({ own: 0, ofChildren: 0 });
});

it('reads the memory of a process from its rollup', () => {
  const rollup = [
    '55d000-7ffe00 ---p 00000000 00:00 0  [rollup]',
    'Rss:               80000 kB',
    'Pss:               60000 kB',
    'Pss_Dirty:         25000 kB',
    'Private_Clean:      1000 kB',
    'Private_Dirty:     20000 kB',
  ].join('\n');
  expect(parseMemory(rollup)).toEqual({
    rssBytes: 80_000 * 1024,
    pssBytes: 60_000 * 1024,
    privateBytes: 21_000 * 1024,
  });
  expect(parseMemory('')).toEqual({ rssBytes: 0, pssBytes: 0, privateBytes: 0 });
});

it('adds up the page cache of files and of devices', () => {
  const meminfo = 'MemTotal: 100 kB\nBuffers:    3 kB\nCached:    40 kB\nSwapCached:    9 kB\n';
  expect(parsePageCache(meminfo)).toBe(43 * 1024);
});

it('reads what a device did', () => {
  const stat = '  11  2  16  3  20  5  48  7  0  1  2  0  0  0  0  4  9\n';
  expect(parseCounters(stat)).toEqual({ readBytes: 16 * 512, writtenBytes: 48 * 512, writes: 24 });
});
