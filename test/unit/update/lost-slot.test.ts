import { expect, it } from 'vitest';
import { testImage } from './registry.ts';
import { TestNode } from './wiring.ts';

/** What was told of updates that ended without being committed, over all starts. */
async function ends(node: TestNode): Promise<readonly string[]> {
  const events = await node.journal.events(0, 999);
  return events.map(({ kind }) => kind).filter((kind) => kind === 'update-rolled-back');
}

/** A node whose committed slot b no longer starts: the loader goes down its tries, and boots slot a. */
async function lose(node: TestNode): Promise<void> {
  for (let boots = 0; node.booted === 'b' && boots < 9; boots += 1) node.reboot();
  expect(node.booted).toBe('a');
}

async function restart(node: TestNode) {
  const agent = await node.startAgent();
  while (agent.phase !== 'idle') await agent.pass(1_000);
  return agent;
}

it('a committed slot that is lost is recorded once, though no record tells what the other slot holds', async () => {
  const node = new TestNode();
  node.registry.push(testImage('v2'));
  const installed = await node.install('v2');
  await installed.stop();
  expect((await node.journal.load()).deployments.a).toBeUndefined();
  await lose(node);
  await (await restart(node)).stop();
  expect(await node.journal.rollbacks(9)).toMatchObject([{ reason: 'committed-slot-lost', slot: 'b' }]);

  for (let restarts = 0; restarts < 3; restarts += 1) {
    node.reboot();
    expect(node.booted).toBe('a');
    const agent = await restart(node);
    expect((await agent.control.status()).booted).toBe('a');
    await agent.stop();
  }
  expect(await ends(node)).toHaveLength(1);
  expect(await node.journal.rollbacks(9)).toHaveLength(1);
});

it('a committed slot that is lost makes the recorded one in its stead the committed one', async () => {
  const node = new TestNode();
  for (const tag of ['v2', 'v3']) node.registry.push(testImage(tag));
  await (await node.install('v2')).stop();
  await (await node.install('v3')).stop();
  expect(node.booted).toBe('a');
  for (let boots = 0; node.booted === 'a' && boots < 9; boots += 1) node.reboot();
  for (let restarts = 0; restarts < 2; restarts += 1) {
    const agent = await restart(node);
    await agent.stop();
    node.reboot();
    expect(node.booted).toBe('b');
  }
  expect(await ends(node)).toHaveLength(1);
  expect(await node.journal.rollbacks(9)).toMatchObject([{ reason: 'committed-slot-lost', slot: 'a' }]);
});
