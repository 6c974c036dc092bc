import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { InhibitorGate } from '../../../agent/systemd/inhibitor-gate.ts';
import { testImage } from './registry.ts';
import { ManualGate, TestNode, wanted } from './wiring.ts';

const held = 'the window opens on Saturday';

async function heldNode() {
  const node = new TestNode();
  node.registry.push(testImage('v2'));
  const gate = new ManualGate(['reboot']);
  gate.isOpen = false;
  const agent = await node.startAgent({ rebootGates: [gate] });
  await agent.run();
  const reboots = () => node.steps.names.filter((name) => name === 'reboot').length;
  return { node, gate, agent, reboots };
}

describe('a reboot that an operator asks for', () => {
  it('waits while somebody holds it back, says who, and comes once nobody does', async () => {
    const { gate, agent, reboots } = await heldNode();
    expect(await agent.control.reboot()).toBe(held);
    await agent.pass(60_000);
    expect(reboots()).toBe(0);
    gate.isOpen = true;
    await agent.pass(10_000);
    expect(reboots()).toBe(1);
    expect((await agent.control.events(0, 99)).map(({ kind }) => kind)).toEqual(['reboot-held', 'reboot-begun']);
  });

  it('is one, however often it is asked for', async () => {
    const { gate, agent, reboots } = await heldNode();
    expect(await agent.control.reboot()).toBe(held);
    expect(await agent.control.reboot()).toBe(held);
    gate.isOpen = true;
    await agent.pass(60_000);
    expect(reboots()).toBe(1);
  });

  it('lets what an update began meanwhile go on first', async () => {
    const { node, gate, agent, reboots } = await heldNode();
    await agent.control.reboot();
    const release = node.steps.block('write b');
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('writing');
    gate.isOpen = true;
    await agent.pass(60_000);
    expect(reboots()).toBe(0);
    release();
    await agent.pass(10_000);
    expect([agent.phase, reboots()]).toEqual(['staged', 1]);
  });

  it('is forgotten when the agent ends', async () => {
    const { gate, agent, reboots } = await heldNode();
    await agent.control.reboot();
    agent.heldReboot.end();
    gate.isOpen = true;
    await agent.pass(60_000);
    expect(reboots()).toBe(0);
  });

  it('that fails after its wait is told, and may be asked for again', async () => {
    const { node, gate, agent, reboots } = await heldNode();
    await agent.control.reboot();
    node.steps.fail('reboot', new AgentError('reboot-failed', 'cannot reboot by systemctl: no'));
    gate.isOpen = true;
    await agent.pass(10_000);
    expect((await agent.control.events(0, 99)).at(-1)).toMatchObject({
      kind: 'reboot-failed',
      details: { code: 'reboot-failed' },
    });
    expect(await agent.control.reboot()).toBeUndefined();
    expect(reboots()).toBe(2);
  });

  it.each([
    ['force', 1],
    ['wait', 0],
  ] as const)('after the longest wait goes by the policy: %s', async (afterWait, expected) => {
    const node = new TestNode();
    const list = JSON.stringify({ data: [[['shutdown', 'apt', 'installs', 'block', 0, 1]]] });
    const commands = { run: async () => ({ exitCode: 0, killedBy: undefined, output: list }) };
    const gate = new InhibitorGate(commands, node.clock, { inhibitorWaitMs: 1_800_000, afterWait });
    const agent = await node.startAgent({ rebootGates: [gate] });
    expect(await agent.control.reboot()).toBe('apt holds the reboot back: installs');
    await agent.pass(1_790_000);
    expect(node.steps.names).not.toContain('reboot');
    await agent.pass(20_000);
    expect(node.steps.names.filter((name) => name === 'reboot')).toHaveLength(expected);
  });
});
