import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { UpdateRules } from '../../../agent/core/update-events.ts';
import { testImage } from './registry.ts';
import { rules, type TestAgent, TestNode, wanted } from './wiring.ts';

type OnFailure = NonNullable<UpdateRules['probation']>['onFailure'];

function rulesFor(onFailure: OnFailure): UpdateRules {
  return { ...rules, probation: { durationMs: 180_000, intervalMs: 60_000, onFailure } };
}

/** A node that runs v2 in slot b, just committed, and its agent. */
async function committed(onFailure: OnFailure): Promise<{ node: TestNode; agent: TestAgent }> {
  const node = new TestNode();
  for (const tag of ['v1', 'v2', 'v3']) node.registry.push(testImage(tag));
  const first = await node.startAgent({ rules: rulesFor(onFailure) });
  await first.control.startUpdate(wanted('v2'), undefined);
  await first.end();
  node.reboot();
  const agent = await node.startAgent({ rules: rulesFor(onFailure) });
  await agent.run();
  expect(agent.phase).toBe('idle');
  return { node, agent };
}

describe('a slot in probation', () => {
  it('is checked at each interval, shown in the status, and let go when its time is over', async () => {
    const { node, agent } = await committed('alarm');
    expect((await agent.control.status()).probation).toEqual({ updateId: 'id-0001', slot: 'b', leftMs: 180_000 });
    const before = node.checks.deadlinesMs.length;
    await agent.pass(60_000);
    expect(node.checks.deadlinesMs.length).toBe(before + 1);
    expect((await agent.control.status()).probation?.leftMs).toBe(120_000);
    await agent.pass(120_000);
    expect((await agent.control.status()).probation).toBeUndefined();
    expect(agent.reporter.kinds.at(-1)).toBe('probation-ended');
    expect(node.checks.deadlinesMs.length).toBe(before + 3);
    await agent.pass(600_000);
    expect(node.checks.deadlinesMs.length).toBe(before + 3);
  });

  it('alarms once when its checks fail, and says when they pass again', async () => {
    const { node, agent } = await committed('alarm');
    node.checks.status = 'failed';
    await agent.pass(120_000);
    const { probation } = await agent.control.status();
    expect(probation?.alarm?.message).toBe('required health check failed: web (HTTP 500)');
    node.checks.status = 'passed';
    await agent.pass(60_000);
    expect(agent.reporter.kinds.filter((kind) => kind.startsWith('probation'))).toEqual([
      'probation-failed',
      'probation-ended',
    ]);
    expect(agent.phase).toBe('idle');
  });

  it('outlives a restart of the agent', async () => {
    const { node, agent } = await committed('alarm');
    await agent.pass(60_000);
    await agent.stop();
    const next = await node.startAgent({ rules: rulesFor('alarm') });
    expect((await next.control.status()).probation).toMatchObject({ slot: 'b', leftMs: 120_000 });
    await next.pass(120_000);
    expect(next.reporter.kinds).toContain('probation-ended');
  });

  it('makes way for an update at once, and goes on where that changes nothing', async () => {
    const { agent } = await committed('alarm');
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'idle', last: { code: 'already-running' } });
    expect((await agent.control.status()).probation).toMatchObject({ slot: 'b' });
    await agent.control.startUpdate(wanted('v3', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect((await agent.control.status()).probation).toBeUndefined();
  });

  it('leads back to the old slot, and says why', async () => {
    const { node, agent } = await committed('roll-back');
    node.checks.status = 'failed';
    const running = agent.end();
    await node.clock.advance(60_000);
    expect(await running).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    const back = await node.startAgent({ rules: rulesFor('roll-back') });
    await back.run();
    expect(back.runner.state).toMatchObject({ phase: 'idle', last: { result: 'rolled-back', code: 'health-failed' } });
    expect(await back.control.rollback('id-0001')).toMatchObject({
      slot: 'b',
      message: 'in probation: required health check failed: web (HTTP 500)',
      evidence: [{ kind: 'health-check', name: 'web' }],
    });
    expect(back.facts.data.knownBad).toMatchObject([{ digest: testImage('v2').facts.manifestDigest }]);
    expect((await back.control.update('id-0001')).outcome).toMatchObject({ result: 'rolled-back' });
  });

  it('stays, with an alarm, where the old slot is no fallback any more', async () => {
    const { node, agent } = await committed('roll-back');
    await node.bootloader.markBad('a');
    node.checks.status = 'failed';
    await agent.pass(60_000);
    expect(agent.runner.state).toMatchObject({
      phase: 'idle',
      probation: { alarm: { message: expect.stringContaining('the other slot is no fallback') as string } },
    });
  });

  it('stays where the loader does not take the way back', async () => {
    const { node, agent } = await committed('roll-back');
    node.checks.status = 'failed';
    const fails = new AgentError('boot-env-write-failed', 'cannot write the loader: EROFS');
    node.steps.fail('mark-bad b', fails, rules.loaderAttempts);
    await agent.pass(60_000 + 30_000);
    expect(agent.runner.state).toMatchObject({
      phase: 'idle',
      probation: {
        alarm: { message: expect.stringContaining('the way back failed: cannot write the loader') as string },
      },
    });
    expect(node.steps.names).not.toContain('mark-bad a');
  });
});
