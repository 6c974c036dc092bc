import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../agent/core/ports.ts';
import { verdictOf } from '../../../agent/core/verdict.ts';

function result(name: string, status: CheckResult['status'], isRequired: boolean, output = ''): CheckResult {
  return { name, status, isRequired, attempts: 2, durationMs: 30, output };
}

describe('the verdict', () => {
  it('passes when every required check passed, whatever the advisory ones say', () => {
    const verdict = verdictOf([result('web', 'passed', true), result('fan', 'failed', false, 'too loud')]);
    expect(verdict.isPassed).toBe(true);
    expect(verdict.evidence).toMatchObject([{ kind: 'health-check', name: 'fan' }]);
  });

  it('fails with the names and the first words of what failed', () => {
    const verdict = verdictOf([
      result('web', 'failed', true, 'connection refused\nmore'),
      result('disk', 'failed', true),
      result('fan', 'passed', false),
    ]);
    expect(verdict).toMatchObject({
      isPassed: false,
      message: 'required health checks failed: web, disk (connection refused)',
    });
    expect(verdict.evidence.map(({ name }) => name)).toEqual(['web', 'disk']);
  });

  it('passes what was broken before the update, and says so', () => {
    const excuse = 'it failed before the update, too';
    const verdict = verdictOf([
      result('web', 'passed', true),
      { ...result('gps', 'failed', true, 'no fix'), excuse },
      result('fan', 'skipped', false),
    ]);
    expect(verdict).toMatchObject({
      isPassed: true,
      message:
        '1 of 3 health checks passed, every one that counts among them; not counted: gps (it failed before the update, too)',
    });
    expect(verdict.evidence).toMatchObject([
      { name: 'gps', text: expect.stringContaining('not counted, as') as string },
    ]);
  });

  it('passes a node without checks: its agent came up', () => {
    expect(verdictOf([]).isPassed).toBe(true);
  });

  it('keeps evidence small', () => {
    const [evidence] = verdictOf([result('web', 'failed', true, 'x'.repeat(100_000))]).evidence;
    expect(evidence?.text.length).toBeLessThan(2_500);
  });
});
