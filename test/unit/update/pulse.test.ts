import { describe, expect, it } from 'vitest';
import { phases } from '../../../agent/core/update-state.ts';
import { Pulse } from '../../../agent/update/pulse.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { testImage } from './registry.ts';
import { TestNode, wanted } from './wiring.ts';

const minuteMs = 60_000;

describe('the pulse of the runner', () => {
  it.each([...phases, 'resting', 'waiting'] as const)('ends some time after %s gave no sign of life', async (work) => {
    const clock = new ManualClock();
    const pulse = new Pulse(clock);
    pulse.beat(work);
    await clock.advance(9 * minuteMs);
    expect(pulse.isAlive()).toBe(true);
    await clock.advance(180 * minuteMs);
    expect(pulse.isAlive()).toBe(false);
    pulse.beat(work);
    expect(pulse.isAlive()).toBe(true);
  });

  it('goes on while the runner rests, however long', async () => {
    const node = new TestNode();
    const agent = await node.startAgent();
    await agent.run();
    for (let hours = 0; hours < 24; hours++) {
      await agent.pass(60 * minuteMs);
      expect(agent.pulse.isAlive()).toBe(true);
    }
  });

  it('ends while an effect is stuck, and comes back with the progress of a write', async () => {
    const node = new TestNode();
    node.registry.push(testImage('v2'));
    const agent = await node.startAgent();
    const release = node.steps.block('write b');
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.pass(61 * minuteMs);
    expect(agent.phase).toBe('writing');
    expect(agent.pulse.isAlive()).toBe(false);
    const progress = { step: 'write', partition: 'root', fetchedBytes: 1, layerSizeBytes: 2, writtenBytes: 1 } as const;
    agent.runner.reportProgress(progress);
    expect(agent.pulse.isAlive()).toBe(true);
    release();
    await agent.run();
    expect(agent.phase).toBe('staged');
  });
});

describe('a runner with nothing to do', () => {
  it('wakes once an hour', async () => {
    const node = new TestNode();
    const agent = await node.startAgent();
    await agent.run();
    const before = node.clock.wokenCount;
    await agent.pass(24 * 60 * minuteMs);
    expect(node.clock.wokenCount - before).toBe(24);
  });
});
