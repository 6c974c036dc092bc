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

  it('leaves no sleep behind when it ends', async () => {
    const clock = new ManualClock();
    const watch = new StallWatch(clock, 1000);
    watch.end();
    await clock.advance(5000);
    expect([clock.sleeperCount, watch.signal.aborted]).toEqual([0, false]);
  });
});
