import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { isTransient, parseRetryAfter, RetryBudget, retryDelayMs, withRetries } from '../../../agent/oci/retry.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const policy = { attempts: 4, baseDelayMs: 100, maxDelayMs: 1000, totalTimeMs: 10_000 };
const never = new AbortController().signal;
const down = (details = {}) => new AgentError('registry-unreachable', 'cannot reach it: down', { details });

describe('retryDelayMs', () => {
  it('grows twofold up to its bound, spread over all of it', () => {
    expect([1, 2, 3, 4, 5, 50].map((failures) => retryDelayMs(policy, failures, 1))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ]);
    expect(retryDelayMs(policy, 3, 0)).toBe(0);
    expect(retryDelayMs(policy, 3, 0.5)).toBe(200);
  });

  it('is never shorter than what was asked for', () => {
    expect(retryDelayMs(policy, 1, 0.5, 7000)).toBe(7000);
  });
});

describe('parseRetryAfter', () => {
  const nowMs = Date.UTC(2026, 0, 1, 12);
  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['9'.repeat(40), undefined],
    [undefined, undefined],
  ])('reads %j as %j', (value, expected) => {
    expect(parseRetryAfter(value, nowMs)).toBe(expected);
  });
});

describe('isTransient', () => {
  it('is true for the network alone', () => {
    expect(isTransient(down())).toBe(true);
    expect(isTransient(new AgentError('registry-rate-limited', 'x'))).toBe(true);
    expect(isTransient(new AgentError('download-truncated', 'x'))).toBe(true);
    expect(isTransient(down({ isFinal: true }))).toBe(false);
    expect(isTransient(new AgentError('registry-unauthorized', 'x'))).toBe(false);
    expect(isTransient(new AgentError('digest-mismatch', 'x'))).toBe(false);
    expect(isTransient(new TypeError('x'))).toBe(false);
  });
});

describe('withRetries', () => {
  async function run(failures: number, error: Error, clock = new EagerClock()) {
    let calls = 0;
    const budget = new RetryBudget(policy, clock, new SeededRandom());
    const operation = async () => {
      calls += 1;
      if (calls <= failures) throw error;
      return calls;
    };
    const result = await withRetries(budget, operation, never).catch((reason: unknown) => reason);
    return { calls, result, sleptMs: clock.sleptMs };
  }

  it('succeeds after failures that pass, and gives up after its attempts with the last error', async () => {
    expect(await run(3, down())).toMatchObject({ calls: 4, result: 4 });
    const error = down();
    expect(await run(9, error)).toMatchObject({ calls: 4, result: error });
  });

  it('does not try again what will not change', async () => {
    const error = new AgentError('image-not-found', 'x');
    expect(await run(9, error)).toMatchObject({ calls: 1, result: error, sleptMs: [] });
  });

  it('waits as long as it was asked, and not at all when that is longer than it may take', async () => {
    expect((await run(1, down({ retryAfterMs: 9000 }))).sleptMs).toEqual([9000]);
    expect(await run(1, down({ retryAfterMs: 10_001 }))).toMatchObject({ calls: 1, sleptMs: [] });
  });

  it('ends with the reason of its signal', async () => {
    const reason = new Error('enough');
    const budget = new RetryBudget(policy, new EagerClock(), new SeededRandom());
    await expect(withRetries(budget, () => Promise.reject(down()), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it('opens a link that gave something at once, but not one that gives nothing', async () => {
    const clock = new EagerClock();
    const slow = { ...policy, baseDelayMs: 8000, maxDelayMs: 8000, totalTimeMs: 1e6 };
    const budget = new RetryBudget(slow, clock, { fraction: () => 1, id: () => '' });
    await budget.recover(down(), never);
    for (let round = 0; round < 3; round++) {
      budget.noteProgress(256 * 1024);
      await budget.recover(down(), never);
    }
    await budget.recover(down(), never);
    budget.noteProgress(256 * 1024);
    await budget.recover(down({ retryAfterMs: 3000 }), never);
    budget.noteProgress(256 * 1024);
    await budget.recover(new AgentError('registry-rate-limited', 'x'), never);
    expect(clock.sleptMs).toEqual([8000, 250, 250, 250, 8000, 3000, 8000]);
  });

  it('forgets failures after real progress only', async () => {
    const budget = new RetryBudget(policy, new EagerClock(), new SeededRandom());
    for (let round = 0; round < 10; round++) {
      await budget.recover(down(), never);
      budget.noteProgress(256 * 1024);
    }
    await budget.recover(down(), never);
    budget.noteProgress(100);
    await budget.recover(down(), never);
    budget.noteProgress(100);
    await budget.recover(down(), never);
    await expect(budget.recover(down(), never)).rejects.toMatchObject({ code: 'registry-unreachable' });
  });
});
