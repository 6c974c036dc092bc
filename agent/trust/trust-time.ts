/** What the time of a trust decision is and how it is known. */
export interface TrustTime {
  readonly nowMs: number;
  /**
   * - `clock`: by the node's clock.
   * - `build`: the clock is behind; this kaon was built then.
   * - `signed-time`: the clock is behind; an image that this node verified was signed then.
   */
  readonly source: 'clock' | 'build' | 'signed-time';
}

/** What the time can't be before, in epoch milliseconds; `undefined` where it is not known. */
export interface TimeFloors {
  readonly buildMs: number | undefined;
  /** The latest time that a log or a timestamp authority stated in a signature that was verified here. */
  readonly signedMs: number | undefined;
}

/** The latest of the clock and of what it can't be before: a node that wakes in 1970 must not take it for 1970. */
export function trustTime(clockMs: number, { buildMs, signedMs }: TimeFloors): TrustTime {
  const floors: readonly TrustTime[] = [
    { nowMs: clockMs, source: 'clock' },
    ...(buildMs === undefined ? [] : [{ nowMs: buildMs, source: 'build' } as const]),
    ...(signedMs === undefined ? [] : [{ nowMs: signedMs, source: 'signed-time' } as const]),
  ];
  return floors.reduce((latest, one) => (one.nowMs > latest.nowMs ? one : latest));
}

/** `time` for people, with how it is known where that is not the clock. */
export function describeTime({ nowMs, source }: TrustTime): string {
  const texts = {
    clock: 'by the clock',
    build: 'the build of kaon, as the clock is behind it',
    'signed-time': 'the latest signature verified here, as the clock is behind it',
  };
  return `${isoTime(nowMs)} (${texts[source]})`;
}

/** Epoch milliseconds as ISO 8601, also where they are no time. */
export function isoTime(atMs: number): string {
  const date = new Date(atMs);
  return Number.isNaN(date.getTime()) ? String(atMs) : date.toISOString();
}
