import { describe, expect, it } from 'vitest';
import { DownloadPacer } from '../../../agent/update/download-pacer.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';

const { signal } = new AbortController();
const operatorSays = (facts: FactsKeeper, bytesPerSecond: number | null) =>
  facts.change((data) => ({ ...data, downloadRate: { bytesPerSecond } }));

describe('the pace of downloads', () => {
  it('is the configured rate, whatever the pieces are', async () => {
    for (const pieceBytes of [100, 16_384, 1_000_000]) {
      const clock = new EagerClock();
      const pacer = new DownloadPacer(100_000, new FactsKeeper(new MemoryFacts()), clock);
      for (let sentBytes = 0; sentBytes < 1_000_000; sentBytes += pieceBytes) await pacer.pace(pieceBytes, signal);
      // Ten seconds' worth; waits are in whole milliseconds.
      expect(clock.monotonicMs()).toBeGreaterThanOrEqual(9_900);
      expect(clock.monotonicMs()).toBeLessThanOrEqual(11_700);
    }
  });

  it('gives no more than a tenth of a second at once after a pause', async () => {
    const clock = new EagerClock();
    const pacer = new DownloadPacer(100_000, new FactsKeeper(new MemoryFacts()), clock);
    clock.pass(3_600_000);
    await pacer.pace(10_000, signal);
    expect(clock.sleptMs).toEqual([]);
    await pacer.pace(50_000, signal);
    expect(clock.sleptMs).toEqual([500]);
  });

  it('is what an operator says, at once and also over a restart', async () => {
    const clock = new ManualClock();
    const stored = new MemoryFacts();
    const facts = new FactsKeeper(stored);
    const pacer = new DownloadPacer(1000, facts, clock);
    let isOver = false;
    const paced = pacer.pace(1_000_000, signal).then(() => (isOver = true));
    await clock.advance(5000);
    expect(isOver).toBe(false);
    await operatorSays(facts, null);
    await clock.advance(1000);
    await paced;
    expect(pacer.limit).toEqual({ bytesPerSecond: null, by: 'operator' });
    await operatorSays(facts, 65_536);
    const later = new FactsKeeper(stored);
    await later.load();
    expect(new DownloadPacer(1000, later, clock).limit).toEqual({ bytesPerSecond: 65_536, by: 'operator' });
  });

  it('is as fast as it comes where nobody says anything', async () => {
    const clock = new EagerClock();
    const pacer = new DownloadPacer(undefined, new FactsKeeper(new MemoryFacts()), clock);
    await pacer.pace(1_000_000_000, signal);
    expect(clock.sleptMs).toEqual([]);
    expect(pacer.limit).toEqual({ bytesPerSecond: null, by: 'configuration' });
  });

  it('ends with the update', async () => {
    const clock = new ManualClock();
    const pacer = new DownloadPacer(1000, new FactsKeeper(new MemoryFacts()), clock);
    const ended = new AbortController();
    const paced = pacer.pace(1_000_000, ended.signal);
    ended.abort(new Error('paused'));
    await expect(paced).rejects.toThrow('paused');
  });
});
