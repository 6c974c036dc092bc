import type { Clock } from '../core/ports.ts';

/** Longest time that one timer of Node can wait. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * The clocks of the system. The monotonic one counts from the boot and is the same for every process of a boot, so that
 * a deadline outlives a restart of the agent.
 */
export class SystemClock implements Clock {
  nowMs(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return Number(process.hrtime.bigint() / 1_000_000n);
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    const endMs = this.monotonicMs() + durationMs;
    for (let leftMs = durationMs; leftMs > 0; leftMs = endMs - this.monotonicMs()) {
      await sleepOnce(Math.min(leftMs, longestTimerMs), signal);
    }
    signal.throwIfAborted();
  }
}

function sleepOnce(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, durationMs);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
