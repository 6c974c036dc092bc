import { describe, expect, it } from 'vitest';
import { type Baseline, excuseOf, newFaults } from '../../../agent/core/baseline.ts';

const baseline: Baseline = {
  atMs: 1,
  checks: [
    { name: 'well', isPassed: true },
    { name: 'broken', isPassed: false },
    { name: 'units', isPassed: false, faults: ['old.service'] },
  ],
};

describe('what a node was before its update', () => {
  it.each([
    ['none', 'broken', false],
    ['excuse', 'broken', true],
    ['excuse', 'well', false],
    ['excuse', 'unknown', false],
    ['excuse', 'units', false],
    ['prove', 'broken', true],
    ['prove', 'well', false],
    ['prove', 'unknown', true],
  ] as const)('by the rule %s, a failure of one that was %s is excused: %s', (rule, name, isExcused) => {
    expect(excuseOf(rule, name, baseline) !== undefined).toBe(isExcused);
  });

  it('excuses nothing but what must be proven where nothing is recorded', () => {
    expect(excuseOf('excuse', 'broken', undefined)).toBeUndefined();
    expect(excuseOf('prove', 'well', undefined)).toBe('it is not known to have passed before the update');
  });

  it('tells new faults from old ones', () => {
    expect(newFaults('excuse', 'units', ['old.service', 'new.service'], baseline)).toEqual(['new.service']);
    expect(newFaults('none', 'units', ['old.service'], baseline)).toEqual(['old.service']);
    expect(newFaults('excuse', 'units', ['old.service'], undefined)).toEqual(['old.service']);
  });
});
