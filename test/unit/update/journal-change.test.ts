import { describe, expect, it } from 'vitest';
import { transition } from '../../../agent/core/transition.ts';
import { applyDeployments, journalChange } from '../../../agent/update/journal-change.ts';
import { digest, eventNamed, rules, stateNamed, update } from '../core/samples.ts';
import { deploymentIn } from './samples.ts';

function changeOf(state: string, event: string, deployments = {}) {
  const before = stateNamed(state);
  const after = transition(rules, before, eventNamed(event));
  return journalChange(before, eventNamed(event), after, deployments);
}

describe('what is saved with a step', () => {
  it('is the request with its first state', () => {
    expect(changeOf('idle', 'update-requested')).toEqual({ state: { phase: 'preparing', update }, request: update });
  });

  it('is that the slot holds nothing, before it is written', () => {
    expect(changeOf('preparing', 'prepared')).toMatchObject({ state: { phase: 'writing' }, removeDeployment: 'b' });
  });

  it('is the deployment, not yet committed, once the slot is read back', () => {
    expect(changeOf('writing', 'slot-written').deployment).toEqual({
      slot: 'b',
      digest,
      image: update.image,
      version: '2',
      rollbackIndex: 2,
      keyIds: ['release-1'],
      rule: 'registry.acme.io/os',
      updateId: update.id,
      writtenAtMs: 5_000,
      committedAtMs: undefined,
    });
  });

  it('is when the deployment was committed, and what was known of it stays', () => {
    const known = deploymentIn('b', { committedAtMs: undefined, updateId: 'update-9' });
    expect(changeOf('committing', 'marked-good', { b: known })).toMatchObject({
      state: { phase: 'idle' },
      outcome: { result: 'committed' },
      deployment: { ...known, committedAtMs: 5_000 },
    });
    // The journal was lost in the trial: the target tells.
    expect(changeOf('committing', 'marked-good').deployment).toMatchObject({ slot: 'b', digest, committedAtMs: 5_000 });
  });

  it('is the outcome of each end', () => {
    expect(changeOf('preparing', 'effect-failed, for good').outcome).toMatchObject({ result: 'failed' });
    expect(changeOf('cancelling', 'cancelled').outcome).toMatchObject({ result: 'cancelled' });
    expect(changeOf('writing', 'effect-failed, retryable').outcome).toBeUndefined();
  });

  it('leaves the deployments alone where an event came too late', () => {
    expect(changeOf('cancelling', 'slot-written')).not.toHaveProperty('deployment');
    expect(changeOf('cancelling', 'prepared')).not.toHaveProperty('removeDeployment');
  });
});

describe('the deployments after a change', () => {
  const [a, b] = [deploymentIn('a'), deploymentIn('b')];

  it('are those before it, with what it put and without what it removed', () => {
    expect(applyDeployments({ a, b }, {})).toEqual({ a, b });
    expect(applyDeployments({ a, b }, { removeDeployment: 'b' })).toEqual({ a });
    expect(applyDeployments({ a }, { deployment: b })).toEqual({ a, b });
  });
});
