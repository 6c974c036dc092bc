import type { Transfer, WriteProgress } from '../core/ports.ts';
import { emptyTransfer } from '../core/transfer.ts';

/** Counts what an update moves, over all the runs of its write. */
export class TransferMeter {
  #updateId: string | undefined;
  /** Of the runs that ended. */
  #earlier: Transfer = emptyTransfer;
  #fetchedBytes = 0;
  #progress: WriteProgress | undefined;

  /** A run of the write of update `updateId` begins; `recorded` is what is known of its earlier ones. */
  begin(updateId: string, recorded: Transfer | undefined): void {
    this.#earlier = this.#updateId === updateId ? this.#now() : (recorded ?? emptyTransfer);
    this.#updateId = updateId;
    this.#fetchedBytes = 0;
    this.#progress = undefined;
  }

  /** Bytes came from the source of the image. */
  addFetched(sizeBytes: number): void {
    this.#fetchedBytes += sizeBytes;
  }

  /** What kaon-slotd says of the run. */
  note(progress: WriteProgress): void {
    // Boot payloads are told without what the partitions came to.
    if (progress.keptBytes !== undefined) this.#progress = progress;
  }

  /** What update `updateId` moved so far; `undefined` where this agent did not write for it. */
  of(updateId: string): Transfer | undefined {
    return this.#updateId === updateId ? this.#now() : undefined;
  }

  /** Content that the run holds durably, so that the next one need not fetch it. */
  get durableBytes(): number {
    return this.#progress?.durableBytes ?? 0;
  }

  /** What the run has to fetch yet, once kaon-slotd said it. */
  get missingBytes(): number | undefined {
    return this.#progress?.missingBytes;
  }

  #now(): Transfer {
    const { writtenBytes = 0, keptBytes = 0, copiedBytes = 0, resumedBytes = 0 } = this.#progress ?? {};
    return {
      fetchedBytes: this.#earlier.fetchedBytes + this.#fetchedBytes,
      // What an earlier run left was counted by that run.
      keptBytes: this.#earlier.keptBytes + keptBytes - resumedBytes,
      copiedBytes: this.#earlier.copiedBytes + copiedBytes,
      writtenBytes: this.#earlier.writtenBytes + writtenBytes - keptBytes,
      isResumed: this.#earlier.isResumed || resumedBytes > 0,
    };
  }
}
