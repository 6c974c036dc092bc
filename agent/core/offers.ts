import type { FactsData } from './facts.ts';

/**
 * What was offered to this node: images that were verified, whoever asked for them. Times are those of trust, which a clock
 * that fell back does not turn back.
 */
export interface OfferRecord {
  /** When the node began to look. */
  readonly watchedAtMs: number;
  /** The last image that was news, and when it was first verified. */
  readonly newest?: Offer | undefined;
  /** The last image that was verified at all. */
  readonly verified?: Offer | undefined;
  /** When a registry, or a mirror in its place, last answered. */
  readonly contactAtMs?: number | undefined;
  /** When the silence that holds now was told of. */
  readonly reportedAtMs?: number | undefined;
}

/** An image and when it was verified. */
export interface Offer {
  readonly digest: string;
  readonly atMs: number;
}

/** What people see of it. */
export interface OfferView {
  /** Since when nothing newer was verified. */
  readonly quietSinceAtMs: number;
  readonly newest?: Offer | undefined;
  readonly verified?: Offer | undefined;
  readonly contactAtMs?: number | undefined;
  /** How long that may be before it is an alarm; absent: as long as it likes. */
  readonly reportAfterMs?: number | undefined;
  /** That it is too long; it is told, and nothing is done about it. */
  readonly alarm?: { readonly atMs: number; readonly message: string } | undefined;
}

/** What tells an image that is news from one that somebody replays. */
export interface Offered {
  readonly digest: string;
  readonly rollbackIndex: number;
  /** When it was signed, where that is attested. */
  readonly signedAtMs: number | undefined;
}

/** A stamp so far ahead of the time is of a clock that was wrong. */
const clockSlackMs = 86_400_000;

/**
 * Whether `offered` is news: not in a slot, not offered before, not known bad, not below the rollback floor, and not signed
 * before what was verified here. A replayed release that has neither a lower index nor an attested time looks like news
 * once.
 */
export function isNews(offered: Offered, facts: FactsData, deployed: readonly string[]): boolean {
  const { digest, rollbackIndex, signedAtMs } = offered;
  const { newest, verified } = facts.offers ?? {};
  const seen = [...deployed, newest?.digest, verified?.digest, ...facts.knownBad.map((bad) => bad.digest)];
  return (
    !seen.includes(digest) &&
    rollbackIndex >= facts.rollbackFloor &&
    (signedAtMs === undefined || signedAtMs >= (facts.signedTimeMs ?? 0))
  );
}

/** `record` once an image was verified at `atMs`. News end the silence. */
export function addOffer(record: OfferRecord, digest: string, wasNews: boolean, atMs: number): OfferRecord {
  const offer = { digest, atMs };
  return wasNews
    ? { ...record, newest: offer, verified: offer, reportedAtMs: undefined }
    : { ...record, verified: offer };
}

/** How `record` looks at `nowMs`, where a silence of `reportAfterMs` is an alarm. */
export function offerView(record: OfferRecord, nowMs: number, reportAfterMs: number | undefined): OfferView {
  const { newest, verified, contactAtMs, watchedAtMs } = record;
  const quietSinceAtMs = newest?.atMs ?? watchedAtMs;
  return {
    quietSinceAtMs,
    newest,
    verified,
    contactAtMs,
    reportAfterMs,
    alarm: alarmOf(quietSinceAtMs, nowMs, reportAfterMs),
  };
}

function alarmOf(sinceMs: number, nowMs: number, reportAfterMs: number | undefined): OfferView['alarm'] {
  if (reportAfterMs === undefined) return undefined;
  if (sinceMs > nowMs + clockSlackMs) {
    const message = 'how long nothing newer was offered cannot be told: the last image is of a time yet to come';
    return { atMs: sinceMs, message };
  }
  if (nowMs - sinceMs < reportAfterMs) return undefined;
  const message = `nothing newer was offered to this node for more than ${daysText(reportAfterMs)}`;
  return { atMs: sinceMs + reportAfterMs, message };
}

/** Whether the silence of `record` is to be told of now: once, until news end it. */
export function isReportDue(record: OfferRecord, nowMs: number, reportAfterMs: number): boolean {
  const { quietSinceAtMs } = offerView(record, nowMs, reportAfterMs);
  return record.reportedAtMs === undefined && nowMs - quietSinceAtMs >= reportAfterMs;
}

function daysText(durationMs: number): string {
  const hours = Math.round(durationMs / 3_600_000);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
