import { describe, expect, it } from 'vitest';
import { addKnownBad, emptyFacts, raiseFloor } from '../../../agent/core/facts.ts';
import { rollbackTarget } from '../../../agent/update/rollback-target.ts';
import { deploymentIn, nodeWhere } from './samples.ts';

const b = deploymentIn('b', { rollbackIndex: 3 });
const bothGood = nodeWhere('good', 'good');

describe('the target of an operator’s rollback', () => {
  it.each(['good', 'unrenewed'] as const)('is the other slot when the loader holds it for %s', (state) => {
    expect(rollbackTarget(nodeWhere('good', state), { b }, emptyFacts)).toEqual({
      slot: 'b',
      previous: 'a',
      digest: b.digest,
      resolvedDigest: undefined,
      version: '1',
      rollbackIndex: 3,
      keyIds: ['release-1'],
      rule: 'registry.acme.io/os',
    });
  });

  it('is a good slot that no record explains', () => {
    expect(rollbackTarget(bothGood, {}, emptyFacts)).toMatchObject({ slot: 'b', digest: undefined, rollbackIndex: 0 });
  });

  it.each(['bad', 'trial'] as const)('is not there when the other slot is %s', (state) => {
    expect(() => rollbackTarget(nodeWhere('good', state), { b }, emptyFacts)).toThrow(
      expect.objectContaining({ code: 'nothing-to-roll-back' }),
    );
  });

  it.each(['unrenewed', 'trial', 'bad'] as const)('is refused while the booted slot is %s, so no fallback', (state) => {
    expect(() => rollbackTarget(nodeWhere(state, 'good'), { b }, emptyFacts)).toThrow(
      expect.objectContaining({ code: 'booted-slot-unproven' }),
    );
  });

  it('is refused when it holds what rolled back here before', () => {
    const facts = addKnownBad(emptyFacts, { digest: b.digest ?? '', reason: 'health-failed', updateId: 'u', atMs: 1 });
    expect(() => rollbackTarget(bothGood, { b }, facts)).toThrow(expect.objectContaining({ code: 'known-bad' }));
    expect(rollbackTarget(bothGood, { b: deploymentIn('b', { digest: undefined }) }, facts).slot).toBe('b');
  });

  it('is refused below the floor, and taken on it', () => {
    expect(rollbackTarget(bothGood, { b }, raiseFloor(emptyFacts, 3)).slot).toBe('b');
    expect(() => rollbackTarget(bothGood, { b }, raiseFloor(emptyFacts, 4))).toThrow(
      expect.objectContaining({ code: 'downgrade-refused' }),
    );
  });
});
