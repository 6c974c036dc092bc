import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { emptyFacts } from '../../../agent/core/facts.ts';
import { testImage } from './registry.ts';
import { codeOf, TestNode, wanted } from './wiring.ts';

const settled = { isLoaderSettled: true } as const;

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

/** Gives the loader of `node` a mark that only a test sets, and the loader changes unless it is told not to. */
function giveCanary(node: TestNode, changes: boolean): { isArmed: boolean } {
  const mark = { isArmed: false };
  const { capabilities } = node.bootloader;
  Object.defineProperty(node.bootloader, 'capabilities', { value: { ...capabilities, countsProven: false } });
  Object.assign(node.bootloader, {
    canary: {
      rebootArgument: undefined,
      arm: async () => {
        mark.isArmed = true;
      },
      read: async () => (mark.isArmed && changes ? 'changed' : 'unchanged'),
      clear: async () => {
        mark.isArmed = false;
      },
    },
  });
  return mark;
}

/** Asks for the test, reboots, and starts the agent of the next boot. */
async function testLoader(node: TestNode) {
  const agent = await node.startAgent(settled);
  await agent.control.testLoader();
  expect((await agent.control.status()).loader.isTestPending).toBe(true);
  expect(agent.facts.data.loaderTest).toMatchObject({ bootId: 'boot-0', isSettled: false });
  node.reboot();
  return node.startAgent(settled);
}

describe('a test of the loader', () => {
  it.each([true, false])('is recorded by the next boot: the loader changed its mark, %s', async (changes) => {
    const node = nodeWith();
    const mark = giveCanary(node, changes);
    const agent = await testLoader(node);
    expect((await agent.control.status()).loader).toEqual({
      name: 'memory',
      isProven: changes,
      by: 'self-test',
      provenAtMs: expect.any(Number) as number,
      isTestPending: false,
      isTestable: true,
      notes: [],
    });
    expect(mark.isArmed).toBe(false);
    const { data } = await node.facts.load();
    expect(data).toMatchObject({ loaderProof: { isProven: changes } });
  });

  it('is any reboot where each boot of a proven slot is counted', async () => {
    const node = nodeWith();
    const agent = await testLoader(node);
    expect((await agent.control.status()).loader).toMatchObject({ isProven: true, by: 'self-test' });
  });

  it('is begun though its reboot fails, which is told and leaves it waiting for one', async () => {
    const node = nodeWith();
    giveCanary(node, true);
    node.steps.fail('reboot', new AgentError('reboot-failed', 'cannot reboot by systemctl: it is busy'));
    const agent = await node.startAgent(settled);
    await agent.control.testLoader();
    await expect
      .poll(async () => (await agent.control.events(0, 100)).map(({ kind }) => kind))
      .toContain('reboot-failed');
    expect((await agent.control.status()).loader.isTestPending).toBe(true);
  });

  it('does not end in the boot that began it', async () => {
    const node = nodeWith();
    const mark = giveCanary(node, true);
    await (await node.startAgent(settled)).control.testLoader();
    const restarted = await node.startAgent(settled);
    expect((await restarted.control.status()).loader.isTestPending).toBe(true);
    expect(mark.isArmed).toBe(true);
  });

  it('is refused while an update is under way, degraded, and where its result could not be kept', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent(settled);
    await agent.control.startUpdate(wanted('v2'), undefined);
    expect(await codeOf(agent.control.testLoader())).toBe('update-phase-wrong');
    const fault = { code: 'config-invalid', message: 'no' } as const;
    expect(await codeOf((await nodeWith().startAgent({ ...settled, degraded: [fault] })).control.testLoader())).toBe(
      'agent-degraded',
    );
    const lost = nodeWith();
    await lost.facts.save(emptyFacts);
    lost.facts.lose();
    expect(await codeOf((await lost.startAgent(settled)).control.testLoader())).toBe('facts-lost');
  });

  it('sets its mark before it is recorded, and is not begun where the mark cannot be set', async () => {
    const node = nodeWith();
    node.steps.fail('arm-loader-test', new AgentError('boot-env-write-failed', 'cannot write the loader: EROFS'));
    const agent = await node.startAgent(settled);
    expect(await codeOf(agent.control.testLoader())).toBe('boot-env-write-failed');
    expect(agent.facts.data.loaderTest).toBeUndefined();
    const { length } = node.steps.names;
    await agent.control.testLoader();
    expect(node.steps.names.slice(length)).toEqual(['arm-loader-test', 'facts-save', 'reboot']);
  });

  it('keeps a result whose mark could not be removed, and removes it at the next start', async () => {
    const node = nodeWith();
    const mark = giveCanary(node, true);
    const first = await node.startAgent(settled);
    await first.control.testLoader();
    node.reboot();
    node.steps.fail('clear-loader-test', new AgentError('boot-env-write-failed', 'cannot write the loader: EROFS'));
    const agent = await node.startAgent(settled);
    expect(agent.facts.data).toMatchObject({ loaderProof: { isProven: true }, loaderTest: { isSettled: true } });
    expect(mark.isArmed).toBe(true);
    const again = await node.startAgent(settled);
    expect(again.facts.data).toMatchObject({ loaderProof: { isProven: true }, loaderTest: undefined });
    expect(mark.isArmed).toBe(false);
  });
});

describe('the proof that the loader counts', () => {
  it('comes from each boot that is counted', async () => {
    const node = nodeWith();
    expect((await (await node.startAgent(settled)).control.status()).loader.isProven).toBeUndefined();
    node.reboot();
    expect((await (await node.startAgent(settled)).control.status()).loader).toMatchObject({
      isProven: true,
      by: 'boot',
    });
  });

  it('is missed by an update whose rules want it, until there is one', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent({ ...settled, isProofRequired: true });
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect((await agent.control.status()).last).toMatchObject({ result: 'failed', code: 'loader-unproven' });
    node.reboot();
    const proven = await node.startAgent({ ...settled, isProofRequired: true });
    await proven.control.startUpdate(wanted('v2'), undefined);
    expect(await proven.end()).toBe('rebooting');
  });
});
