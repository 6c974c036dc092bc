import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { testImage } from './registry.ts';
import { codeOf, ManualGate, type TestAgent, TestNode, wanted } from './wiring.ts';

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

const resumeNeeded = { gate: 'operator', code: 'resume-needed' };

/** An agent whose update waits in the middle of its write. */
async function inWrite(node: TestNode): Promise<{ agent: TestAgent; id: string; release: () => void }> {
  const agent = await node.startAgent();
  const { updateId: id } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
  const release = node.steps.block('write b');
  await agent.run();
  return { agent, id, release };
}

const writesOf = (node: TestNode) => node.steps.names.filter((name) => name === 'write b').length;

describe('what an update moved', () => {
  it('is saved with the end of its write, shown, and told with it', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    node.journal.losePower();
    const moved = { fetchedBytes: 8192, keptBytes: 0, copiedBytes: 0, writtenBytes: 8192, isResumed: false };
    expect(await node.journal.update(updateId)).toMatchObject({ transfer: moved });
    expect(await agent.control.update(updateId)).toMatchObject({ transfer: moved, current: { transfer: moved } });
    expect(agent.reporter.events.find(({ kind }) => kind === 'slot-written')).toMatchObject({
      message: expect.stringContaining('8192 bytes fetched') as string,
      details: { moved },
    });
    await agent.stop();
    const later = await node.startAgent();
    expect(await later.control.status()).toMatchObject({ current: { transfer: moved } });
    await later.control.cancel(updateId);
    await later.run();
    expect(await later.control.updates(1, undefined)).toMatchObject([
      { outcome: { result: 'cancelled' }, transfer: moved },
    ]);
  });

  it('is saved by a pause, and counted on by the run after it', async () => {
    const node = nodeWith('v2');
    const { agent, id, release } = await inWrite(node);
    await agent.control.pause(id);
    expect(await node.journal.update(id)).toMatchObject({ transfer: { fetchedBytes: 0 } });
    release();
    await agent.control.resume(id, false);
    await agent.run();
    expect(await node.journal.update(id)).toMatchObject({ transfer: { fetchedBytes: 8192 } });
  });
});

describe('a pause', () => {
  it('ends the write that runs, is saved and shown, and is no failure', async () => {
    const node = nodeWith('v2');
    const { agent, id } = await inWrite(node);
    await agent.control.pause(id);
    node.journal.losePower();
    expect((await node.journal.load()).state).toMatchObject({ phase: 'writing', pause: { atMs: node.clock.nowMs() } });
    await agent.pass(3_600_000);
    expect(await agent.control.status()).toMatchObject({
      phase: 'writing',
      current: { phase: 'writing', pausedAtMs: 1_750_000_000_000, lastError: undefined },
      waitingFor: [{ ...resumeNeeded, text: 'paused by the operator; kaonctl resume lets it go on' }],
    });
    expect(writesOf(node)).toBe(1);
    expect(agent.reporter.kinds).toEqual(['update-requested', 'prepared', 'pause-asked']);
  });

  it('goes on with the effect that it ended once it is resumed, and to the end', async () => {
    const node = nodeWith('v2');
    const { agent, id, release } = await inWrite(node);
    await agent.control.pause(id);
    await agent.run();
    release();
    await agent.control.resume(id, false);
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'staged' });
    expect(writesOf(node)).toBe(2);
    expect(agent.reporter.kinds.slice(2)).toEqual(['pause-asked', 'resume-asked', 'slot-written']);
  });

  it('that is resumed before the write noticed it lets the write begin again', async () => {
    const node = nodeWith('v2');
    const { agent, id, release } = await inWrite(node);
    await Promise.all([agent.control.pause(id), agent.control.resume(id, false)]);
    release();
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'staged' });
    expect(agent.reporter.kinds).not.toContain('effect-failed');
  });

  it('outlives the agent and the boot', async () => {
    const node = nodeWith('v2');
    const { agent, id } = await inWrite(node);
    await agent.control.pause(id);
    await agent.stop();
    node.reboot();
    const later = await node.startAgent();
    await later.pass(60_000);
    expect(writesOf(node)).toBe(1);
    expect((await later.control.status()).waitingFor).toMatchObject([resumeNeeded]);
    await later.control.resume(id, false);
    expect((await later.control.status()).waitingFor).toEqual([]);
  });

  it('is asked for twice and resumed twice like once', async () => {
    const node = nodeWith('v2');
    const { agent, id, release } = await inWrite(node);
    await agent.control.resume(id, false);
    await agent.control.pause(id);
    await agent.control.pause(id);
    release();
    await agent.control.resume(id, false);
    await agent.control.resume(id, false);
    await agent.run();
    expect(agent.reporter.kinds.filter((kind) => /pause|resume/.test(kind))).toEqual(['pause-asked', 'resume-asked']);
  });

  it('holds an update that waits for its retry, which is tried at once when it is resumed', async () => {
    const node = nodeWith('v2');
    node.registry.failure = new AgentError('registry-unreachable', 'cannot reach registry.acme.io: no route');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    await agent.control.pause(updateId);
    node.registry.failure = undefined;
    await agent.pass(3_600_000);
    expect(agent.phase).toBe('preparing');
    await agent.control.resume(updateId, false);
    await agent.run();
    expect(agent.phase).toBe('staged');
  });

  it('holds an update that waits for a gate, which is not asked any more', async () => {
    const gate = new ManualGate(['reboot']);
    gate.isOpen = false;
    const agent = await nodeWith('v2').startAgent({ gates: [gate] });
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    await agent.control.pause(updateId);
    gate.isOpen = true;
    const { asked } = gate;
    await agent.pass(3_600_000);
    expect([agent.phase, gate.asked]).toEqual(['staged', asked]);
  });

  it('keeps a staged update from being activated until it is resumed', async () => {
    const agent = await nodeWith('v2').startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    await agent.control.pause(updateId);
    await expect(agent.control.activate(updateId, false)).rejects.toMatchObject({
      code: 'update-phase-wrong',
      details: { phase: 'staged', isPaused: true },
    });
    await agent.control.resume(updateId, false);
    await agent.control.activate(updateId, false);
    await agent.run();
    expect(agent.phase).toBe('activated');
  });

  it('is ended by a cancel, which undoes the work', async () => {
    const node = nodeWith('v2');
    const { agent, id } = await inWrite(node);
    await agent.control.pause(id);
    await agent.control.cancel(id);
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'idle', last: { result: 'cancelled' } });
  });

  it('is not ended by a trigger: another update is under way', async () => {
    const node = nodeWith('v2');
    const { agent, id } = await inWrite(node);
    await agent.control.pause(id);
    const trigger = { keyId: 'fleet-1', image: wanted('v2').image, action: 'activate', sequence: 1 };
    expect(await codeOf(agent.control.trigger(trigger))).toBe('update-in-progress');
    expect(await codeOf(agent.control.startUpdate(wanted('v2'), undefined))).toBe('update-in-progress');
    expect((await agent.control.status()).waitingFor).toMatchObject([resumeNeeded]);
  });

  it('is refused where the loader is armed or nothing is under way, with the phase', async () => {
    const agent = await nodeWith('v2').startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'activated'), undefined);
    await agent.run();
    for (const verb of ['pause', 'resume'] as const) {
      const refusal = { code: 'update-phase-wrong', details: { phase: 'activated' } };
      await expect(agent.control[verb](updateId, false)).rejects.toMatchObject(refusal);
      await expect(agent.control[verb]('u-99', false)).rejects.toMatchObject({ details: { phase: 'idle' } });
    }
  });

  it('is not answered before it is saved, and lets the write go on when it cannot be', async () => {
    const node = nodeWith('v2');
    const { agent, id, release } = await inWrite(node);
    node.steps.fail('journal-save', new AgentError('journal-failed', 'cannot write the journal: ENOSPC'));
    expect(await codeOf(agent.control.pause(id))).toBe('journal-failed');
    release();
    await agent.run();
    expect(agent.phase).toBe('staged');
  });
});
