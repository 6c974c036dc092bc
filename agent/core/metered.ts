import type { UpdateRequest } from './update-state.ts';

/**
 * What an update may fetch over a metered link without asking.
 * - `full`: anything.
 * - `wait`: what is a delta; anything else waits for another link, or for an operator.
 * - `fail`: what is a delta; anything else ends the update.
 */
export type MeteredRule = 'full' | 'wait' | 'fail';

/** The rule, and a limit in place of the question whether it is a delta. */
export interface MeteredRules {
  readonly rule: MeteredRule;
  /** Most bytes that may be left to fetch; `undefined`: whatever is a delta. */
  readonly limitBytes: number | undefined;
}

/** What is known of the link that images come over. */
export interface LinkState {
  readonly isMetered: boolean;
  readonly source: 'config' | 'network-manager' | 'unknown';
  /** One sentence for people. */
  readonly text: string;
}

/** Tells whether the link is metered. Bounded, never rejects; what can't be told is not metered, and says so. */
export interface LinkMeter {
  read(): Promise<LinkState>;
}

/** What an update fetches. */
export interface FetchNeed {
  /** Fetched for it so far. */
  readonly fetchedBytes: number;
  /** At least so much has to be fetched yet. */
  readonly missingBytes: number;
  /** All of the image's layers. */
  readonly imageBytes: number;
}

/** An update that fetches more than this share of its image is no delta. */
const deltaShare = 0.9;

/** Whether the link has to be looked at for `update` at all: not for an offline source, nor where anything may be fetched. */
export function isMeteredAsked({ rule }: MeteredRules, update: UpdateRequest): boolean {
  return rule !== 'full' && update.from === undefined && update.isMeteredAllowed !== true;
}

/** Why `need` may not be fetched over a metered link, in a sentence; `undefined` where it may. */
export function meteredObjection({ limitBytes }: MeteredRules, need: FetchNeed): string | undefined {
  const { fetchedBytes, missingBytes, imageBytes } = need;
  if (limitBytes !== undefined) {
    return missingBytes > limitBytes
      ? `${missingBytes} bytes are left to fetch, and update.metered.limit is ${limitBytes}`
      : undefined;
  }
  const wholeBytes = fetchedBytes + missingBytes;
  return missingBytes > 0 && wholeBytes > imageBytes * deltaShare
    ? `it would fetch ${wholeBytes} of the image's ${imageBytes} bytes, which is no delta`
    : undefined;
}
