import type { DigestSource } from '../delta/digest-source.ts';

/** Digests of a partition's blocks that lie on the node. They are hints: nothing is proven by them. */
export interface DigestList extends DigestSource {
  /** Lets go of what it holds open. */
  close(): Promise<void>;
}

/** A list in the making: digests are put in at any place, and are those of zeros until then. */
export interface DigestDraft extends DigestSource {
  write(firstBlock: number, digests: Uint8Array): Promise<void>;
  /** Makes it what `find` gives for its partition, in the place of an older list; durable when it resolves. */
  keep(): Promise<void>;
  /** Gives it up, where it was not kept. */
  close(): Promise<void>;
}

/** Keeps one list for each partition of a slot over restarts, and room for lists that are not kept. */
export interface DigestLists {
  /** `undefined` where there is none, or none that can be understood. */
  find(slot: 'a' | 'b', partition: string): Promise<DigestList | undefined>;
  /** Begins a list; one that was begun before for this partition and not kept is gone. */
  create(slot: 'a' | 'b', partition: string, blockCount: number): Promise<DigestDraft>;
}
