import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { isProven } from '../../../agent/update/start.ts';
import { states } from '../core/samples.ts';
import { testImage } from './registry.ts';
import { codeOf, TestNode, wanted } from './wiring.ts';

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

describe('a start', () => {
  it('renews what the loader took from the proven slot, after what it did is saved', async () => {
    const node = nodeWith();
    node.reboot();
    expect((await node.bootloader.readStatus()).slots.a).toEqual({ state: 'unrenewed', triesLeft: 3 });
    const { started } = await node.startAgent();
    expect(node.steps.names).toEqual(['journal-save', 'mark-good a']);
    expect(started.node?.boot.slots.a).toEqual({ state: 'good', triesLeft: 4 });
    expect(started.faults).toEqual([]);
  });

  it('sees whether the loader counts, and remembers it over a restart in the same boot', async () => {
    const node = nodeWith();
    node.reboot();
    expect((await node.startAgent()).started.hasLoaderCounted).toBe(true);
    const again = await node.startAgent();
    expect(again.started.hasLoaderCounted).toBe(true);
    expect(await again.control.status()).toMatchObject({ hasLoaderCounted: true });
  });

  it('keeps an idle node in its slot over any number of boots', async () => {
    const node = nodeWith('v2');
    await node.install('v2');
    const booted: string[] = [];
    for (let count = 0; count < 20; count += 1) {
      booted.push(node.reboot());
      await node.startAgent();
    }
    expect(new Set(booted)).toEqual(new Set(['b']));
  });

  it('never renews a trial before its verdict', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    expect(node.reboot()).toBe('b');
    const inTrial = await node.startAgent();
    expect(inTrial.phase).toBe('trial');
    expect(node.steps.names).not.toContain('mark-good b');
    expect((await node.bootloader.readStatus()).slots.b).toEqual({ state: 'trial', triesLeft: 3 });
  });

  it('runs degraded when the renewal fails, and starts no update', async () => {
    const node = nodeWith('v2');
    node.reboot();
    node.steps.fail('mark-good a', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'));
    const agent = await node.startAgent();
    expect(agent.started.faults).toMatchObject([{ code: 'boot-env-write-failed' }]);
    expect(agent.started.isRenewalDue).toBe(true);
    expect(await agent.control.status()).toMatchObject({
      booted: 'a',
      degraded: [{ code: 'boot-env-write-failed' }],
      slots: [{ loaderState: 'unrenewed' }, {}],
    });
    expect(await codeOf(agent.control.startUpdate(wanted('v2'), undefined))).toBe('agent-degraded');
  });

  it('repairs a damaged loader from the slot that runs, and holds the other for bad', async () => {
    const node = nodeWith();
    node.bootloader.corrupt();
    const { started } = await node.startAgent();
    expect(started).toMatchObject({ wasLoaderRepaired: true, faults: [], state: { phase: 'idle' } });
    expect(node.steps.names[0]).toBe('repair-loader false');
    expect(await node.bootloader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });

  it('tidies a loader whose state can be told, and starts by what it then says', async () => {
    const node = nodeWith();
    node.bootloader.untidy();
    const { started } = await node.startAgent();
    expect(started).toMatchObject({ wasLoaderRepaired: true, faults: [], state: { phase: 'idle' } });
    expect(node.steps.names[0]).toBe('repair-loader false');
    expect(started.node?.boot).toEqual(await node.bootloader.readStatus());
    expect(started.node?.boot.isUntidy).toBeUndefined();
  });

  it('serves an untidy loader as it is when it can not be tidied, and says why', async () => {
    const node = nodeWith();
    node.bootloader.untidy();
    node.steps.fail(
      'repair-loader false',
      new AgentError('boot-partition-read-only', 'cannot write to the boot partition'),
    );
    const { started } = await node.startAgent();
    expect(started.faults).toMatchObject([{ code: 'boot-partition-read-only' }]);
    expect(started.node?.boot).toMatchObject({ primary: 'a', isUntidy: true });
  });

  it('keeps the other slot in a repair when both were committed', async () => {
    const node = nodeWith('v2', 'v3');
    await node.install('v2');
    await node.install('v3');
    node.bootloader.corrupt();
    await node.startAgent();
    expect(node.steps.names.filter((name) => name.startsWith('repair'))).toEqual(['repair-loader true']);
    expect((await node.bootloader.readStatus()).slots).toMatchObject({ a: { state: 'good' }, b: { state: 'good' } });
  });

  it('gives a half-written slot up in a repair', async () => {
    const node = nodeWith('v2', 'v3', 'v4');
    await node.install('v2');
    const agent = await node.install('v3');
    node.steps.block('write b');
    await agent.control.startUpdate(wanted('v4'), undefined);
    await agent.run();
    await agent.stop();
    node.bootloader.corrupt();
    await node.startAgent();
    expect(node.steps.names.at(-2)).toBe('repair-loader false');
    expect((await node.bootloader.readStatus()).slots).toMatchObject({ a: { state: 'good' }, b: { state: 'bad' } });
  });

  it('keeps the fallback of a trial in a repair, so that it can still go back', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    expect(node.reboot()).toBe('b');
    node.bootloader.corrupt();
    node.checks.status = 'failed';
    const inTrial = await node.startAgent();
    expect(inTrial.phase).toBe('trial');
    expect(await inTrial.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });

  it('leaves no slot good that lost its trial, after a repair in the other', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    // The image dies before its agent, in every try.
    expect([1, 2, 3, 4, 5].map(() => node.reboot())).toEqual(['b', 'b', 'b', 'b', 'a']);
    node.bootloader.corrupt();
    const back = await node.startAgent();
    await back.run();
    expect(back.phase).toBe('idle');
    expect((await node.bootloader.readStatus()).slots).toMatchObject({ a: { state: 'good' }, b: { state: 'bad' } });
  });

  it('runs degraded when the loader cannot be repaired', async () => {
    const node = nodeWith();
    node.bootloader.corrupt();
    node.steps.fail('repair-loader false', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'));
    const agent = await node.startAgent();
    expect(agent.started).toMatchObject({
      node: undefined,
      wasLoaderRepaired: false,
      faults: [{ code: 'boot-env-write-failed' }],
    });
    expect(await codeOf(agent.control.startUpdate(wanted('v2'), undefined))).toBe('agent-degraded');
  });

  it('keeps the state as it is when the loader cannot be read', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    node.bootloader.corrupt();
    node.steps.fail('repair-loader false', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'));
    expect((await node.startAgent()).phase).toBe('preparing');
  });

  it('saves nothing over a journal that it could not read, and finishes a trial by the loader’s word', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    node.reboot();
    const unreadable = Object.create(node.journal, {
      load: { value: () => Promise.reject(new AgentError('journal-newer', 'cannot read the journal: it is newer')) },
    }) as TestNode['journal'];
    const saves = node.steps.names.length;
    const { started } = await node.startAgent({ journal: unreadable });
    expect(started).toMatchObject({ state: { phase: 'trial' }, faults: [{ code: 'journal-newer' }] });
    expect(node.steps.names).toHaveLength(saves);
  });

  it('is refused where nothing can be saved', async () => {
    const node = nodeWith();
    node.steps.fail('journal-save', new AgentError('journal-failed', 'cannot write the journal: ENOSPC'));
    expect(await codeOf(node.startAgent())).toBe('journal-failed');
  });

  it('remembers the boot', async () => {
    const node = nodeWith();
    node.reboot();
    await node.startAgent();
    expect((await node.journal.load()).boots).toEqual([
      { bootId: 'boot-1', slot: 'a', firstSeenAtMs: node.clock.nowMs(), isEndedCleanly: false, hasLoaderCounted: true },
    ]);
  });
});

describe('the booted slot', () => {
  const ofTarget = [
    'writing',
    'writing, paused',
    'staged',
    'staged, paused',
    'staged, until staged',
    'activating',
    'activating, baseline taken',
    'activated',
    'activated, until activated',
  ];
  const onTrial = [
    'trial',
    'committing',
    'rolling-back, booted',
    'rolling-back, rebooting',
    'rolling-back, out of probation',
  ];

  it.each(states.map(([name, state]) => ({ name, state })))(
    'is known to be proven or not in $name',
    ({ name, state }) => {
      expect(isProven('a', state)).toBe(!onTrial.includes(name));
      // Slot b is the target of every sample.
      expect(isProven('b', state)).toBe(!onTrial.includes(name) && !ofTarget.includes(name));
    },
  );
});
