import type { Place, Victim, VictimOptions } from './victim.ts';

/** One attack, and what has to come of it. */
export interface Attack {
  /** The row of the README. */
  readonly name: string;
  /** `none`: it gets nothing, and the image is installed as it was signed. */
  readonly code: string;
  readonly place: Place | 'nowhere';
  readonly victim?: VictimOptions;
  /** Prepares the registry; resolves to the reference that the node is sent to. */
  readonly prepare: (victim: Victim) => string | Promise<string>;
  /** What happens between the verdict and the fetch. */
  readonly between?: (victim: Victim) => void;
  /** What has to hold besides, once it is over; throws. */
  readonly after?: (victim: Victim) => void;
  /** The content that must alone be found in the inactive slot, where the image has a block index. */
  readonly content?: Uint8Array;
  /** Most bytes that the registry gets rid of, 16 MiB unless given: sockets hold some more than what was read. */
  readonly mostBytes?: number;
}
