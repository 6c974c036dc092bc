import { AgentError } from '../core/errors.ts';
import type { Clock, Random } from '../core/ports.ts';

/** How often and how long something is tried again. */
export interface RetryPolicy {
  /** Attempts in all, the first one included. */
  readonly attempts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** Time after which no further attempt is begun. */
  readonly totalTimeMs: number;
}

/** Progress that makes an earlier failure forgotten: a server that gives a byte a connection must not keep us forever. */
const progressBytes = 256 * 1024;

/** The longest wait after the first failure since such progress: the link is there, and a node that waits is a node that is late. */
const afterProgressMs = 250;

/** Whether trying again may help: the network, a rate limit, a broken connection. Certificates and refusals stay. */
export function isTransient(error: unknown): error is AgentError {
  return (
    error instanceof AgentError &&
    ['registry-unreachable', 'registry-rate-limited', 'download-truncated'].includes(error.code) &&
    error.details['isFinal'] !== true
  );
}

/**
 * The wait after the `failures`-th failure: exponential with full jitter (`fraction` in [0, 1)), and never less than
 * what the registry asked for.
 */
export function retryDelayMs(policy: RetryPolicy, failures: number, fraction: number, retryAfterMs = 0): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (failures - 1));
  return Math.max(retryAfterMs, Math.round(fraction * ceiling));
}

/** Parses Retry-After (RFC 9110, 10.2.3): seconds or a date; `undefined` where it says nothing of use. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined || value.length > 64) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000;
  // Date.parse takes nearly anything for a date; a header date begins with the name of its day.
  const atMs = /^[A-Z][a-z]+,? /.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** The attempts that one operation has left. */
export class RetryBudget {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #random: Random;
  #failures = 0;
  #hasProgressed = false;
  #sinceMs: number;
  #progressedBytes = 0;

  constructor(policy: RetryPolicy, clock: Clock, random: Random) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
    this.#sinceMs = clock.monotonicMs();
  }

  /** Resolves when the next attempt may begin; rejects with `error` when trying again does not help or has gone on too long. */
  async recover(error: unknown, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!isTransient(error)) throw error;
    this.#failures += 1;
    if (this.#failures >= this.#policy.attempts) throw error;
    const asked = error.details['retryAfterMs'];
    const retryAfterMs = typeof asked === 'number' ? asked : 0;
    const delayMs = retryDelayMs(this.#policyAfter(error), this.#failures, this.#random.fraction(), retryAfterMs);
    if (this.#clock.monotonicMs() + delayMs - this.#sinceMs > this.#policy.totalTimeMs) throw error;
    await this.#clock.sleep(delayMs, signal);
  }

  /** Bytes came: after enough of them the budget is whole again. */
  noteProgress(sizeBytes: number): void {
    this.#progressedBytes += sizeBytes;
    if (this.#progressedBytes < progressBytes) return;
    this.#progressedBytes = 0;
    this.#failures = 0;
    this.#hasProgressed = true;
    this.#sinceMs = this.#clock.monotonicMs();
  }

  /** A connection that breaks now and then is opened again at once; one that breaks without giving anything is not. */
  #policyAfter({ code }: AgentError): RetryPolicy {
    if (!this.#hasProgressed || this.#failures > 1 || code === 'registry-rate-limited') return this.#policy;
    return { ...this.#policy, baseDelayMs: Math.min(this.#policy.baseDelayMs, afterProgressMs) };
  }
}

/** Runs `operation` until it succeeds, or its budget is used up. */
export async function withRetries<T>(
  budget: RetryBudget,
  operation: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      await budget.recover(error, signal);
    }
  }
}
