import type { BlockDevice } from './block-device.ts';
import { FrameSet } from './frame-set.ts';
import type { WriterClock } from './stall-guard.ts';

/** What an interrupted write had put onto a slot durably: a claim, to be checked against the device. */
export interface WriteCheckpoint {
  readonly manifestDigest: string;
  /** By partition: the frames that were flushed, a bit each, those of the first frames first. */
  readonly frames: Readonly<Record<string, Uint8Array>>;
}

/** Keeps one checkpoint a slot over restarts and power cuts. */
export interface CheckpointStore {
  /** `undefined` where there is none, or none that is whole. */
  load(slot: 'a' | 'b'): Promise<WriteCheckpoint | undefined>;
  /** All of it or the one before; durable when it resolves. */
  save(slot: 'a' | 'b', checkpoint: WriteCheckpoint): Promise<void>;
  /** Durable when it resolves. */
  remove(slot: 'a' | 'b'): Promise<void>;
}

/** At most so often. */
const everyMs = 1000;

/** A partition whose frames are counted. */
export interface CountedPartition {
  readonly name: string;
  readonly device: BlockDevice;
  readonly done: FrameSet;
  /** Frames that each try writes again, so that a checkpoint of an earlier one must not claim them. */
  readonly writtenAgain: readonly number[];
  /** Content of the frames in `frames`. */
  readonly contentBytesOf: (frames: FrameSet) => number;
}

/** Saves what is durable of a write, now and then. */
export class Checkpointer {
  readonly #store: CheckpointStore;
  readonly #slot: 'a' | 'b';
  readonly #manifestDigest: string;
  readonly #partitions: readonly CountedPartition[];
  readonly #clock: WriterClock;
  readonly #onSaved: (contentBytes: number) => void;
  readonly #onFault: (error: unknown) => void;
  #lastMs: number;
  #isSaving = false;

  /**
   * `onSaved` hears of each checkpoint that is durable, with the content in it; `onFault` that one could not be kept: the
   * write goes on, and could not be resumed.
   */
  constructor(options: {
    store: CheckpointStore;
    slot: 'a' | 'b';
    manifestDigest: string;
    partitions: readonly CountedPartition[];
    clock: WriterClock;
    onSaved?: (contentBytes: number) => void;
    onFault: (error: unknown) => void;
  }) {
    this.#store = options.store;
    this.#slot = options.slot;
    this.#manifestDigest = options.manifestDigest;
    this.#partitions = options.partitions;
    this.#clock = options.clock;
    this.#onSaved = options.onSaved ?? (() => undefined);
    this.#onFault = options.onFault;
    this.#lastMs = options.clock.monotonicMs();
  }

  /** Saves, when the last time is long enough ago. Rejects with `slot-write-failed` when a device does not flush. */
  async saveIfDue(): Promise<void> {
    if (this.#isSaving || this.#clock.monotonicMs() - this.#lastMs < everyMs) return;
    await this.save();
  }

  /** Flushes and saves what was written before. Rejects with `slot-write-failed`. */
  async save(): Promise<void> {
    if (this.#partitions.length === 0) return;
    this.#isSaving = true;
    try {
      // Taken before the flush: what is written while it runs may not be durable when it ends.
      const claims = this.#partitions.map((partition) => ({ partition, claim: claimOf(partition) }));
      const frames = Object.fromEntries(claims.map(({ partition, claim }) => [partition.name, claim.toBytes()]));
      for (const { device } of this.#partitions) await device.flush();
      // Power lost before: the older checkpoint, and more is fetched again. After: none of this, unless the device lied.
      await this.#store.save(this.#slot, { manifestDigest: this.#manifestDigest, frames }).then(
        () => this.#onSaved(claims.reduce((sum, { partition, claim }) => sum + partition.contentBytesOf(claim), 0)),
        (error: unknown) => this.#onFault(error),
      );
      this.#lastMs = this.#clock.monotonicMs();
    } finally {
      this.#isSaving = false;
    }
  }
}

function claimOf({ done, writtenAgain }: CountedPartition): FrameSet {
  const claimed = new FrameSet(done.count, done.toBytes());
  for (const index of writtenAgain) claimed.remove(index);
  return claimed;
}
