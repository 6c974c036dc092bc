import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { testImage } from './registry.ts';
import { codeOf, repository, TestNode, wanted } from './wiring.ts';

const image = testImage('v2');

function node(): TestNode {
  const made = new TestNode();
  made.registry.push(image);
  return made;
}

function trigger(sequence: number, action: 'stage' | 'activate' = 'stage', keyId = 'fleet-1'): object {
  return { keyId, image: `${repository}@${image.facts.manifestDigest}`, action, sequence };
}

describe('a trigger', () => {
  it.each([
    ['stage', 'staged'],
    ['activate', 'committed'],
  ] as const)('that asks to %s starts an update until %s', async (action, until) => {
    const agent = await node().startAgent();
    const accepted = await agent.control.trigger(trigger(7, action));
    expect(accepted).toMatchObject({ keyId: 'fleet-1', action, isRepeated: false });
    expect(agent.runner.state).toMatchObject({
      phase: 'preparing',
      update: { id: accepted.updateId, until, requestedBy: 'trigger' },
    });
  });

  it('has its sequence saved before its update is', async () => {
    const world = node();
    const agent = await world.startAgent();
    const before = world.steps.names.length;
    await agent.control.trigger(trigger(7));
    expect(world.steps.names.slice(before)).toEqual(['facts-save', 'journal-save']);
  });

  it('starts nothing when its sequence cannot be saved', async () => {
    const world = node();
    const agent = await world.startAgent();
    world.steps.fail('facts-save', new AgentError('facts-failed', 'cannot write the facts: EIO'));
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('facts-failed');
    expect(agent.phase).toBe('idle');
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('no error');
  });

  it('is used up when its update cannot be saved', async () => {
    const world = node();
    const agent = await world.startAgent();
    world.steps.fail('journal-save', new AgentError('journal-failed', 'cannot write the journal: EIO'));
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('journal-failed');
    expect(agent.phase).toBe('idle');
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('trigger-replayed');
  });

  it('is refused as a replay by an agent that was started after it', async () => {
    const world = node();
    const agent = await world.startAgent();
    const { updateId } = await agent.control.trigger(trigger(7));
    await agent.control.cancel(updateId);
    await agent.run();
    world.journal.losePower();
    const next = await world.startAgent();
    expect(await codeOf(next.control.trigger(trigger(7)))).toBe('trigger-replayed');
    expect(await codeOf(next.control.trigger(trigger(8)))).toBe('no error');
  });

  it('is refused as a replay after the journal was lost', async () => {
    const world = node();
    await (await world.startAgent()).control.trigger(trigger(7));
    world.journal.lose('the file is damaged');
    const next = await world.startAgent();
    expect(next.phase).toBe('idle');
    expect(await codeOf(next.control.trigger(trigger(7)))).toBe('trigger-replayed');
  });

  it('does not bring back an image that rolled back here: its update ends as known-bad, and is told', async () => {
    const world = node();
    world.checks.status = 'failed';
    await world.install('v2');
    world.checks.status = 'passed';
    const agent = await world.startAgent();
    const { updateId } = await agent.control.trigger(trigger(7));
    await agent.run();
    expect(await agent.control.update(updateId)).toMatchObject({ outcome: { result: 'failed', code: 'known-bad' } });
    expect(world.booted).toBe('a');
    const told = (await agent.control.events(0, 100)).at(-1);
    expect(told).toMatchObject({ kind: 'update-failed', updateId, details: { code: 'known-bad' } });
    expect((await agent.control.status()).knownBad).toHaveLength(1);
  });

  it('does not use up the sequences of another key', async () => {
    const agent = await node().startAgent();
    const { updateId } = await agent.control.trigger(trigger(7));
    await agent.control.cancel(updateId);
    await agent.run();
    expect(await codeOf(agent.control.trigger(trigger(1, 'stage', 'fleet-2')))).toBe('no error');
    expect(agent.facts.data.triggerSequences).toEqual({ 'fleet-1': 7, 'fleet-2': 1 });
  });

  it('never takes the last sequence back when two come at the same time', async () => {
    const agent = await node().startAgent();
    const both = await Promise.all([
      codeOf(agent.control.trigger(trigger(8))),
      codeOf(agent.control.trigger(trigger(7))),
    ]);
    expect(both).toEqual(['no error', 'trigger-replayed']);
    expect(agent.facts.data.triggerSequences).toEqual({ 'fleet-1': 8 });
  });

  it('keeps its sequence when another update is under way', async () => {
    const agent = await node().startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('update-in-progress');
    expect(agent.facts.data.triggerSequences).toEqual({});
  });

  it('is refused while the facts are lost, until an operator confirmed it', async () => {
    const world = node();
    await (await world.startAgent()).control.setHold('first', undefined);
    world.facts.lose();
    const agent = await world.startAgent();
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('facts-lost');
    await agent.control.confirmFacts();
    expect(await codeOf(agent.control.trigger(trigger(7)))).toBe('no error');
  });
});
