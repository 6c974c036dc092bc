import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { NodeBoot, SlotService } from '../../../agent/core/ports.ts';
import { NodeReader } from '../../../agent/update/node-reader.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { nodeWhere, soundNode } from './samples.ts';

/** A service whose reads end when a test says so. */
function slowService(): { slots: SlotService; answers: PromiseWithResolvers<NodeBoot>[] } {
  const answers: PromiseWithResolvers<NodeBoot>[] = [];
  const refuse = () => Promise.reject(new Error('only reads are asked for'));
  const slots: SlotService = {
    readNode: () => {
      const answer = Promise.withResolvers<NodeBoot>();
      answers.push(answer);
      return answer.promise;
    },
    repairLoader: refuse,
    writeSlot: refuse,
    estimateWrite: refuse,
    activate: refuse,
    markGood: refuse,
    markBad: refuse,
    reboot: refuse,
    armLoaderTest: refuse,
    readLoaderTest: refuse,
    clearLoaderTest: refuse,
    keepEvidence: refuse,
  };
  return { slots, answers };
}

describe('the reader of the node', () => {
  it('reads once for all who ask at the same time, and again after half a minute', async () => {
    const clock = new ManualClock();
    const { slots, answers } = slowService();
    const reader = new NodeReader(slots, clock);
    const both = Promise.all([reader.read(), reader.read()]);
    answers[0]?.resolve(soundNode);
    expect((await both).map(({ node }) => node)).toEqual([soundNode, soundNode]);
    await clock.advance(30_000);
    await reader.read();
    expect(answers).toHaveLength(1);
    await clock.advance(1);
    const again = reader.read();
    expect(answers).toHaveLength(2);
    answers[1]?.resolve(soundNode);
    await again;
  });

  it('says why the node cannot be read, and reads it again later', async () => {
    const clock = new ManualClock();
    const { slots, answers } = slowService();
    const reader = new NodeReader(slots, clock);
    const first = reader.read();
    answers[0]?.reject(new AgentError('slotd-unreachable', 'cannot reach kaon-slotd: ECONNREFUSED'));
    expect(await first).toMatchObject({ node: undefined, fault: { code: 'slotd-unreachable' } });
    await clock.advance(5_001);
    const second = reader.read();
    answers[1]?.resolve(soundNode);
    expect(await second).toMatchObject({ node: soundNode, fault: undefined });
  });

  it('does not believe a read that was under way when something changed', async () => {
    const { slots, answers } = slowService();
    const reader = new NodeReader(slots, new ManualClock());
    const asked = reader.read();
    reader.invalidate();
    answers[0]?.resolve(nodeWhere('good', 'good'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers).toHaveLength(2);
    answers[1]?.resolve(nodeWhere('good', 'bad'));
    expect((await asked).node?.boot.slots.b.state).toBe('bad');
  });
});
