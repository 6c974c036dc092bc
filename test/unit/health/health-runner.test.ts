import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../agent/core/ports.ts';
import type { CheckAttempt, HealthCheck, ScheduledCheck } from '../../../agent/health/health-check.ts';
import { HealthRunner } from '../../../agent/health/health-runner.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const never = new AbortController().signal;
const pass: CheckAttempt = { isPassed: true, output: 'ok' };
const fail: CheckAttempt = { isPassed: false, output: 'no' };

/** A check that gives its answers one after the other, and the last one again and again. */
class ScriptedCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #answers: readonly (CheckAttempt | 'hang' | 'throw')[];
  attempts = 0;
  running = 0;
  abortedAttempts = 0;

  constructor(name: string, isRequired: boolean, ...answers: readonly (CheckAttempt | 'hang' | 'throw')[]) {
    this.name = name;
    this.isRequired = isRequired;
    this.#answers = answers;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const answer = this.#answers[Math.min(this.attempts, this.#answers.length - 1)]!;
    this.attempts += 1;
    this.running += 1;
    signal.addEventListener('abort', () => (this.abortedAttempts += 1));
    if (answer === 'hang') return new Promise(() => undefined);
    this.running -= 1;
    if (answer === 'throw') throw new Error('the check is broken');
    return answer;
  }
}

function scheduled(check: HealthCheck, changes: Partial<ScheduledCheck> = {}): ScheduledCheck {
  return { check, timeoutMs: 1000, intervalMs: 5000, retries: undefined, ...changes };
}

function start(checks: readonly ScheduledCheck[], deadlineMs = 60_000, signal = never) {
  const clock = new ManualClock();
  const heard: CheckResult[] = [];
  const done = new HealthRunner(checks, clock).run(deadlineMs, (result) => heard.push(result), signal);
  return { clock, heard, done };
}

describe('running health checks', () => {
  it('passes at once without checks', async () => {
    expect(await start([]).done).toEqual([]);
  });

  it('tries again each interval until a check passes, and tells each attempt', async () => {
    const { clock, heard, done } = start([scheduled(new ScriptedCheck('web', true, fail, fail, pass))]);
    await clock.advance(10_000);
    expect(await done).toEqual([
      { name: 'web', isRequired: true, status: 'passed', attempts: 3, durationMs: 10_000, output: 'ok' },
    ]);
    expect(heard.map(({ status, attempts }) => [status, attempts])).toEqual([
      ['failed', 1],
      ['failed', 2],
      ['passed', 3],
    ]);
  });

  it('fails a check that never passes at the deadline, not after it', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('web', true, fail))], 23_000);
    await clock.advance(23_000);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 5, durationMs: 20_000 }]);
  });

  it('fails a check when its retries are used up', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('web', true, fail), { retries: 2 })]);
    await clock.advance(10_000);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 3 }]);
  });

  it('ends an attempt that hangs at its time-out and goes on, though the check ignores its signal', async () => {
    const check = new ScriptedCheck('web', true, 'hang', pass);
    const { clock, heard, done } = start([scheduled(check)]);
    await clock.advance(6000);
    expect(await done).toMatchObject([{ status: 'passed', attempts: 2, durationMs: 6000 }]);
    expect(heard[0]?.output).toBe('no answer within 1000 ms');
    expect(check.abortedAttempts).toBeGreaterThanOrEqual(1);
  });

  it('fails a check that hangs for ever by the deadline', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('web', true, 'hang'), { timeoutMs: 600_000 })], 60_000);
    await clock.advance(60_000);
    expect(await done).toMatchObject([{ status: 'failed', output: 'no answer within 60000 ms' }]);
  });

  it('takes a check that throws for failed', async () => {
    const { done } = start([scheduled(new ScriptedCheck('web', true, 'throw'), { retries: 0 })]);
    expect(await done).toMatchObject([{ status: 'failed', output: expect.stringContaining('is broken') as string }]);
  });

  it('does not wait for an advisory check once the required ones passed', async () => {
    const { clock, done } = start([
      scheduled(new ScriptedCheck('web', true, fail, pass)),
      scheduled(new ScriptedCheck('gps', false, fail)),
    ]);
    await clock.advance(5000);
    expect((await done).map(({ name, status }) => [name, status])).toEqual([
      ['web', 'passed'],
      ['gps', 'failed'],
    ]);
    expect(clock.monotonicMs()).toBe(5000);
  });

  it('ends the others when a required check failed for good', async () => {
    const { clock, done } = start([
      scheduled(new ScriptedCheck('web', true, fail), { retries: 0 }),
      scheduled(new ScriptedCheck('database', true, fail)),
    ]);
    await clock.advance(0);
    expect((await done).map(({ name, attempts }) => [name, attempts])).toEqual([
      ['web', 1],
      ['database', 1],
    ]);
  });

  it('has no more than eight attempts running at once, and still gives each check its turn', async () => {
    const checks = Array.from({ length: 12 }, (_unused, n) => new ScriptedCheck(`check-${n}`, true, 'hang', pass));
    const { clock, done } = start(checks.map((check) => scheduled(check)));
    await clock.advance(0);
    expect(checks.filter(({ attempts }) => attempts > 0)).toHaveLength(8);
    await clock.advance(20_000);
    expect((await done).every(({ status }) => status === 'passed')).toBe(true);
  });

  it('fails a check that never had its turn before the deadline', async () => {
    const checks = Array.from({ length: 9 }, (_unused, n) => new ScriptedCheck(`check-${n}`, true, 'hang'));
    const { clock, done } = start(
      checks.map((check) => scheduled(check, { timeoutMs: 60_000 })),
      60_000,
    );
    await clock.advance(60_000);
    expect((await done).at(-1)).toMatchObject({ status: 'failed', output: expect.stringContaining('turn') as string });
  });

  it('rejects with the reason when it is aborted', async () => {
    const controller = new AbortController();
    const { clock, done } = start([scheduled(new ScriptedCheck('web', true, fail))], 60_000, controller.signal);
    await clock.advance(1000);
    controller.abort(new Error('the agent stops'));
    await expect(done).rejects.toThrow('the agent stops');
  });

  it('bounds what a check says', async () => {
    const { done } = start([scheduled(new ScriptedCheck('web', true, { isPassed: true, output: 'x'.repeat(9999) }))]);
    expect((await done)[0]?.output).toHaveLength(4096);
  });
});
