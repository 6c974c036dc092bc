import { describe, expect, it } from 'vitest';
import { addSample, percentOf, rateOf, renderProgress, type Sample } from '../../../agent/cli/progress-bar.ts';

const mib = 1024 * 1024;

describe('a progress line', () => {
  const progress = { label: 'writing', doneBytes: 25 * mib, totalBytes: 100 * mib, bytesPerSecond: 5 * mib };

  it('shows percent, sizes, rate and the time that is left', () => {
    expect(renderProgress(progress, 120)).toBe(
      'writing  25 % [######..................]  25 MiB of 100 MiB  5.0 MiB/s  15s left',
    );
  });

  it('leaves out rate and time while they are not known, and the time when all is there', () => {
    expect(renderProgress({ ...progress, bytesPerSecond: undefined }, 120)).toMatch(/100 MiB$/);
    expect(renderProgress({ ...progress, doneBytes: 100 * mib }, 120)).toMatch(/MiB\/s$/);
  });

  it.each([200, 80, 70, 60, 40, 20, 10, 3, 0])('stays within %d columns and never fills the last one', (columns) => {
    const line = renderProgress(progress, columns);
    expect(line.length).toBeLessThan(Math.max(2, columns));
    expect('writing  25 %'.startsWith(line.slice(0, 13))).toBe(true);
  });

  it('is at 100 percent only when every byte is there', () => {
    expect(percentOf(999, 1000)).toBe(99);
    expect(percentOf(1000, 1000)).toBe(100);
    expect(percentOf(2000, 1000)).toBe(100);
    expect(percentOf(0, 0)).toBe(0);
  });
});

describe('the rate', () => {
  const over = (...samples: readonly Sample[]) =>
    samples.reduce<readonly Sample[]>((all, sample) => addSample(all, sample), []);

  it('is not known from one sample', () => {
    expect(rateOf(over({ atMs: 0, doneBytes: 10 }))).toBeUndefined();
    expect(rateOf(over({ atMs: 0, doneBytes: 10 }, { atMs: 0, doneBytes: 20 }))).toBeUndefined();
  });

  it('is that of the last ten seconds', () => {
    const samples = over(
      { atMs: 0, doneBytes: 0 },
      { atMs: 5_000, doneBytes: 1_000_000 },
      { atMs: 15_000, doneBytes: 1_010_000 },
    );
    expect(rateOf(samples)).toBe(1000);
  });

  it('begins anew when the write does', () => {
    expect(rateOf(over({ atMs: 0, doneBytes: 500 }, { atMs: 1000, doneBytes: 0 }))).toBeUndefined();
  });
});
