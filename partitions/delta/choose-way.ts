import type { ReadCosts } from '../plan-reads.ts';

/** How a partition's content comes to the node. */
export type UpdateWay =
  /** The whole layer in one request. */
  | 'full'
  /** Blocks of the node's own slots, and the frames that are missing. */
  | 'index'
  /** A patch between two known images. */
  | 'patch';

/** What one way takes. */
export interface WayCost {
  readonly way: UpdateWay;
  /** All bytes that are fetched that way, the index's and the gaps' among them. */
  readonly fetchBytes: number;
  readonly requests: number;
}

/**
 * The cheapest way by bytes, with what the requests cost; of equals the earlier in the list. As the whole layer is one
 * of the ways, nothing costs more than it.
 */
export function cheapestWay(
  full: WayCost,
  others: readonly WayCost[],
  { requestBytes }: Pick<ReadCosts, 'requestBytes'>,
): WayCost {
  const priceOf = ({ fetchBytes, requests }: WayCost) => fetchBytes + requests * requestBytes;
  return others.reduce((best, way) => (priceOf(way) < priceOf(best) ? way : best), full);
}
