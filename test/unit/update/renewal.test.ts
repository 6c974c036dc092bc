import { describe, expect, it } from 'vitest';
import { AgentError, type ErrorReport } from '../../../agent/core/errors.ts';
import type { SlotService } from '../../../agent/core/ports.ts';
import { renewMarkers } from '../../../agent/update/renewal.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { rules } from './wiring.ts';

/** A loader that can't be written for so many attempts. */
function failing(times: number) {
  const marked: string[] = [];
  const slots = {
    markGood: async (slot: string) => {
      marked.push(slot);
      if (marked.length <= times) throw new AgentError('boot-env-write-failed', 'cannot write the loader: EROFS');
    },
  } as unknown as SlotService;
  return { slots, marked };
}

describe('renewing the markers of a proven slot', () => {
  it('goes on with growing waits until the loader can be written', async () => {
    const { slots, marked } = failing(3);
    const clock = new ManualClock();
    const heard: ErrorReport[] = [];
    const done = renewMarkers(
      { slots, clock, rules },
      'a',
      (report) => heard.push(report),
      new AbortController().signal,
    );
    const counts: number[] = [];
    for (const waitMs of [1_999, 1, 4_000, 8_000, 15_999, 1]) {
      await clock.advance(waitMs);
      counts.push(marked.length);
    }
    expect(counts).toEqual([0, 1, 2, 3, 3, 4]);
    expect(await done).toBe(true);
    expect(heard.map(({ code }) => code)).toEqual(Array.from({ length: 3 }, () => 'boot-env-write-failed'));
  });

  it('ends when it is told to', async () => {
    const { slots, marked } = failing(100);
    const clock = new ManualClock();
    const ended = new AbortController();
    const done = renewMarkers({ slots, clock, rules }, 'a', () => undefined, ended.signal);
    await clock.advance(2_000);
    ended.abort();
    expect(await done).toBe(false);
    expect(marked).toEqual(['a']);
  });
});
