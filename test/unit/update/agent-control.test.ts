import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Phase } from '../../../agent/core/update-state.ts';
import { testImage } from './registry.ts';
import { codeOf, type TestAgent, TestNode, wanted } from './wiring.ts';

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

const never = new AbortController().signal;

describe('a request for an update', () => {
  it('is saved before it is answered, and survives a power cut right after', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId, isRepeated } = await agent.control.startUpdate(wanted('v2'), undefined);
    node.journal.losePower();
    expect(isRepeated).toBe(false);
    expect((await node.journal.load()).state).toMatchObject({ phase: 'preparing', update: { id: updateId } });
    expect(await node.journal.update(updateId)).toMatchObject({
      request: { image: 'registry.acme.io/os/edge:v2', requestedAtMs: node.clock.nowMs(), requestedBy: 'operator' },
      outcome: undefined,
    });
  });

  it('is refused, and nothing began, when it cannot be saved', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    node.steps.fail('journal-save', new AgentError('journal-failed', 'cannot write the journal: ENOSPC'));
    expect(await codeOf(agent.control.startUpdate(wanted('v2'), undefined))).toBe('journal-failed');
    expect(agent.phase).toBe('idle');
    expect(await agent.control.updates(10, undefined)).toEqual([]);
  });

  it('is refused while another one is under way, which is named', async () => {
    const agent = await nodeWith('v2', 'v3').startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    await expect(agent.control.startUpdate(wanted('v3'), undefined)).rejects.toMatchObject({
      code: 'update-in-progress',
      details: { updateId, phase: 'preparing' },
    });
    expect(await codeOf(agent.control.startRollback(undefined))).toBe('nothing-to-roll-back');
  });

  it('lets only one of two at the same time begin', async () => {
    const agent = await nodeWith('v2').startAgent();
    const both = await Promise.all([
      codeOf(agent.control.startUpdate(wanted('v2'), undefined)),
      codeOf(agent.control.startUpdate(wanted('v2'), undefined)),
    ]);
    expect(both).toEqual(['no error', 'update-in-progress']);
  });

  it.each(['', 'registry.acme.io/OS/edge', 'registry.acme.io/os:', 'registry.acme.io/os@sha256:1'])(
    'is refused for the reference %j before anything is saved',
    async (image) => {
      const node = nodeWith();
      const agent = await node.startAgent();
      const before = node.steps.names.length;
      expect(await codeOf(agent.control.startUpdate({ ...wanted('v2'), image }, 'key-1'))).toBe('reference-invalid');
      expect(node.steps.names).toHaveLength(before);
    },
  );

  it('is refused by a degraded agent with why, and reads still work', async () => {
    const node = nodeWith('v2');
    const degraded = [
      { code: 'config-invalid', message: 'cannot use /etc/kaon/config.yaml: slots.a is missing' },
    ] as const;
    const agent = await node.startAgent({ degraded });
    const refusal = { code: 'agent-degraded', details: { causes: ['config-invalid'] } };
    await expect(agent.control.startUpdate(wanted('v2'), undefined)).rejects.toMatchObject(refusal);
    await expect(agent.control.startRollback(undefined)).rejects.toMatchObject(refusal);
    await expect(agent.control.activate('id-1', true)).rejects.toMatchObject(refusal);
    await expect(agent.control.trigger({})).rejects.toMatchObject(refusal);
    expect(await agent.control.status()).toMatchObject({ phase: 'idle', booted: 'a', degraded });
  });

  it('ends as committed with already-running when the image runs and is proven', async () => {
    const node = nodeWith('v2');
    const agent = await node.install('v2');
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    const writes = node.steps.names.filter((name) => name.startsWith('write')).length;
    await agent.run();
    expect(await agent.control.update(updateId)).toMatchObject({
      phase: 'idle',
      outcome: { result: 'committed', code: 'already-running' },
    });
    expect(node.steps.names.filter((name) => name.startsWith('write'))).toHaveLength(writes);
  });
});

describe('an idempotency key', () => {
  it('answers a repeated request with the first update, even when that has ended', async () => {
    const agent = await nodeWith().startAgent();
    const first = await agent.control.startUpdate(wanted('v2'), 'key-1');
    expect(await agent.control.startUpdate(wanted('v2'), 'key-1')).toEqual({ ...first, isRepeated: true });
    await agent.run();
    expect(agent.phase).toBe('idle');
    expect(await agent.control.startUpdate(wanted('v2'), 'key-1')).toEqual({ ...first, isRepeated: true });
    expect(agent.phase).toBe('idle');
  });

  it.each([
    ['another image', wanted('v3')],
    ['another end', wanted('v2', 'staged')],
    ['another source', { ...wanted('v2'), from: 'oci:/media/usb' }],
  ])('is refused for %s', async (_name, input) => {
    const agent = await nodeWith('v2').startAgent();
    await agent.control.startUpdate(wanted('v2'), 'key-1');
    expect(await codeOf(agent.control.startUpdate(input, 'key-1'))).toBe('idempotency-key-reused');
  });

  it('is refused for a rollback after it was used for an update', async () => {
    const agent = await nodeWith('v2').startAgent();
    await agent.control.startUpdate(wanted('v2'), 'key-1');
    expect(await codeOf(agent.control.startRollback('key-1'))).toBe('idempotency-key-reused');
  });

  it('starts one update for two requests at the same time', async () => {
    const agent = await nodeWith('v2').startAgent();
    const [one, other] = await Promise.all([
      agent.control.startUpdate(wanted('v2'), 'key-1'),
      agent.control.startUpdate(wanted('v2'), 'key-1'),
    ]);
    expect(other).toEqual({ updateId: one.updateId, isRepeated: true });
  });

  it('is known to the next agent on the same journal', async () => {
    const node = nodeWith('v2');
    const first = await (await node.startAgent()).control.startUpdate(wanted('v2'), 'key-1');
    node.journal.losePower();
    const next = await node.startAgent();
    expect(await next.control.startUpdate(wanted('v2'), 'key-1')).toEqual({ ...first, isRepeated: true });
  });

  it.each(['journal-save-key', 'journal-save'])(
    'may be used again after its request could not be saved (%s)',
    async (step) => {
      const node = nodeWith('v2');
      const agent = await node.startAgent();
      node.steps.fail(step, new AgentError('journal-failed', 'cannot write the journal: EIO'));
      expect(await codeOf(agent.control.startUpdate(wanted('v2'), 'key-1'))).toBe('journal-failed');
      expect(agent.phase).toBe('idle');
      const again = await agent.control.startUpdate(wanted('v2'), 'key-1');
      expect(again.isRepeated).toBe(false);
      expect(agent.runner.state).toMatchObject({ phase: 'preparing', update: { id: again.updateId } });
    },
  );

  it('may be used with another body after its request was refused', async () => {
    const agent = await nodeWith('v2').startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    expect(await codeOf(agent.control.startUpdate(wanted('v3'), 'key-1'))).toBe('update-in-progress');
    await agent.control.cancel(updateId);
    await agent.run();
    expect(await agent.control.startUpdate(wanted('v2'), 'key-1')).toMatchObject({ isRepeated: false });
  });
});

/** An agent whose update stands in `phase`, its effect held back. */
async function agentIn(phase: Phase): Promise<{ agent: TestAgent; node: TestNode; id: string; release: () => void }> {
  const node = nodeWith('v2');
  const blocks: Partial<Record<Phase, string>> = {
    writing: 'write b',
    activating: 'activate b',
    activated: 'reboot',
    trial: 'check-health',
    committing: 'mark-good b',
  };
  let agent = await node.startAgent();
  const { updateId: id } = await agent.control.startUpdate(
    wanted('v2', phase === 'staged' ? 'staged' : 'committed'),
    undefined,
  );
  const block = blocks[phase];
  const release = block === undefined ? () => undefined : node.steps.block(block);
  if (phase !== 'preparing') await agent.run();
  if (phase === 'trial' || phase === 'committing') {
    node.reboot();
    agent = await node.startAgent();
    await agent.run();
  }
  expect(agent.phase).toBe(phase);
  return { agent, node, id, release };
}

describe('cancelling', () => {
  it.each(['preparing', 'writing', 'staged'] as const)('undoes an update out of %s', async (phase) => {
    const { agent, node, id } = await agentIn(phase);
    await agent.control.cancel(id);
    await agent.run();
    expect(await agent.control.update(id)).toMatchObject({
      phase: 'idle',
      outcome: { result: 'cancelled', code: 'update-cancelled' },
    });
    expect((await node.bootloader.readStatus()).slots).toMatchObject({ a: { state: 'good' }, b: { state: 'bad' } });
    expect(agent.reporter.kinds).not.toContain('effect-failed');
  });

  it('turns the loader back after arming it had begun', async () => {
    const { agent, node, id, release } = await agentIn('activating');
    await agent.control.cancel(id);
    release();
    await agent.run();
    expect(await agent.control.update(id)).toMatchObject({ phase: 'idle', outcome: { result: 'cancelled' } });
    expect(await node.bootloader.readStatus()).toMatchObject({ primary: 'a', trial: undefined });
  });

  it('goes back through the armed slot when its reboot was on the way', async () => {
    const { agent, node, id, release } = await agentIn('activated');
    await agent.control.cancel(id);
    release();
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('b');
    const inTarget = await node.startAgent();
    expect(await inTarget.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    const next = await node.startAgent();
    await next.run();
    expect(await next.control.update(id)).toMatchObject({ outcome: { result: 'cancelled' } });
    expect(node.steps.names).not.toContain('check-health');
  });

  it('turns a trial back by a reboot, and blames nobody', async () => {
    const { agent, node, id } = await agentIn('trial');
    await agent.control.cancel(id);
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    const next = await node.startAgent();
    await next.run();
    expect(await next.control.update(id)).toMatchObject({ outcome: { result: 'cancelled' } });
    expect((await next.control.status()).knownBad).toEqual([]);
    expect(await next.control.rollback(id)).toMatchObject({ reason: 'operator' });
  });

  it('is refused while committing, and names the phase', async () => {
    const { agent, id } = await agentIn('committing');
    await expect(agent.control.cancel(id)).rejects.toMatchObject({
      code: 'update-phase-wrong',
      details: { phase: 'committing' },
    });
  });

  it('is refused a second time', async () => {
    const { agent, id } = await agentIn('writing');
    await agent.control.cancel(id);
    await expect(agent.control.cancel(id)).rejects.toMatchObject({
      code: 'update-phase-wrong',
      details: { phase: 'cancelling' },
    });
  });

  it('is refused for an update that is not the one under way', async () => {
    const { agent } = await agentIn('writing');
    await expect(agent.control.cancel('id-9999')).rejects.toMatchObject({
      code: 'update-phase-wrong',
      details: { phase: 'idle' },
    });
    expect(agent.phase).toBe('writing');
  });
});

describe('activating', () => {
  it('takes a staged update to its reboot, and waits there', async () => {
    const { agent, node, id } = await agentIn('staged');
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'operator', code: 'activation-needed' }]);
    await agent.control.activate(id, false);
    await agent.run();
    expect(agent.phase).toBe('activated');
    expect(await agent.control.status()).toMatchObject({
      primary: 'b',
      waitingFor: [{ gate: 'reboot', code: 'reboot-needed' }],
      slots: [{ state: 'good' }, { state: 'trial', triesLeft: 4 }],
    });
    expect(node.steps.names).not.toContain('reboot');
  });

  it('takes a staged update through its reboot when told to', async () => {
    const { agent, id } = await agentIn('staged');
    await agent.control.activate(id, true);
    expect(await agent.end()).toBe('rebooting');
  });

  it('lets an activated update reboot', async () => {
    const { agent, id } = await agentIn('staged');
    await agent.control.activate(id, false);
    await agent.run();
    await agent.control.activate(id, true);
    expect(await agent.end()).toBe('rebooting');
  });

  it.each(['preparing', 'writing', 'trial'] as const)('is refused out of %s, and names the phase', async (phase) => {
    const { agent, id } = await agentIn(phase);
    await expect(agent.control.activate(id, true)).rejects.toMatchObject({
      code: 'update-phase-wrong',
      details: { phase },
    });
  });
});

describe('an operator’s rollback', () => {
  it('is refused when the other slot cannot be booted', async () => {
    const agent = await nodeWith().startAgent();
    expect(await codeOf(agent.control.startRollback(undefined))).toBe('nothing-to-roll-back');
    expect(agent.phase).toBe('idle');
  });

  it('tries the other slot, checks its health and commits it', async () => {
    const node = nodeWith('v2');
    const agent = await node.install('v2');
    expect(node.booted).toBe('b');
    const { updateId } = await agent.control.startRollback('key-1');
    expect(await agent.control.startRollback('key-1')).toEqual({ updateId, isRepeated: true });
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    const next = await node.startAgent();
    await next.run();
    expect(await next.control.update(updateId)).toMatchObject({
      request: { kind: 'rollback' },
      outcome: { kind: 'rollback', result: 'committed' },
    });
    expect((await next.control.status()).slots).toMatchObject([{ state: 'good', isPrimary: true }, { state: 'good' }]);
  });

  it('arms a slot that no record explains again after a restart before the reboot', async () => {
    const node = nodeWith('v2');
    const agent = await node.install('v2');
    await agent.control.startRollback(undefined);
    // The loader is armed, and the power goes before that is saved.
    node.steps.fail('journal-save', new AgentError('journal-failed', 'cannot write the journal: EIO'), 1);
    await agent.run();
    expect(agent.phase).toBe('activating');
    await agent.stop();
    const next = await node.startAgent();
    expect(await next.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });
});

describe('a plan', () => {
  it('tells what would happen, and writes nothing', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const before = node.steps.names.length;
    expect(await agent.control.plan(wanted('v2'), never)).toEqual({
      image: 'registry.acme.io/os/edge:v2',
      digest: testImage('v2').facts.manifestDigest,
      name: 'edge',
      version: 'v2',
      isAlreadyRunning: false,
      slot: 'b',
      trust: { rule: 'registry.acme.io/os', keyIds: ['release-1'] },
      downloadBytes: 8192,
      writeBytes: 8192,
      partitions: [{ name: 'root', layerSizeBytes: 8192, contentSizeBytes: 8192, partitionSizeBytes: 16_384 }],
      blockers: [],
      warnings: [expect.stringContaining('never proved') as string],
    });
    expect(node.steps.names).toHaveLength(before);
  });

  it.each([
    ['an image for other nodes', { compatible: ['other'] }, 'image-incompatible'],
    ['an image that wants a newer agent', { minimumAgent: '2.0.0' }, 'agent-too-old'],
    [
      'an image that is too large',
      { partitions: [{ name: 'root', layerDigest: 'sha256:1', layerSizeBytes: 1, contentSizeBytes: 16_385 }] },
      'slot-too-small',
    ],
  ])('names what stands against %s', async (_name, facts, code) => {
    const node = nodeWith();
    node.registry.push(testImage('v2', facts));
    const agent = await node.startAgent();
    expect((await agent.control.plan(wanted('v2'), never)).blockers).toMatchObject([{ code }]);
  });

  it('names an image below the floor that a committed one raised', async () => {
    const node = nodeWith();
    node.registry.push(testImage('v2', { rollbackIndex: 5 }));
    node.registry.push(testImage('v1', { rollbackIndex: 4 }));
    const agent = await node.install('v2');
    expect((await agent.control.status()).rollbackFloor).toBe(5);
    expect((await agent.control.plan(wanted('v1'), never)).blockers).toMatchObject([{ code: 'downgrade-refused' }]);
  });

  it('does not keep an update back where an operator says why it goes below the floor, which the events tell', async () => {
    const node = nodeWith();
    node.registry.push(testImage('v2', { rollbackIndex: 5 }));
    node.registry.push(testImage('v1', { rollbackIndex: 4 }));
    const agent = await node.install('v2');
    await agent.control.startUpdate(wanted('v1', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('idle');
    const reason = 'v2 breaks the modems';
    await agent.control.startUpdate({ ...wanted('v1', 'staged'), downgradeReason: reason }, undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    const told = (await node.journal.events(0, 1000)).filter(({ message }) => message.includes(reason));
    expect(told.map(({ kind }) => kind)).toContain('update-requested');
    expect((await agent.control.status()).rollbackFloor).toBe(5);
  });

  it('names a booted slot that is no fallback', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    // A boot that nobody renewed yet.
    node.bootloader.boot();
    expect((await agent.control.plan(wanted('v2'), never)).blockers).toMatchObject([{ code: 'booted-slot-unproven' }]);
  });

  it('says that what runs is what was asked for', async () => {
    const node = nodeWith('v2');
    const agent = await node.install('v2');
    expect(await agent.control.plan(wanted('v2'), never)).toMatchObject({
      isAlreadyRunning: true,
      blockers: [],
      warnings: [],
    });
  });

  it('warns that a bootable image is given up', async () => {
    const node = nodeWith('v2', 'v3');
    const agent = await node.install('v2');
    const { warnings } = await agent.control.plan(wanted('v3'), never);
    expect(warnings.join()).toContain('no fallback but slot b');
  });

  it('rejects with what the registry and the trust policy say', async () => {
    const agent = await nodeWith().startAgent();
    expect(await codeOf(agent.control.plan(wanted('v2'), never))).toBe('image-not-found');
    expect(await codeOf(agent.control.plan({ ...wanted('v2'), image: 'NO' }, never))).toBe('reference-invalid');
  });
});

describe('history', () => {
  it('is read by pages, newest first', async () => {
    const agent = await nodeWith().startAgent();
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      ids.unshift((await agent.control.startUpdate(wanted(`v${count}`), undefined)).updateId);
      await agent.run();
      expect(agent.phase).toBe('idle');
    }
    const pageOf = async (limit: number, before?: string) =>
      (await agent.control.updates(limit, before)).map(({ request }) => request.id);
    expect(await pageOf(2)).toEqual(ids.slice(0, 2));
    expect(await pageOf(2, ids[1])).toEqual(ids.slice(2, 4));
    expect(await pageOf(2, ids[3])).toEqual(ids.slice(4));
    expect(await pageOf(2, ids[4])).toEqual([]);
  });

  it('says that there is no such update', async () => {
    const agent = await nodeWith().startAgent();
    expect(await codeOf(agent.control.update('id-9999'))).toBe('update-not-found');
    expect(await agent.control.rollback('id-9999')).toBeUndefined();
  });

  it('shows the update under way with its target, progress and last error, and others without', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const ended = await agent.control.startUpdate(wanted('v1'), undefined);
    await agent.run();
    node.steps.fail('write b', new AgentError('slot-write-failed', 'cannot write root: EIO'));
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    const progress = { step: 'write', partition: 'root', fetchedBytes: 1, layerSizeBytes: 2, writtenBytes: 1 } as const;
    agent.runner.reportProgress(progress);
    expect(await agent.control.update(updateId)).toMatchObject({
      phase: 'writing',
      outcome: undefined,
      current: { phase: 'writing', target: { slot: 'b' }, progress, lastError: { code: 'slot-write-failed' } },
    });
    expect(await agent.control.update(ended.updateId)).toMatchObject({ phase: 'idle', current: undefined });
  });

  it('explains a rollback from the old slot, with evidence', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    const agent = await node.install('v2');
    expect(node.booted).toBe('a');
    const [record] = await agent.control.rollbacks(10);
    expect(record).toMatchObject({
      slot: 'b',
      reason: 'health-failed',
      digest: testImage('v2').facts.manifestDigest,
      evidence: [{ kind: 'health-check', name: 'web', text: expect.stringContaining('HTTP 500') as string }],
    });
    expect(record).toMatchObject({ kind: 'check-failed', isInconclusive: false, checks: ['web'] });
    expect(await agent.control.rollback(record?.id ?? '')).toEqual(record);
    expect((await agent.control.status()).last).toMatchObject({ result: 'rolled-back', code: 'health-failed' });
  });
});

describe('what a trial says of itself before it is given up', () => {
  const units = { kind: 'units', name: 'failed units of the trial', text: 'web.service' } as const;

  it('is in the record of the old slot, and there once', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    node.trialEvidence = [units];
    const agent = await node.install('v2');
    expect(node.booted).toBe('a');
    const [record] = await agent.control.rollbacks(10);
    expect(record?.evidence.filter(({ kind }) => kind === 'units')).toEqual([units]);
    expect(record?.evidence.map(({ kind }) => kind)).toEqual(['health-check', 'units']);
  });

  it('is saved before the reboot', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    node.trialEvidence = [units];
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    await agent.end();
    node.reboot();
    const trial = await node.startAgent();
    node.steps.block('reboot');
    await trial.run();
    expect(trial.phase).toBe('rolling-back');
    const saved = (await node.journal.rollbacks(1))[0];
    expect(saved?.evidence.map(({ kind }) => kind)).toEqual(['health-check', 'units']);
  });
});

describe('events', () => {
  it('are numbered, stored and told to who listens', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const heard: string[] = [];
    const stop = agent.control.onEvent(({ sequence, kind }) => heard.push(`${sequence} ${kind}`));
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    const stored = await agent.control.events(0, 100);
    expect(stored.map(({ kind }) => kind)).toEqual(['update-requested', 'prepared', 'slot-written']);
    expect(heard).toEqual(stored.map(({ sequence, kind }) => `${sequence} ${kind}`));
    expect((await agent.control.events(1, 1)).map(({ sequence }) => sequence)).toEqual([2]);
    stop();
    await agent.control.setHold('fair', undefined);
    expect(await agent.control.events(3, 100)).toMatchObject([{ kind: 'hold-set' }]);
    expect(heard).toHaveLength(3);
  });
});

describe('waiting for a change', () => {
  it('ends at once when there was one', async () => {
    const agent = await nodeWith('v2').startAgent();
    const version = agent.control.statusVersion();
    await agent.control.startUpdate(wanted('v2'), undefined);
    expect(agent.control.statusVersion()).toBeGreaterThan(version);
    await agent.control.waitForChange(version, 60_000, never);
  });

  it('ends with the next change', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const waiting = agent.control.waitForChange(agent.control.statusVersion(), 60_000, never);
    await node.clock.advance(59_000);
    await agent.control.setHold('fair', undefined);
    await waiting;
    await node.clock.advance(0);
    expect(node.clock.sleeperCount).toBe(0);
  });

  it('ends after its time', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    const version = agent.control.statusVersion();
    let isOver = false;
    const waiting = agent.control.waitForChange(version, 60_000, never).then(() => {
      isOver = true;
    });
    await node.clock.advance(59_999);
    expect(isOver).toBe(false);
    await node.clock.advance(1);
    await waiting;
    expect(agent.control.statusVersion()).toBe(version);
  });

  it('ends when nobody wants to know any more', async () => {
    const agent = await nodeWith().startAgent();
    const ending = new AbortController();
    const waiting = agent.control.waitForChange(agent.control.statusVersion(), 60_000, ending.signal);
    ending.abort(new Error('the client is gone'));
    await waiting;
    await agent.control.waitForChange(agent.control.statusVersion(), 60_000, ending.signal);
  });
});
