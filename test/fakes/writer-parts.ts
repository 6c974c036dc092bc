import type { WriterClock } from '../../partitions/stall-guard.ts';
import { inlineFrameWorkers } from './inline-frame-workers.ts';

/** A clock that stands still: no device is ever too slow. */
const restingClock: WriterClock = {
  monotonicMs: () => 0,
  sleep: (_durationMs, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('woken')), { once: true });
    }),
};

/** What a slot writer in a test works with, where the test is about something else. */
export const writerParts = { startWorkers: inlineFrameWorkers, clock: restingClock };
