import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Phase } from '../../../agent/core/update-state.ts';
import { testImage } from './registry.ts';
import { codeOf, ManualGate, type TestAgent, TestNode, wanted } from './wiring.ts';

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

const digest = testImage('v2').facts.manifestDigest;

describe('a hold', () => {
  it('holds the download back, says why and until when, and lets it go on at its end', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const untilMs = node.clock.nowMs() + 3_600_000;
    await agent.control.setHold('the fair is on', untilMs);
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.pass(3_599_000);
    expect(node.registry.resolutions).toBe(0);
    expect(await agent.control.status()).toMatchObject({
      phase: 'preparing',
      holdUntil: { reason: 'the fair is on', untilMs },
      waitingFor: [{ gate: 'hold', code: 'update-held', text: 'an operator holds updates: the fair is on', untilMs }],
    });
    await agent.pass(1_000);
    expect(agent.phase).toBe('staged');
    expect(agent.control.hold()).toBeUndefined();
  });

  it('holds the reboot back, and arms no loader meanwhile', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    await agent.control.setHold('the fair is on', undefined);
    await agent.control.activate(updateId, true);
    await agent.pass(86_400_000);
    expect(agent.phase).toBe('staged');
    expect(node.steps.names).not.toContain('activate b');
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'hold', untilMs: undefined }]);
    await agent.control.clearHold();
    expect(await agent.end()).toBe('rebooting');
  });

  it('goes on at once when it is lifted', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.setHold('the fair is on', undefined);
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('preparing');
    await agent.control.clearHold();
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'operator' }]);
  });

  it('is kept over a restart, and over a lost journal', async () => {
    const node = nodeWith();
    await (await node.startAgent()).control.setHold('the fair is on', undefined);
    node.journal.lose('the file is damaged');
    expect((await node.startAgent()).control.hold()).toEqual({ reason: 'the fair is on', untilMs: undefined });
  });

  it('is not set when it cannot be saved', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    node.steps.fail('facts-save', new AgentError('facts-failed', 'cannot write the facts: EIO'));
    expect(await codeOf(agent.control.setHold('the fair is on', undefined))).toBe('facts-failed');
    expect(agent.control.hold()).toBeUndefined();
    expect(await agent.control.events(0, 10)).toEqual([]);
  });
});

describe('lost facts', () => {
  it('are shown, refuse images, and stay lost over restarts until an operator confirmed it', async () => {
    const node = nodeWith('v2');
    await (await node.startAgent()).control.setHold('first', undefined);
    node.facts.lose();
    let agent = await node.startAgent();
    // A save in between brings a sound copy, not the lost facts.
    await agent.control.clearHold();
    await agent.control.setHold('second', node.clock.nowMs() + 1);
    agent = await node.startAgent();
    await node.clock.advance(1);
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'facts', code: 'facts-lost' }]);
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect((await agent.control.status()).last).toMatchObject({ result: 'failed', code: 'facts-lost' });

    await agent.control.confirmFacts();
    for (const sound of [agent, await node.startAgent()]) {
      expect((await sound.control.status()).waitingFor).toEqual([]);
    }
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
  });

  it('stay unconfirmed when the confirmation cannot be saved', async () => {
    const node = nodeWith();
    await (await node.startAgent()).control.setHold('first', undefined);
    node.facts.lose();
    const agent = await node.startAgent();
    node.steps.fail('facts-save', new AgentError('facts-failed', 'cannot write the facts: EIO'));
    expect(await codeOf(agent.control.confirmFacts())).toBe('facts-failed');
    expect(agent.facts.isLost).toBe(true);
  });
});

describe('a digest that rolled back', () => {
  it('is listed with why, and refused until an operator clears it', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    const agent = await node.install('v2');
    expect((await agent.control.status()).knownBad).toMatchObject([
      { digest, reason: expect.stringContaining('check-failed: required health check failed: web') as string },
    ]);
    expect((await agent.control.plan(wanted('v2'), new AbortController().signal)).blockers).toMatchObject([
      { code: 'known-bad' },
    ]);
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect((await agent.control.status()).last).toMatchObject({ result: 'failed', code: 'known-bad' });

    expect(await agent.control.clearKnownBad(digest)).toBe(true);
    expect(await agent.control.clearKnownBad(digest)).toBe(false);
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect((await agent.control.events(0, 100)).filter(({ kind }) => kind === 'known-bad-cleared')).toHaveLength(1);
  });

  it('is refused although the journal was lost', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    await node.install('v2');
    node.journal.lose('the file is damaged');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect((await agent.control.status()).last).toMatchObject({ code: 'known-bad' });
  });
});

describe('marking a slot', () => {
  it('takes the booted slot alone as good, and the other alone as bad', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    expect(await codeOf(agent.control.markGood('b'))).toBe('update-phase-wrong');
    expect(await codeOf(agent.control.markBad('a'))).toBe('update-phase-wrong');
    expect(node.steps.names).toEqual(['journal-save']);
  });

  it('tells the loader and the history, and the status shows it at once', async () => {
    const node = nodeWith('v2');
    const agent = await node.install('v2');
    expect((await agent.control.status()).slots).toMatchObject([{ state: 'good' }, { state: 'good' }]);
    await agent.control.markBad('a');
    await agent.control.markGood('b');
    expect((await agent.control.status()).slots).toMatchObject([{ loaderState: 'bad' }, { state: 'good' }]);
    const kinds = (await agent.control.events(0, 100)).map(({ kind }) => kind);
    expect(kinds.slice(-2)).toEqual(['slot-marked-bad', 'slot-marked-good']);
  });

  it('is refused while an update is under way, and names the phase', async () => {
    const agent = await nodeWith('v2').startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    for (const marking of [agent.control.markGood('a'), agent.control.markBad('b')]) {
      await expect(marking).rejects.toMatchObject({ code: 'update-phase-wrong', details: { phase: 'preparing' } });
    }
  });

  it('says what the loader says', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    node.bootloader.corrupt();
    expect(await codeOf(agent.control.markGood('a'))).toBe('boot-env-corrupt');
    expect(await agent.control.events(0, 100)).toEqual([]);
  });
});

describe('a reboot', () => {
  async function agentIn(phase: Phase): Promise<{ agent: TestAgent; node: TestNode }> {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    if (phase === 'idle') return { agent, node };
    const until = phase === 'staged' ? 'staged' : 'activated';
    await agent.control.startUpdate(wanted('v2', until), undefined);
    if (phase === 'preparing') return { agent, node };
    if (phase === 'writing') node.steps.block('write b');
    if (phase === 'activating') node.steps.block('activate b');
    await agent.run();
    return { agent, node };
  }

  it.each(['idle', 'preparing', 'staged'] as const)('happens at once in %s', async (phase) => {
    const { agent, node } = await agentIn(phase);
    expect(agent.phase).toBe(phase);
    await agent.control.reboot();
    expect(node.steps.names.at(-1)).toBe('reboot');
  });

  it.each(['writing', 'activating'] as const)('is refused in %s, and names the phase', async (phase) => {
    const { agent, node } = await agentIn(phase);
    await expect(agent.control.reboot()).rejects.toMatchObject({ code: 'update-phase-wrong', details: { phase } });
    expect(node.steps.names).not.toContain('reboot');
  });

  it('into an activated slot is saved first and waits for the reboot’s gates', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['reboot']);
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2', 'activated'), undefined);
    await agent.run();
    expect(agent.phase).toBe('activated');
    gate.isOpen = false;
    await agent.control.reboot();
    await agent.run();
    expect((await node.journal.load()).state).toMatchObject({ phase: 'activated', isRebootAsked: true });
    expect((await agent.control.status()).waitingFor).toMatchObject([
      { gate: 'window', text: 'the window opens on Saturday' },
    ]);
    expect(node.steps.names).not.toContain('reboot');
    gate.isOpen = true;
    await agent.pass(30_000);
    expect(await agent.end()).toBe('rebooting');
  });

  it('says why it could not begin', async () => {
    const { agent, node } = await agentIn('idle');
    node.steps.fail('reboot', new AgentError('reboot-failed', 'cannot reboot: inhibited'));
    expect(await codeOf(agent.control.reboot())).toBe('reboot-failed');
  });
});

describe('the health of a trial', () => {
  it('is unknown before any, running in it, and shows each check', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    expect(agent.control.health()).toEqual({ verdict: 'unknown', updateId: undefined, checks: [] });
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    node.reboot();
    const release = node.steps.block('check-health');
    const inTrial = await node.startAgent();
    await inTrial.run();
    expect(inTrial.control.health()).toEqual({ verdict: 'running', updateId, checks: [] });
    release();
    await inTrial.run();
    expect(inTrial.control.health()).toMatchObject({
      verdict: 'passed',
      updateId,
      checks: [{ name: 'web', status: 'passed' }],
    });
  });

  it('is failed after a failed check', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    node.reboot();
    const inTrial = await node.startAgent();
    expect(await inTrial.end()).toBe('rebooting');
    expect(inTrial.control.health()).toMatchObject({ verdict: 'failed', checks: [{ status: 'failed' }] });
  });
});

describe('the status', () => {
  it('shows what the loader says, and why it cannot be read', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    expect(await agent.control.status()).toMatchObject({ booted: 'a', primary: 'a', degraded: [] });
    node.bootloader.corrupt();
    await node.clock.advance(30_001);
    expect(await agent.control.status()).toMatchObject({
      booted: undefined,
      slots: [],
      degraded: [{ code: 'boot-env-corrupt' }],
    });
  });

  it('changes its version when an update begins to wait', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['download']);
    gate.isOpen = false;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2'), undefined);
    const version = agent.control.statusVersion();
    await agent.run();
    const waiting = agent.control.statusVersion();
    expect(waiting).toBeGreaterThan(version);
    // Asked again with the same answer, it says nothing new.
    await agent.pass(120_000);
    expect(gate.asked).toBe(5);
    expect(agent.control.statusVersion()).toBe(waiting);
    expect(agent.reporter.kinds).toEqual(['update-requested', 'gate-closed']);
  });
});
