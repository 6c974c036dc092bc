import { describe, expect, it } from 'vitest';
import { failuresOf } from '../../vm/life.ts';
import { heldRollbacks, type ReadRollback, rollbackOf } from '../../vm/rollbacks.ts';

const loader = {
  kind: 'loader',
  name: 'slot b',
  text: 'booted a, primary a, trial b; slot b is trial with 0 of 2 tries left',
};
const panic: ReadRollback = {
  id: 'u-1',
  reason: 'never-booted',
  kind: 'never-booted',
  message: 'the loader used up all tries',
  tries: { armed: 2, used: 2 },
  evidence: [loader],
};
const unhealthy: ReadRollback = {
  id: 'u-2',
  reason: 'health-failed',
  kind: 'check-failed',
  message: 'required health check failed: well',
  checks: ['well'],
  evidence: [{ kind: 'health-check', name: 'well', text: 'required, failed after 1 attempts in 90 ms: exit code 1' }],
};
const expected = [rollbackOf.panic, rollbackOf.unhealthy];

/** What does not hold of records, given the oldest first. */
function failures(...records: readonly ReadRollback[]): readonly string[] {
  const rollbacks = records.toReversed();
  return failuresOf(heldRollbacks({ rollbacks, shownRollback: rollbacks[0] ?? null }, expected));
}

describe('the records of a life', () => {
  it('hold where each says what its image leaves behind', () => {
    expect(failures(panic, unhealthy)).toEqual([]);
  });

  it.each([
    ['another kind', { kind: 'trial-lost' }, 'is check-failed by health-failed (it is trial-lost by health-failed)'],
    ['another reason', { reason: 'trial-lost' }, '(it is check-failed by trial-lost)'],
    ['no message', { message: '' }, 'has a message'],
    ['another check', { checks: ['edge'] }, 'names the failed checks well (it names edge)'],
    ['tries that no one used up', { tries: { armed: 2, used: 2 } }, 'says whether all tries are used (2 of 2)'],
    ['no evidence', { evidence: [] }, 'has evidence that matches'],
    ['another check’s output', { evidence: [loader] }, 'has evidence that matches'],
  ])('do not hold with %s', (_name, change, text) => {
    const found = failures(panic, { ...unhealthy, ...change });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(text);
  });

  it('do not hold where there are fewer, or more', () => {
    expect(failures(panic)).toContain("slot a's agent tells 2 rollbacks (it tells 1)");
    expect(failures(panic, unhealthy, panic)).toContain("slot a's agent tells 2 rollbacks (it tells 3)");
  });

  it('do not hold where kaonctl shows something else than the API', () => {
    const read = { rollbacks: [unhealthy, panic], shownRollback: { ...unhealthy, message: 'required' } };
    expect(failuresOf(heldRollbacks(read, expected))).toEqual(['kaonctl shows the newest one as the API does']);
  });
});
