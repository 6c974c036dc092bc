import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { CheckResult, Reporter } from '../../../agent/core/ports.ts';
import { RecordingReporter } from '../../fakes/recording-reporter.ts';
import { testImage } from './registry.ts';
import { ManualGate, rules, type TestAgent, TestNode, wanted } from './wiring.ts';

const journalFailed = new AgentError('journal-failed', 'cannot write the journal: ENOSPC');

function nodeWith(...tags: readonly string[]): TestNode {
  const node = new TestNode();
  for (const tag of tags) node.registry.push(testImage(tag));
  return node;
}

/** The steps that `action` takes. */
async function stepsOf(node: TestNode, action: () => Promise<unknown>): Promise<readonly string[]> {
  const from = node.steps.names.length;
  await action();
  return node.steps.names.slice(from);
}

/** The update to v2 is asked for and, by its own reboot, in trial in slot b. */
async function inTrial(node: TestNode, standingFaults: readonly CheckResult[] = []): Promise<TestAgent> {
  const agent = await node.startAgent();
  await agent.control.startUpdate(wanted('v2'), undefined);
  expect(await agent.end()).toBe('rebooting');
  expect(node.reboot()).toBe('b');
  return node.startAgent({ standingFaults });
}

describe('the runner', () => {
  it('saves each state before it performs the effect that the state implies', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const first = await stepsOf(node, async () => {
      await agent.control.startUpdate(wanted('v2'), undefined);
      await agent.end();
    });
    expect(first).toEqual([
      'journal-save', // preparing
      'journal-save', // writing
      'facts-save', // the install sequence
      'write b',
      'journal-save', // staged
      'journal-save', // activating
      'journal-save', // activating, with what the checks said before
      'activate b',
      'journal-save', // activated
      'reboot',
    ]);
    node.reboot();
    const second = await stepsOf(node, async () => (await node.startAgent()).run());
    expect(second).toEqual([
      'journal-save', // trial
      'check-health',
      'journal-save', // committing
      'mark-good b',
      'journal-save', // idle
    ]);
  });

  it('records known-bad first when it goes back, then turns the loader, then saves, then reboots', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    const agent = await inTrial(node);
    const steps = await stepsOf(node, () => agent.end());
    expect(steps).toEqual(['check-health', 'journal-save', 'facts-save', 'mark-bad b', 'journal-save', 'reboot']);
  });

  it('goes on where the agent before it stopped', async () => {
    const node = nodeWith('v2');
    const first = await node.startAgent();
    await first.control.startUpdate(wanted('v2', 'staged'), undefined);
    const release = node.steps.block('write b');
    await first.run();
    expect(await first.stop()).toBe('stopped');
    release();
    const next = await node.startAgent();
    expect(next.phase).toBe('writing');
    await next.run();
    expect(next.phase).toBe('staged');
  });

  it('stops without an end of the effect in the history', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    node.steps.block('write b');
    await agent.run();
    expect(await agent.stop()).toBe('stopped');
    expect(agent.phase).toBe('writing');
    expect(agent.reporter.kinds).toEqual(['update-requested', 'prepared']);
  });

  it('stops while it waits for somebody', async () => {
    const agent = await nodeWith().startAgent();
    await agent.run();
    expect(await agent.stop()).toBe('stopped');
  });

  it('writes what the tag resolved to, though the tag moved meanwhile', async () => {
    const node = nodeWith('v2', 'v3');
    const agent = await node.startAgent();
    node.steps.fail('write b', new AgentError('slot-write-failed', 'cannot write root: EIO'));
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('writing');
    node.registry.push(testImage('v3'), 'v2');
    await agent.pass(rules.retryBaseMs);
    expect(agent.phase).toBe('staged');
    expect((await node.records.read('b'))?.manifestDigest).toBe(testImage('v2').facts.manifestDigest);
  });

  it('holds nothing for installed in a slot that is being written', async () => {
    const node = nodeWith('v2', 'v3');
    const agent = await node.install('v2');
    node.steps.block('write a');
    await agent.control.startUpdate(wanted('v3'), undefined);
    await agent.run();
    expect(Object.keys((await node.journal.load()).deployments)).toEqual(['b']);
    expect((await agent.control.status()).slots).toMatchObject([{ deployment: undefined }, { deployment: {} }]);
  });
});

describe('a state that cannot be saved', () => {
  it.each([
    ['preparing', 1],
    ['writing', 2],
  ] as const)('leaves the update %s, says so, and is tried again', async (phase, successes) => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    if (successes === 2) {
      const release = node.steps.block('write b');
      await agent.run();
      node.steps.fail('journal-save', journalFailed);
      release();
    } else {
      node.steps.fail('journal-save', journalFailed);
    }
    await agent.run();
    expect(agent.phase).toBe(phase);
    expect((await node.journal.load()).state).toMatchObject({ phase });
    const untilMs = node.clock.nowMs() + 10_000;
    expect((await agent.control.status()).waitingFor).toEqual([
      { gate: 'journal', code: 'journal-failed', text: journalFailed.message, untilMs },
    ]);
    await agent.pass(10_000);
    expect(agent.phase).toBe('staged');
    expect(agent.reporter.events.filter(({ kind }) => kind === 'effect-failed')).toMatchObject([
      { details: { phase, code: 'journal-failed' } },
    ]);
  });

  it('is saved again without the effect being performed again', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    const release = node.steps.block('write b');
    await agent.run();
    node.steps.fail('journal-save', journalFailed);
    release();
    await agent.run();
    expect(agent.phase).toBe('writing');
    node.steps.block('write b');
    await agent.pass(10_000);
    expect(agent.phase).toBe('staged');
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'operator' }]);
  });

  it('does not let a clock that was set back postpone a retry', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    node.registry.failure = new AgentError('registry-unreachable', 'cannot reach the registry: it is away');
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    node.registry.failure = undefined;
    expect(agent.phase).toBe('preparing');
    node.clock.setWall(node.clock.nowMs() - 30 * 86_400_000);
    await agent.pass(30_000);
    expect(agent.phase).toBe('staged');
  });

  it('arms again, which does not mind', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2', 'activated'), undefined);
    const release = node.steps.block('activate b');
    await agent.run();
    node.steps.fail('journal-save', journalFailed);
    release();
    await agent.run();
    expect(agent.phase).toBe('activating');
    await agent.pass(10_000);
    expect(agent.phase).toBe('activated');
    expect(await node.bootloader.readStatus()).toMatchObject({ trial: 'b', trialTries: rules.tries });
  });

  it('takes the node down in a trial, whose slot cannot prove itself', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    node.steps.fail('journal-save', journalFailed, 100);
    await agent.pass(60_000);
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    expect((await node.bootloader.readStatus()).slots.b.state).toBe('bad');
  });

  it('takes the node down out of a slot that is given up', async () => {
    const node = nodeWith('v2');
    node.checks.status = 'failed';
    const agent = await inTrial(node);
    const release = node.steps.block('mark-bad b');
    await agent.run();
    expect(agent.phase).toBe('rolling-back');
    node.steps.fail('journal-save', journalFailed, 100);
    release();
    await agent.pass(60_000);
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });

  it('takes the node down although the loader cannot be told', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    node.steps.fail('journal-save', journalFailed, 100);
    node.steps.fail('mark-bad b', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'), 100);
    await agent.pass(60_000);
    expect(await agent.end()).toBe('rebooting');
    // The loader still counts.
    expect([1, 2, 3, 4].map(() => node.reboot())).toEqual(['b', 'b', 'b', 'a']);
  });

  it('is no reason to take a committed slot down', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    const release = node.steps.block('mark-good b');
    await agent.run();
    node.steps.fail('journal-save', journalFailed, 5);
    release();
    await agent.pass(60_000);
    expect(agent.phase).toBe('idle');
    expect(node.steps.names.filter((name) => name === 'reboot')).toHaveLength(1);
  });

  it('ends the run when it is a bug', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    node.steps.fail('journal-save', new TypeError('a bug'));
    await expect(agent.end()).rejects.toThrow('a bug');
  });
});

describe('an effect that fails', () => {
  it('is tried again by the clock, later each time, and at last ends the update', async () => {
    const node = nodeWith('v2');
    node.registry.failure = new AgentError('registry-unreachable', 'cannot reach registry.acme.io: no route');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect((await agent.control.status()).waitingFor).toMatchObject([
      { gate: 'retry', code: 'registry-unreachable', untilMs: node.clock.nowMs() + 15_000 },
    ]);
    await agent.pass(14_999);
    expect(node.registry.resolutions).toBe(1);
    await agent.pass(1);
    expect(node.registry.resolutions).toBe(2);
    await agent.pass(29_999);
    expect(node.registry.resolutions).toBe(2);
    await agent.pass(1);
    expect(node.registry.resolutions).toBe(3);
    expect((await agent.control.status()).last).toMatchObject({ result: 'failed', code: 'registry-unreachable' });
  });

  it('waits no longer when the wall clock is set over its time', async () => {
    const node = nodeWith('v2');
    node.registry.failure = new AgentError('registry-unreachable', 'cannot reach registry.acme.io: no route');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.pass(15_000);
    node.registry.failure = undefined;
    node.clock.setWall(node.clock.nowMs() + 86_400_000);
    await agent.pass(30_000);
    expect(agent.phase).toBe('staged');
  });

  it('ends the update at once where trying again cannot help', async () => {
    const node = nodeWith();
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'idle', last: { result: 'failed', code: 'image-not-found' } });
    expect(agent.reporter.kinds).toEqual(['update-requested', 'effect-failed', 'update-failed']);
  });

  it('refuses an image whose digest is no more what was prepared', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const image = testImage('v2');
    const { manifestDigest } = testImage('v3').facts;
    node.steps.fail('facts-save', new AgentError('facts-failed', 'cannot write the facts: EIO'));
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect(agent.phase).toBe('writing');
    // The same digest resolves to another manifest: only a broken source does that.
    node.registry.judge = () => ({ ...image.facts, manifestDigest });
    await agent.pass(rules.retryBaseMs);
    expect(node.steps.names).not.toContain('write b');
    expect(agent.runner.state).toMatchObject({ phase: 'writing', retry: { last: { code: 'digest-mismatch' } } });
  });

  it('turns back what could not be armed', async () => {
    const node = nodeWith('v2');
    node.steps.fail('activate b', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'), 100);
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.pass(300_000);
    expect(agent.runner.state).toMatchObject({
      phase: 'idle',
      last: { result: 'rolled-back', code: 'boot-env-write-failed' },
    });
    expect(agent.facts.data.knownBad).toEqual([]);
  });
});

describe('a result that comes too late', () => {
  it('of a write that was cancelled changes nothing', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    node.steps.block('write b');
    await agent.run();
    await agent.control.cancel(updateId);
    await agent.run();
    expect(agent.runner.state).toMatchObject({ phase: 'idle', last: { result: 'cancelled' } });
    expect(agent.reporter.kinds).toEqual(['update-requested', 'prepared', 'cancel-asked', 'update-cancelled']);
    expect(await node.records.read('b')).toBeUndefined();
  });

  it('of an arming that was cancelled is turned back', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    const release = node.steps.block('activate b');
    await agent.run();
    await agent.control.cancel(updateId);
    release();
    await agent.run();
    expect(agent.phase).toBe('idle');
    expect((await node.bootloader.readStatus()).trial).toBeUndefined();
  });

  it('of a gate that closed for a cancelled update is not shown', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate();
    gate.isOpen = false;
    const agent = await node.startAgent({ gates: [gate] });
    const { updateId } = await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    await agent.control.cancel(updateId);
    expect((await agent.control.status()).waitingFor).toEqual([]);
    await agent.run();
    expect(agent.phase).toBe('idle');
  });
});

describe('a gate', () => {
  it('is asked again each half minute, and what it says is shown', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['download']);
    gate.isOpen = false;
    gate.closedUntilMs = node.clock.nowMs() + 3_600_000;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(gate.asked).toBe(1);
    await agent.pass(29_999);
    expect(gate.asked).toBe(1);
    await agent.pass(1);
    expect(gate.asked).toBe(2);
    expect((await agent.control.status()).waitingFor).toEqual([
      { gate: 'window', code: 'update-held', text: 'the window opens on Saturday', untilMs: gate.closedUntilMs },
    ]);
    expect(node.registry.resolutions).toBe(0);
  });

  it('is asked at the time that it named, when that comes sooner', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['download']);
    gate.isOpen = false;
    gate.closedUntilMs = node.clock.nowMs() + 7_000;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.pass(7_000);
    expect(gate.asked).toBe(2);
  });

  it('is asked at once when somebody pokes', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate();
    gate.isOpen = false;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    gate.isOpen = true;
    agent.runner.poke();
    await agent.run();
    expect(agent.phase).toBe('staged');
  });

  it('of the reboot does not hold the download back, and no loader is armed behind it', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['reboot']);
    gate.isOpen = false;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.pass(3_600_000);
    expect(agent.phase).toBe('staged');
    expect(node.steps.names).not.toContain('activate b');
    gate.isOpen = true;
    await agent.pass(30_000);
    expect(await agent.end()).toBe('rebooting');
  });

  it('of the reboot holds an operator’s rollback back before the loader is armed', async () => {
    const node = nodeWith('v2');
    await node.install('v2');
    const gate = new ManualGate(['reboot']);
    gate.isOpen = false;
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startRollback(undefined);
    await agent.pass(60_000);
    expect(agent.phase).toBe('activating');
    expect(node.steps.names).not.toContain('activate a');
  });

  it('of a degraded agent holds downloads and arming back, and not the end of a trial', async () => {
    const gateFaults = [
      { code: 'config-invalid', message: 'cannot use the configuration: slots.a is missing' },
    ] as const;
    const node = nodeWith('v2');
    const agent = await node.startAgent({ gateFaults });
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.pass(60_000);
    expect(node.registry.resolutions).toBe(0);
    expect((await agent.control.status()).waitingFor).toMatchObject([{ gate: 'agent', code: 'agent-degraded' }]);
    await agent.stop();
    const sound = await node.startAgent();
    expect(await sound.end()).toBe('rebooting');
    node.reboot();
    node.checks.status = 'failed';
    expect(await (await node.startAgent({ gateFaults })).end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });

  it('that closes after the loader is armed holds the reboot back', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['reboot']);
    const agent = await node.startAgent({ gates: [gate] });
    await agent.control.startUpdate(wanted('v2'), undefined);
    const release = node.steps.block('activate b');
    await agent.run();
    gate.isOpen = false;
    release();
    await agent.pass(60_000);
    expect(agent.phase).toBe('activated');
    expect(node.steps.names).not.toContain('reboot');
  });
});

describe('a trial', () => {
  it('has what is left of its deadline in this boot', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    await node.clock.advance(100_000);
    // 1970 until the network came: the wall clock says nothing about the deadline.
    node.clock.setWall(5);
    await agent.run();
    expect(node.checks.deadlinesMs).toEqual([rules.trialDeadlineMs - 100_000]);
    expect(agent.phase).toBe('idle');
  });

  it('keeps its deadline when the agent is restarted in it', async () => {
    const node = nodeWith('v2');
    const first = await inTrial(node);
    const release = node.steps.block('check-health');
    await first.pass(60_000);
    await first.stop();
    release();
    await (await node.startAgent()).run();
    expect(node.checks.deadlinesMs).toEqual([rules.trialDeadlineMs, rules.trialDeadlineMs - 60_000]);
  });

  it('fails by a standing fault of the agent, though every check passed', async () => {
    const node = nodeWith('v2');
    const output = 'cannot use /etc/kaon/config.yaml';
    const fault = { name: 'agent', isRequired: true, status: 'failed', attempts: 1, durationMs: 0, output } as const;
    const agent = await inTrial(node, [fault]);
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    const back = await node.startAgent();
    await back.run();
    expect((await back.control.rollbacks(1))[0]).toMatchObject({ evidence: [{ name: 'agent' }] });
  });

  it('leaves its last words where a reset does not reach, when it can not be sure of its state', async () => {
    const node = nodeWith('v2');
    const output = 'state-dir-invalid: cannot find any state of this node in a trial';
    const fault = { name: 'agent', isRequired: true, status: 'failed', attempts: 1, durationMs: 0, output } as const;
    expect(await (await inTrial(node, [fault])).end()).toBe('rebooting');
    expect(node.keptOverReset).toHaveLength(1);
    expect(node.keptOverReset[0]).toMatch(/^kaon gave up slot b in update .*: required health check failed: agent/);
    expect(node.keptOverReset[0]).toContain(output);
    const sound = nodeWith('v2');
    sound.checks.status = 'failed';
    expect(await (await inTrial(sound)).end()).toBe('rebooting');
    expect(sound.keptOverReset).toEqual([]);
  });

  it('goes back although nobody takes its last words', async () => {
    const node = nodeWith('v2');
    const fault = {
      name: 'agent',
      isRequired: true,
      status: 'failed',
      attempts: 1,
      durationMs: 0,
      output: '',
    } as const;
    node.steps.fail('keep-evidence', new AgentError('slotd-unreachable', 'cannot keep-evidence: no answer'));
    expect(await (await inTrial(node, [fault])).end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });

  it('fails by a fault that is found while it runs', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    agent.runner.addStandingFault({
      name: 'watchdog',
      isRequired: true,
      status: 'failed',
      attempts: 1,
      durationMs: 0,
      output: 'it hangs',
    });
    expect(await agent.end()).toBe('rebooting');
    expect(agent.runner.state).toMatchObject({ phase: 'rolling-back', reason: 'health-failed' });
  });

  it('goes back when its checks cannot be run', async () => {
    const node = nodeWith('v2');
    const agent = await inTrial(node);
    node.steps.fail('check-health', new Error('no such program'));
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
  });

  it('goes back when the loader cannot be told that it is good', async () => {
    const node = nodeWith('v2');
    node.steps.fail('mark-good b', new AgentError('boot-env-write-failed', 'cannot write the loader: EIO'), 100);
    const agent = await inTrial(node);
    await agent.pass(120_000);
    expect(await agent.end()).toBe('rebooting');
    expect(node.reboot()).toBe('a');
    expect(agent.facts.data.knownBad).toEqual([]);
  });

  it('is committed only after the facts hold its floor', async () => {
    const node = new TestNode();
    node.registry.push(testImage('v2', { rollbackIndex: 7 }));
    const agent = await inTrial(node);
    const steps = await stepsOf(node, () => agent.run());
    expect(steps).toEqual(['check-health', 'journal-save', 'mark-good b', 'facts-save', 'journal-save']);
    expect(agent.facts.data.rollbackFloor).toBe(7);
  });
});

describe('what the checks said before the update', () => {
  it('is saved before the loader is armed, and handed to the checks of the trial', async () => {
    const node = nodeWith('v2');
    node.checks.before = [{ name: 'gps', isPassed: false, faults: ['no fix'] }];
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    const taken = agent.reporter.events.find(({ kind }) => kind === 'baseline-taken');
    expect(taken?.message).toBe(
      'the node before the update: 0 of 1 compared health checks pass; broken before the update: gps',
    );
    node.reboot();
    await (await node.startAgent()).run();
    expect(node.checks.baselines).toMatchObject([{ checks: node.checks.before }]);
    expect(node.checks.concluded).toEqual([true]);
  });

  it('is not asked for while a gate holds the reboot', async () => {
    const node = nodeWith('v2');
    const gate = new ManualGate(['reboot']);
    const agent = await node.startAgent({ gates: [gate] });
    gate.isOpen = false;
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect(agent.reporter.kinds).not.toContain('baseline-taken');
  });
});

describe('reporters', () => {
  it('hear each step once it is saved', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    await agent.end();
    expect(agent.reporter.kinds).toEqual([
      'update-requested',
      'prepared',
      'slot-written',
      'gates-opened',
      'baseline-taken',
      'armed',
    ]);
    expect(new Set(agent.reporter.events.map(({ updateId }) => updateId))).toEqual(new Set(['id-0001']));
  });

  it('hear of no step that could not be saved', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    await agent.control.startUpdate(wanted('v2'), undefined);
    node.steps.fail('journal-save', journalFailed);
    await agent.run();
    expect(agent.reporter.kinds).toEqual(['update-requested', 'effect-failed']);
  });

  it('hear the progress of a write', async () => {
    const node = nodeWith('v2');
    const agent = await node.startAgent();
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    const steps = new Set(agent.reporter.progresses.map(({ progress }) => progress.step));
    expect([...steps]).toEqual(['write', 'read-back', 'finish']);
    expect(agent.reporter.progresses.at(-1)).toMatchObject({
      update: { id: updateId },
      progress: { fetchedBytes: 8192, layerSizeBytes: 8192, writtenBytes: 8192 },
    });
  });

  it('break nothing when they throw; the others are told once', async () => {
    const node = nodeWith('v2');
    const broken: Reporter = {
      report: () => {
        throw new Error('the pipe is closed');
      },
      progress: () => {
        throw new Error('the pipe is closed');
      },
    };
    const last = new RecordingReporter();
    const agent = await node.startAgent({ reporters: [broken, last] });
    const { updateId } = await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect(updateId).toBe('id-0001');
    const failures = last.events.filter(({ kind }) => kind === 'reporter-failed');
    expect(failures).toMatchObject([{ message: expect.stringContaining('the pipe is closed') as string }]);
    expect(last.kinds.filter((kind) => kind !== 'reporter-failed')).toEqual([
      'update-requested',
      'prepared',
      'slot-written',
    ]);
  });

  it('break nothing when all of them throw', async () => {
    const node = nodeWith('v2');
    const thrower = (): Reporter => ({
      report: () => {
        throw new Error('closed');
      },
      progress: () => undefined,
    });
    const agent = await node.startAgent({ reporters: [thrower(), thrower()] });
    await agent.control.startUpdate(wanted('v2', 'staged'), undefined);
    await agent.run();
    expect(agent.phase).toBe('staged');
    expect(agent.reporter.kinds.filter((kind) => kind === 'reporter-failed')).toHaveLength(2);
  });
});
