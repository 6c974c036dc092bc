import type { EventRecord } from '../core/ports.ts';
import {
  addOffer,
  isNews,
  isReportDue,
  type Offered,
  type OfferRecord,
  type OfferView,
  offerView,
} from '../core/offers.ts';
import type { Clock } from '../core/ports.ts';
import type { FactsKeeper } from './facts-keeper.ts';

/** How often it is looked at whether it was silent for too long. */
const pollMs = 3_600_000;
/** What says nothing but that the same was seen again is not written more often. */
const repeatMs = 60_000;

/** What the watch works with. */
export interface OfferWatchPorts {
  readonly facts: FactsKeeper;
  readonly clock: Clock;
  /** The time of trust decisions, in epoch milliseconds. */
  readonly nowMs: () => number;
  /** `undefined`: no silence is an alarm. */
  readonly reportAfterMs: number | undefined;
  readonly report: (event: Omit<EventRecord, 'sequence'>) => void;
  /** Hears that something could not be kept: it costs the report, never the update. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Keeps since when nothing newer was offered, against a registry or a controller that is held still. It reports and does
 * nothing else. Not for an agent without its facts: it would write over those that it could not read.
 */
export class OfferWatch {
  readonly #ports: OfferWatchPorts;

  constructor(ports: OfferWatchPorts) {
    this.#ports = ports;
  }

  /** What is known now; `undefined` before `run`. */
  get view(): OfferView | undefined {
    const { facts, nowMs, reportAfterMs } = this.#ports;
    const { offers } = facts.data;
    return offers === undefined ? undefined : offerView(offers, nowMs(), reportAfterMs);
  }

  /** A registry answered. Never rejects. */
  async contacted(): Promise<void> {
    const atMs = this.#ports.nowMs();
    await this.#change((record) => (isRepeat(record.contactAtMs, atMs) ? record : { ...record, contactAtMs: atMs }));
  }

  /** An image was verified, beside those that the slots hold. Never rejects. */
  async verified(offered: Offered, deployed: readonly string[]): Promise<void> {
    const atMs = this.#ports.nowMs();
    const wasNews = isNews(offered, this.#ports.facts.data, deployed);
    await this.#change((record) => {
      const { verified } = record;
      const isSame = verified?.digest === offered.digest && isRepeat(verified.atMs, atMs);
      return isSame && !wasNews ? record : addOffer(record, offered.digest, wasNews, atMs);
    });
  }

  /** Looks each hour whether there is a silence to report, until `signal`. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#change((record) => record);
    const { reportAfterMs, clock } = this.#ports;
    while (reportAfterMs !== undefined && !signal.aborted) {
      await this.#reportSilence(reportAfterMs);
      await clock.sleep(pollMs, signal).catch(() => undefined);
    }
  }

  async #reportSilence(reportAfterMs: number): Promise<void> {
    const { facts, nowMs, report, clock } = this.#ports;
    const { offers } = facts.data;
    const atMs = nowMs();
    const alarm = this.view?.alarm;
    if (offers === undefined || alarm === undefined || !isReportDue(offers, atMs, reportAfterMs)) return;
    const { newest, verified, contactAtMs } = offers;
    const details = { newest, verified, contactAtMs };
    // Told before it is kept: power lost between the two tells it twice, and never not at all.
    report({ atMs: clock.nowMs(), updateId: undefined, kind: 'offers-silent', message: alarm.message, details });
    await this.#change((record) => ({ ...record, reportedAtMs: atMs }));
  }

  async #change(change: (record: OfferRecord) => OfferRecord): Promise<void> {
    try {
      await this.#ports.facts.change((data) => {
        const before = data.offers ?? { watchedAtMs: this.#ports.nowMs() };
        const after = change(before);
        return after === data.offers ? data : { ...data, offers: after };
      });
    } catch (error) {
      this.#ports.onFault(error);
    }
  }
}

function isRepeat(lastMs: number | undefined, nowMs: number): boolean {
  return lastMs !== undefined && nowMs >= lastMs && nowMs - lastMs < repeatMs;
}
