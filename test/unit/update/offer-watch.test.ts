import { describe, expect, it } from 'vitest';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { OfferWatch } from '../../../agent/update/offer-watch.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';

const hour = 3_600_000;
const offered = (digest: string) => ({ digest, rollbackIndex: 0, signedAtMs: undefined });

function watchOf(stored = new MemoryFacts(), clock = new ManualClock(), reportAfterMs = 3 * hour) {
  const kinds: string[] = [];
  const faults: unknown[] = [];
  const facts = new FactsKeeper(stored);
  const watch = new OfferWatch({
    facts,
    clock,
    nowMs: () => clock.nowMs(),
    reportAfterMs: reportAfterMs === Infinity ? undefined : reportAfterMs,
    report: ({ kind }) => void kinds.push(kind),
    onFault: (error) => void faults.push(error),
  });
  return { watch, facts, stored, clock, kinds, faults };
}

describe('the watch over offers', () => {
  it('reports a silence once, also over a restart, and again after news', async () => {
    const stop = new AbortController();
    const { watch, stored, clock, kinds } = watchOf();
    const running = watch.run(stop.signal);
    await clock.advance(2 * hour);
    expect(kinds).toEqual([]);
    await clock.advance(10 * hour);
    expect(kinds).toEqual(['offers-silent']);
    stop.abort();
    await running;
    const next = watchOf(stored, clock);
    await next.facts.load();
    const end = new AbortController();
    void next.watch.run(end.signal);
    await clock.advance(10 * hour);
    expect(next.kinds).toEqual([]);
    expect(next.watch.view?.alarm).toBeDefined();
    await next.watch.verified(offered('sha256:new'), []);
    expect(next.watch.view?.alarm).toBeUndefined();
    await clock.advance(10 * hour);
    expect(next.kinds).toEqual(['offers-silent']);
    end.abort();
  });

  it('begins to look where nothing is known, and looks at no clock where no silence is an alarm', async () => {
    const { watch, facts, clock } = watchOf(new MemoryFacts(), new ManualClock(), Infinity);
    expect(watch.view).toBeUndefined();
    await watch.run(new AbortController().signal);
    expect(facts.data.offers).toEqual({ watchedAtMs: clock.nowMs() });
    expect(clock.sleeperCount).toBe(0);
  });

  it('keeps what was verified and when a registry answered, and writes neither each time', async () => {
    const { watch, facts, clock } = watchOf();
    await watch.contacted();
    await watch.verified(offered('sha256:one'), ['sha256:one']);
    const firstMs = clock.nowMs();
    const { offers } = facts.data;
    expect(offers).toEqual({
      watchedAtMs: firstMs,
      contactAtMs: firstMs,
      verified: { digest: 'sha256:one', atMs: firstMs },
    });
    await clock.advance(59_000);
    await watch.contacted();
    await watch.verified(offered('sha256:one'), ['sha256:one']);
    expect(facts.data.offers).toBe(offers);
    await clock.advance(1000);
    await watch.contacted();
    expect(facts.data.offers?.contactAtMs).toBe(firstMs + 60_000);
  });

  it('lets an update go on where it can keep nothing', async () => {
    const { watch, facts, faults } = watchOf();
    facts.change = () => Promise.reject(new Error('no room'));
    await watch.verified(offered('sha256:one'), []);
    expect(faults).toHaveLength(1);
  });
});
