import { describe, expect, it } from 'vitest';
import { StallWatch } from '../../../agent/oci/stall-watch.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const forever = new Promise<never>(() => {
  // Never settles.
});

describe('a stall watch', () => {
  it('tells when one wait is longer than the timeout', async () => {
    const clock = new ManualClock();
    const watch = new StallWatch(clock, 1000);
    void watch.during(forever);
    await clock.advance(999);
    expect(watch.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(watch.signal.aborted).toBe(true);
  });

  it('does not count the time in which nobody waits, and counts from the last progress', async () => {
    const clock = new ManualClock();
    const watch = new StallWatch(clock, 1000);
    await clock.advance(5500);
    void watch.during(forever);
    await clock.advance(900);
    watch.noteProgress();
    await clock.advance(900);
    expect(watch.signal.aborted).toBe(false);
    await clock.advance(100);
    expect(watch.signal.aborted).toBe(true);
  });

  it('tells when bytes come, and too few of them', async () => {
    const clock = new ManualClock();
    const watch = new StallWatch(clock, 1000, 10);
    const trickle = async (times: number, sizeBytes: number) => {
      for (let turn = 0; turn < times; turn += 1) {
        const wait = watch.during(clock.sleep(300, new AbortController().signal));
        await clock.advance(300);
        await wait;
        watch.noteBytes(sizeBytes);
      }
    };
    await trickle(20, 4);
    expect([watch.signal.aborted, watch.totalMs]).toEqual([false, 6000]);
    await trickle(4, 1);
    expect(watch.signal.aborted).toBe(true);
  });

  it('leaves no sleep behind when it ends', async () => {
    const clock = new ManualClock();
    const watch = new StallWatch(clock, 1000);
    watch.end();
    await clock.advance(5000);
    expect([clock.sleeperCount, watch.signal.aborted]).toEqual([0, false]);
  });
});
