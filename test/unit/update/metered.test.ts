import { describe, expect, it } from 'vitest';
import type { MeteredRules } from '../../../agent/core/metered.ts';
import { testImage } from './registry.ts';
import { TestNode, wanted } from './wiring.ts';

const wait: MeteredRules = { rule: 'wait', limitBytes: undefined };

/** A node on a metered link, with an update to an image without a block index under way. */
async function onMetered(metered: MeteredRules, from?: string) {
  const node = new TestNode();
  node.registry.push(testImage('v2'));
  node.link.kind = 'metered';
  const agent = await node.startAgent({ metered });
  const { updateId: id } = await agent.control.startUpdate({ ...wanted('v2', 'staged'), from }, undefined);
  await agent.run();
  return { node, agent, id };
}

const writes = (node: TestNode) => node.steps.names.filter((name) => name.startsWith('write')).length;

describe('an update that would fetch a whole image over a metered link', () => {
  it('waits before anything is written, says why, and asks the link alone again', async () => {
    const { node, agent } = await onMetered(wait);
    await agent.pass(300_000);
    expect(await agent.control.status()).toMatchObject({
      phase: 'preparing',
      link: { isMetered: true, source: 'network-manager' },
      waitingFor: [{ gate: 'metered', code: 'link-metered', text: expect.stringContaining('no delta') as string }],
    });
    expect([writes(node), node.registry.resolutions]).toEqual([0, 1]);
    expect(node.link.reads).toBeGreaterThan(5);
  });

  it('goes on by itself over another link', async () => {
    const { node, agent } = await onMetered(wait);
    node.link.kind = 'unmetered';
    await agent.pass(30_000);
    expect(agent.phase).toBe('staged');
  });

  it('goes on over a link of which nothing is known, and the status says so', async () => {
    const { node, agent } = await onMetered(wait);
    node.link.kind = 'unknown';
    await agent.pass(30_000);
    expect(agent.phase).toBe('staged');
    expect(await agent.control.status()).toMatchObject({ link: { source: 'unknown' } });
  });

  it('goes on once an operator allows it, also after a restart', async () => {
    const { node, agent, id } = await onMetered(wait);
    await agent.control.resume(id, false);
    await agent.run();
    expect(agent.phase).toBe('preparing');
    await agent.control.resume(id, true);
    expect((await node.journal.load()).state).toMatchObject({ update: { isMeteredAllowed: true } });
    await agent.run();
    expect(agent.phase).toBe('staged');
  });

  it('can be paused and cancelled while it waits', async () => {
    const { agent, id } = await onMetered(wait);
    await agent.control.pause(id);
    expect((await agent.control.status()).waitingFor).toMatchObject([{ code: 'resume-needed' }]);
    await agent.control.cancel(id);
    await agent.run();
    expect(agent.phase).toBe('idle');
  });

  it('fails with its code where the rule says so, and is not tried again', async () => {
    const { node, agent } = await onMetered({ rule: 'fail', limitBytes: undefined });
    expect(agent.runner.state).toMatchObject({ phase: 'idle', last: { result: 'failed', code: 'link-metered' } });
    expect(writes(node)).toBe(0);
  });

  it('is fetched where the operator who asked for it allowed that', async () => {
    const node = new TestNode();
    node.registry.push(testImage('v2'));
    node.link.kind = 'metered';
    const agent = await node.startAgent({ metered: { rule: 'fail', limitBytes: undefined } });
    await agent.control.startUpdate({ ...wanted('v2', 'staged'), isMeteredAllowed: true }, undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
  });

  it('is fetched where the rule or the limit lets it, or the source is no network', async () => {
    for (const [rules, from] of [
      [{ rule: 'full', limitBytes: undefined }],
      [{ rule: 'wait', limitBytes: 8192 }],
      [wait, 'oci:/media/usb'],
    ] as const) {
      expect((await onMetered(rules, from)).agent.phase).toBe('staged');
    }
    expect((await onMetered({ rule: 'wait', limitBytes: 8191 })).agent.phase).toBe('preparing');
  });

  it('is held where the link became metered between its preparation and its write', async () => {
    const node = new TestNode();
    node.registry.push(testImage('v2'));
    const agent = await node.startAgent({ metered: wait });
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    const release = node.steps.block('write b');
    await agent.run();
    node.link.kind = 'metered';
    release();
    await agent.pass(90_000);
    expect(await agent.control.status()).toMatchObject({ phase: 'writing', waitingFor: [{ code: 'link-metered' }] });
    expect(writes(node)).toBe(1);
    node.link.kind = 'unmetered';
    await agent.pass(30_000);
    expect(agent.phase).toBe('staged');
  });
});
