import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../agent/core/ports.ts';
import { CheckHistory } from '../../../agent/update/check-history.ts';

function historyOf(results: readonly (readonly [string, number, CheckResult['status'], string])[]) {
  const history = new CheckHistory();
  for (const [name, attempts, status, output] of results) {
    history.add({ name, isRequired: true, status, attempts, durationMs: attempts * 1000, output });
  }
  return history.evidence();
}

describe('the history of the checks of a trial', () => {
  it('has each attempt of a check that failed, with the first line of what it said', () => {
    const evidence = historyOf([
      ['web', 1, 'failed', 'refused\nat line 2'],
      ['db', 1, 'failed', 'starting'],
      ['db', 2, 'passed', ''],
      ['web', 2, 'failed', 'HTTP 500'],
    ]);
    expect(evidence).toEqual([
      {
        kind: 'health-check',
        name: 'web, its attempts',
        text: 'attempt 1 after 1000 ms: failed: refused\nattempt 2 after 2000 ms: failed: HTTP 500',
      },
    ]);
  });

  it('has nothing of a check that failed once: its result says all', () => {
    expect(historyOf([['web', 1, 'failed', 'refused']])).toEqual([]);
  });

  it('is bounded, and keeps the first failure and the latest ones', () => {
    const many = Array.from({ length: 500 }, (_, n) => ['web', n + 1, 'failed', 'x'.repeat(4096)] as const);
    const lines = historyOf(many)[0]?.text.split('\n') ?? [];
    expect(lines.map((line) => Number(/attempt (\d+)/.exec(line)?.[1]))).toEqual([
      1,
      ...Array.from({ length: 11 }, (_, n) => 490 + n),
    ]);
    expect(lines.every((line) => line.length < 260)).toBe(true);
  });
});
