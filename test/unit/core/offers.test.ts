import { describe, expect, it } from 'vitest';
import { emptyFacts, type FactsData } from '../../../agent/core/facts.ts';
import { addOffer, isNews, isReportDue, type OfferRecord, offerView } from '../../../agent/core/offers.ts';

const day = 86_400_000;
const start = 1_790_000_000_000;
const watched: OfferRecord = { watchedAtMs: start };
const offered = { digest: 'sha256:new', rollbackIndex: 3, signedAtMs: undefined };
const factsWith = (change: Partial<FactsData>): FactsData => ({ ...emptyFacts, ...change });
const badEntry = { digest: 'sha256:new', reason: 'it failed', updateId: 'u', atMs: 0 };
const seen = (digest: string) => ({ digest, atMs: start });

describe('an image is news', () => {
  it('when nobody saw it before', () => {
    expect(isNews(offered, emptyFacts, ['sha256:old'])).toBe(true);
    const facts = factsWith({ rollbackFloor: 3, signedTimeMs: 5, offers: { ...watched, newest: seen('sha256:old') } });
    expect(isNews({ ...offered, signedAtMs: 5 }, facts, [])).toBe(true);
  });

  it.each([
    ['lies in a slot', emptyFacts, ['sha256:new']],
    ['was the last news', factsWith({ offers: { ...watched, newest: seen('sha256:new') } }), []],
    ['was the last that was verified', factsWith({ offers: { ...watched, verified: seen('sha256:new') } }), []],
    ['rolled back here', factsWith({ knownBad: [badEntry] }), []],
    ['is below the floor', factsWith({ rollbackFloor: 4 }), []],
  ])('but not when it %s', (_why, facts, deployed) => {
    expect(isNews(offered, facts, deployed)).toBe(false);
  });

  it('but not when it was signed before what was verified here', () => {
    expect(isNews({ ...offered, signedAtMs: 4 }, factsWith({ signedTimeMs: 5 }), [])).toBe(false);
  });
});

describe('a silence', () => {
  it('goes on while the same image is offered again and again, and ends with news', () => {
    const first = addOffer(watched, 'sha256:one', true, start + day);
    const again = addOffer(first, 'sha256:one', false, start + 20 * day);
    expect(offerView(again, start + 21 * day, 10 * day)).toMatchObject({
      quietSinceAtMs: start + day,
      verified: { digest: 'sha256:one', atMs: start + 20 * day },
      alarm: { atMs: start + 11 * day, message: 'nothing newer was offered to this node for more than 10 days' },
    });
    const news = addOffer({ ...again, reportedAtMs: start + 11 * day }, 'sha256:two', true, start + 22 * day);
    expect(offerView(news, start + 23 * day, 10 * day).alarm).toBeUndefined();
    expect(news.reportedAtMs).toBeUndefined();
  });

  it('is counted from when the node began to look, and is no alarm where nobody says how long', () => {
    expect(offerView(watched, start + 2 * day - 1, 2 * day).alarm).toBeUndefined();
    expect(offerView(watched, start + 2 * day, 2 * day).alarm?.atMs).toBe(start + 2 * day);
    expect(offerView(watched, start + 2000 * day, undefined).alarm).toBeUndefined();
  });

  it('is told of once', () => {
    expect(isReportDue(watched, start + 2 * day - 1, 2 * day)).toBe(false);
    expect(isReportDue(watched, start + 2 * day, 2 * day)).toBe(true);
    expect(isReportDue({ ...watched, reportedAtMs: start + 2 * day }, start + 9 * day, 2 * day)).toBe(false);
  });

  it('that began in a time to come is an alarm, as a clock that was wrong would hide it, and no event', () => {
    const ahead = { ...watched, newest: { digest: 'sha256:one', atMs: start + 4000 * day } };
    expect(offerView(ahead, start, 2 * day).alarm?.message).toContain('a time yet to come');
    expect(isReportDue(ahead, start, 2 * day)).toBe(false);
  });
});
