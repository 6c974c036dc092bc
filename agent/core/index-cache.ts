import type { SlotName } from './update-state.ts';

/**
 * The block indexes of what is installed, a partition of a slot each. They are hints: a lost or a wrong one costs bytes,
 * and nothing is believed for lying here. Rejects with `journal-failed`.
 */
export interface IndexCache {
  /** What is kept of `partition` of `slot`, or `undefined`: also where it can't be understood. The caller closes it. */
  open(slot: SlotName, partition: string): Promise<KeptIndex | undefined>;
  /** Begins another beside what is kept; one that was begun before and not committed is dropped. */
  begin(slot: SlotName, partition: string, sizes: IndexSizes): Promise<IndexDraft>;
  /** Drops what is kept of all partitions of `slot`. Durable when it resolves. */
  remove(slot: SlotName): Promise<void>;
}

/** How large an index layer and its head are. */
export interface IndexSizes {
  readonly headSizeBytes: number;
  readonly layerSizeBytes: number;
}

/** A kept index layer. What nobody wrote of it is zeros. */
export interface KeptIndex {
  readonly sizes: IndexSizes;
  /** Exactly `sizeBytes` from `offset` on, which lie within the layer. */
  read(offset: number, sizeBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** An index that is being put together. Either `commit` or `discard` ends it. */
export interface IndexDraft extends Pick<KeptIndex, 'read'> {
  /** Within the layer, at any place and in any order. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Takes the place of what is kept, all or nothing; durable when it resolves. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}
