import { describe, expect, it } from 'vitest';
import type { Baseline, CheckProgress } from '../../../agent/core/ports.ts';
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
  const order = { startDelayMs: 0, passes: 1, after: [], baseline: 'none' } as const;
  return { check, timeoutMs: 1000, intervalMs: 5000, retries: undefined, ...order, ...changes };
}

function start(
  checks: readonly ScheduledCheck[],
  deadlineMs = 60_000,
  signal = never,
  { extensionMs = 0, baseline }: { readonly extensionMs?: number; readonly baseline?: Baseline } = {},
) {
  const clock = new ManualClock();
  const heard: CheckProgress[] = [];
  const runner = new HealthRunner(checks, clock, extensionMs);
  const done = runner.run(deadlineMs, (progress) => heard.push(progress), signal, baseline);
  return { clock, heard, done };
}

/** What was heard of a check, its status and what it waits for. */
function story(heard: readonly CheckProgress[], name: string) {
  return heard.filter((one) => one.name === name).map(({ status, waitsFor }) => [status, waitsFor]);
}

describe('running health checks', () => {
  it('passes at once without checks', async () => {
    expect(await start([]).done).toEqual([]);
  });

  it('gives an attempt its lead beside its time-out', async () => {
    const hanging: HealthCheck = {
      name: 'web',
      isRequired: true,
      leadMs: 25_000,
      run: () => new Promise(() => undefined),
    };
    const { clock, heard, done } = start([scheduled(hanging, { retries: 0 })]);
    await clock.advance(25_999);
    expect(heard.at(-1)?.status).toBe('trying');
    await clock.advance(1);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 1, output: 'no answer within 26000 ms' }]);
  });

  it('tries again each interval until a check passes, and tells each attempt', async () => {
    const { clock, heard, done } = start([scheduled(new ScriptedCheck('web', true, fail, fail, pass))]);
    await clock.advance(10_000);
    expect(await done).toEqual([
      { name: 'web', isRequired: true, status: 'passed', attempts: 3, durationMs: 10_000, output: 'ok' },
    ]);
    expect(heard.map(({ status, attempts, waitsFor }) => [status, attempts, waitsFor])).toEqual([
      ['trying', 0, 'the answer of attempt 1, at most 1 s'],
      ['trying', 1, 'the next attempt, each 5 s'],
      ['trying', 1, 'the answer of attempt 2, at most 1 s'],
      ['trying', 2, 'the next attempt, each 5 s'],
      ['trying', 2, 'the answer of attempt 3, at most 1 s'],
      ['passed', 3, undefined],
    ]);
    expect(heard.map(({ output }) => output)).toEqual(['', 'no', 'no', 'no', 'no', 'ok']);
    const [first, , , , last, passed] = heard.map(({ sinceAtMs }) => sinceAtMs);
    expect([last! - first!, passed! - first!]).toEqual([0, 10_000]);
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
    expect(heard[1]?.output).toBe('no answer within 1000 ms');
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

describe('the order of health checks', () => {
  it('tries a check only after its start delay', async () => {
    const web = new ScriptedCheck('web', true, pass);
    const { clock, heard, done } = start([scheduled(web, { startDelayMs: 30_000 })]);
    await clock.advance(29_999);
    expect(web.attempts).toBe(0);
    await clock.advance(1);
    expect(await done).toMatchObject([{ status: 'passed', attempts: 1 }]);
    expect(story(heard, 'web')[0]).toEqual(['waiting', 'its start delay of 30 s']);
  });

  it('tries a check only once those before it passed', async () => {
    const web = new ScriptedCheck('web', true, pass);
    const database = new ScriptedCheck('database', true, fail, pass);
    const { clock, heard, done } = start([scheduled(web, { after: ['database'] }), scheduled(database)]);
    await clock.advance(4999);
    expect([web.attempts, database.attempts]).toEqual([0, 1]);
    expect(story(heard, 'web')).toEqual([['waiting', 'check database']]);
    await clock.advance(1);
    expect((await done).map(({ status }) => status)).toEqual(['passed', 'passed']);
  });

  it('fails a check untried that comes after one that failed', async () => {
    const web = new ScriptedCheck('web', true, pass);
    const checks = [
      scheduled(web, { after: ['database'] }),
      scheduled(new ScriptedCheck('database', true, fail), { retries: 0 }),
    ];
    const { clock, done } = start(checks);
    await clock.advance(0);
    expect(await done).toMatchObject([
      { status: 'failed', attempts: 0, output: 'it was not tried: it comes after database, which failed' },
      { status: 'failed', attempts: 1 },
    ]);
    expect(web.attempts).toBe(0);
  });

  it('skips an advisory check whose turn comes after the verdict is clear', async () => {
    const gps = new ScriptedCheck('gps', false, pass);
    const { clock, done } = start([
      scheduled(new ScriptedCheck('web', true, pass)),
      scheduled(gps, { startDelayMs: 30_000 }),
    ]);
    await clock.advance(0);
    expect(await done).toMatchObject([{ status: 'passed' }, { status: 'skipped', attempts: 0 }]);
    expect(gps.attempts).toBe(0);
  });

  it('does not try advisory checks again where nothing is required', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('gps', false, fail))]);
    await clock.advance(0);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 1 }]);
  });

  it('wants so many passes in a row, and begins anew after a failure', async () => {
    const web = new ScriptedCheck('web', true, pass, pass, fail, pass, pass, pass);
    const { clock, heard, done } = start([scheduled(web, { passes: 3 })]);
    await clock.advance(20_000);
    expect(web.attempts).toBe(5);
    await clock.advance(5000);
    expect(await done).toMatchObject([{ status: 'passed', attempts: 6 }]);
    expect(story(heard, 'web')).toContainEqual(['trying', '2 more passes in a row; the next attempt, each 5 s']);
  });

  it('fails a check that passed too few times by the deadline', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('web', true, pass), { passes: 9 })], 12_000);
    await clock.advance(12_000);
    expect(await done).toMatchObject([{ status: 'failed', output: 'it passed 3 of 9 times in a row: ok' }]);
  });
});

describe('a check that says that it still works', () => {
  const working: CheckAttempt = { isPassed: false, isWorking: true, output: '3 of 9 images pulled' };

  it('may pass after the deadline, before the hard one', async () => {
    const pull = new ScriptedCheck('pull', true, ...Array.from({ length: 14 }, () => working), pass);
    const { clock, heard, done } = start([scheduled(pull)], 60_000, never, { extensionMs: 30_000 });
    await clock.advance(70_000);
    expect(await done).toMatchObject([{ status: 'passed', attempts: 15, durationMs: 70_000 }]);
    expect(story(heard, 'pull')).toContainEqual([
      'trying',
      'what it says is still under way; the next attempt, each 5 s',
    ]);
  });

  it('fails at the hard deadline', async () => {
    const pull = new ScriptedCheck('pull', true, working);
    const { clock, done } = start([scheduled(pull)], 60_000, never, { extensionMs: 30_000 });
    await clock.advance(90_000);
    expect(await done).toMatchObject([{ status: 'failed', durationMs: 85_000, output: '3 of 9 images pulled' }]);
  });

  it('has no more time once it says that it does not', async () => {
    const pull = new ScriptedCheck('pull', true, working, fail);
    const { clock, done } = start([scheduled(pull)], 60_000, never, { extensionMs: 30_000 });
    await clock.advance(90_000);
    expect(await done).toMatchObject([{ status: 'failed', durationMs: 55_000, output: 'no' }]);
  });

  it('gives no time to another that fails', async () => {
    const checks = [
      scheduled(new ScriptedCheck('pull', true, working)),
      scheduled(new ScriptedCheck('web', true, fail)),
    ];
    const { clock, done } = start(checks, 60_000, never, { extensionMs: 30_000 });
    await clock.advance(60_000);
    expect(await done).toMatchObject([{ status: 'failed' }, { status: 'failed', durationMs: 55_000 }]);
  });

  it('uses up no retries', async () => {
    const pull = new ScriptedCheck('pull', true, working, working, fail, pass);
    const { clock, done } = start([scheduled(pull, { retries: 1 })]);
    await clock.advance(15_000);
    expect(await done).toMatchObject([{ status: 'passed', attempts: 4 }]);
  });
});

describe('what was broken before the update', () => {
  const before = (...checks: Baseline['checks']): { readonly baseline: Baseline } => ({
    baseline: { atMs: 1, checks },
  });
  const broken = before({ name: 'gps', isPassed: false });

  it('is not waited for, and its failure has an excuse', async () => {
    const { clock, done } = start(
      [scheduled(new ScriptedCheck('gps', true, fail), { baseline: 'excuse' })],
      60_000,
      never,
      broken,
    );
    await clock.advance(0);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 1, excuse: 'it failed before the update, too' }]);
  });

  it('has no excuse where it passes now, nor where it passed before', async () => {
    const now = start([scheduled(new ScriptedCheck('gps', true, pass), { baseline: 'excuse' })], 60_000, never, broken);
    await now.clock.advance(0);
    expect((await now.done)[0]).not.toHaveProperty('excuse');
    const then = start(
      [scheduled(new ScriptedCheck('gps', true, fail), { baseline: 'excuse', retries: 0 })],
      60_000,
      never,
      before({ name: 'gps', isPassed: true }),
    );
    await then.clock.advance(0);
    const [result] = await then.done;
    expect(result).toMatchObject({ status: 'failed' });
    expect(result).not.toHaveProperty('excuse');
  });

  it('holds nobody up that comes after it', async () => {
    const { clock, done } = start(
      [
        scheduled(new ScriptedCheck('gps', true, fail), { baseline: 'excuse' }),
        scheduled(new ScriptedCheck('map', true, fail, pass), { after: ['gps'] }),
      ],
      60_000,
      never,
      broken,
    );
    await clock.advance(5000);
    expect((await done).map(({ status }) => status)).toEqual(['failed', 'passed']);
  });

  it('is judged by the names of what is wrong, where a check has them', async () => {
    const found = (...faults: readonly string[]): CheckAttempt => ({ isPassed: false, output: 'failed units', faults });
    const baseline = before({ name: 'units', isPassed: false, faults: ['old.service'] });
    const judge = async (...faults: readonly string[]) => {
      const check = new ScriptedCheck('units', true, found(...faults));
      const { clock, done } = start([scheduled(check, { baseline: 'excuse', retries: 0 })], 60_000, never, baseline);
      await clock.advance(0);
      return (await done)[0];
    };
    expect(await judge('old.service')).toMatchObject({
      status: 'passed',
      output: 'as before the update: failed units',
    });
    expect(await judge('old.service', 'new.service')).toMatchObject({ status: 'failed', output: 'failed units' });
  });

  it('is told by up to three attempts of each check that is compared', async () => {
    const clock = new ManualClock();
    const other = new ScriptedCheck('other', true, pass);
    const runner = new HealthRunner(
      [
        scheduled(new ScriptedCheck('flaky', true, fail, fail, pass), { baseline: 'excuse', retries: 0 }),
        scheduled(new ScriptedCheck('gone', true, { ...fail, faults: ['x'] }), { baseline: 'prove' }),
        scheduled(other),
      ],
      clock,
      0,
    );
    const taken = runner.takeBaseline(never);
    await clock.advance(10_000);
    expect(await taken).toEqual([
      { name: 'flaky', isPassed: true },
      { name: 'gone', isPassed: false, faults: ['x'] },
    ]);
    expect(other.attempts).toBe(0);
  });

  it('is known of a check that hangs, within two minutes', async () => {
    const clock = new ManualClock();
    const hanging = scheduled(new ScriptedCheck('slow', true, 'hang'), { baseline: 'excuse', timeoutMs: 600_000 });
    const taken = new HealthRunner([hanging], clock, 0).takeBaseline(never);
    await clock.advance(120_000);
    expect(await taken).toEqual([{ name: 'slow', isPassed: false }]);
  });
});

describe('a failure that does not count, by the word of its check', () => {
  const unclear: CheckAttempt = { ...fail, excuse: 'an outage would look the same' };

  it('is tried three times in a row and then keeps nobody waiting', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('registry', true, unclear))], 600_000);
    await clock.advance(10_000);
    expect(await done).toMatchObject([{ status: 'failed', attempts: 3, excuse: 'an outage would look the same' }]);
  });

  it('is one that has no answer in time, where its check says so', async () => {
    const silent = Object.assign(new ScriptedCheck('registry', true, 'hang'), {
      lateExcuse: 'an outage would look the same',
    });
    const { clock, done } = start([scheduled(silent)], 600_000);
    await clock.advance(13_000);
    expect(await done).toMatchObject([{ attempts: 3, output: 'no answer within 1000 ms', excuse: silent.lateExcuse }]);
  });

  it('ends no other check', async () => {
    const checks = [
      scheduled(new ScriptedCheck('registry', true, unclear), { retries: 0 }),
      scheduled(new ScriptedCheck('web', true, fail, fail, pass)),
    ];
    const { clock, done } = start(checks, 600_000);
    await clock.advance(10_000);
    expect((await done).map(({ status }) => status)).toEqual(['failed', 'passed']);
  });

  it('counts once it is clear', async () => {
    const { clock, done } = start([scheduled(new ScriptedCheck('registry', true, unclear, fail))], 20_000);
    await clock.advance(20_000);
    const [result] = await done;
    expect(result).toMatchObject({ status: 'failed', output: 'no' });
    expect(result).not.toHaveProperty('excuse');
  });
});

describe('what is done once the verdict is known', () => {
  it('is told the verdict, and given up after half a minute', async () => {
    const clock = new ManualClock();
    const told: unknown[] = [];
    const hang = (isPassed: boolean, signal: AbortSignal) => {
      told.push(isPassed, signal);
      return new Promise<void>(() => undefined);
    };
    const done = new HealthRunner([], clock, 0, [hang]).conclude(false, never);
    await clock.advance(30_000);
    await done;
    expect(told).toEqual([false, expect.objectContaining({ aborted: true })]);
  });

  it('never makes the verdict fail', async () => {
    const broken = async () => Promise.reject(new Error('it is broken'));
    await new HealthRunner([], new ManualClock(), 0, [broken]).conclude(true, never);
  });
});
