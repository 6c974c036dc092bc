import { describe, expect, it } from 'vitest';
import { transition } from '../../../agent/core/transition.ts';
import { describeEvent } from '../../../agent/update/describe-event.ts';
import { eventDetailsLimit } from '../../../agent/store/record-codec.ts';
import type { UpdateState } from '../../../agent/core/update-state.ts';
import { digest, eventNamed, events, rules, stateNamed, states, update } from '../core/samples.ts';

function line(state: string, event: string) {
  const before = stateNamed(state);
  return describeEvent(before, eventNamed(event), transition(rules, before, eventNamed(event)));
}

describe('the line of the audit trail', () => {
  it('names the event, the phases, the slot and the image', () => {
    expect(line('writing', 'slot-written')).toEqual({
      atMs: 5_000,
      updateId: 'update-1',
      kind: 'slot-written',
      message: 'slot b is written and read back',
      details: { from: 'writing', phase: 'staged', slot: 'b', image: update.image },
    });
  });

  it('tells of a rollback its kind, its digest and the start of its evidence, short enough to be kept', () => {
    const rollingBack = {
      ...stateNamed('rolling-back, not booted'),
      cause: {
        kind: 'check-failed',
        isInconclusive: false,
        checks: Array.from({ length: 32 }, (_, n) => `check-${n}`),
      },
      evidence: Array.from({ length: 40 }, (_, n) => ({ kind: 'journal', name: `${n} of it`, text: 'x'.repeat(8000) })),
    } as UpdateState;
    const told = describeEvent(
      rollingBack,
      eventNamed('turned-back'),
      transition(rules, rollingBack, eventNamed('turned-back')),
    );
    expect(told?.details['rollback']).toMatchObject({
      id: 'update-1',
      digest,
      kind: 'check-failed',
      isInconclusive: false,
      evidence: expect.arrayContaining([{ kind: 'journal', name: '0 of it', text: 'x'.repeat(140) }]) as unknown,
    });
    expect(JSON.stringify(told?.details).length).toBeLessThan(eventDetailsLimit);
    expect(line('trial', 'verdict failed')?.details).toMatchObject({ rollback: { kind: 'check-failed' } });
    expect(line('writing', 'slot-written')?.details).not.toHaveProperty('rollback');
  });

  it('names how an update ended, and why', () => {
    expect(line('committing', 'marked-good')).toMatchObject({
      kind: 'update-committed',
      updateId: 'update-1',
      message: 'the update ended: committed',
    });
    expect(line('rolling-back, not booted', 'turned-back')).toMatchObject({
      kind: 'update-rolled-back',
      message: 'the update ended: rolled-back: check web failed',
      details: { code: 'health-failed' },
    });
  });

  it('is not there for a failure that is only tried again: that told its own', () => {
    expect(line('writing', 'effect-failed, retryable')).toBeUndefined();
    expect(line('writing', 'effect-failed, for good')).toMatchObject({ kind: 'update-failed' });
  });

  it('tells of a probation what changes, of the update that it is of', () => {
    const before = (name: string) => line(name, 'probation failed');
    expect(before('idle, in probation')).toMatchObject({ kind: 'probation-failed', updateId: 'update-0' });
    expect(before('idle, in probation that fails')).toBeUndefined();
    expect(line('idle, in probation', 'probation passed')).toBeUndefined();
    expect(line('idle, in probation that fails', 'probation passed')).toMatchObject({ kind: 'probation-recovered' });
  });

  it('says in a sentence what each step of the machine is', () => {
    for (const [from, state] of states) {
      for (const [name, event] of events) {
        const after = transition(rules, state, event);
        if (after === state) continue;
        const told = describeEvent(state, event, after);
        if (event.type === 'effect-failed' && after.phase === state.phase) continue;
        if (event.type === 'probation-checked') continue;
        expect(told?.message, `${from}, ${name}`).toMatch(/^[a-z].{10,}/);
        expect(told?.message, `${from}, ${name}`).not.toContain('undefined');
        expect(told?.updateId, `${from}, ${name}`).toBe('update-1');
      }
    }
  });
});
