import type { WriteProgress } from './slot-writer.ts';
import type { TrustedDescriptor } from './trusted-descriptor.ts';

/** What one call of `write` counts and watches. */
export class WriteRun {
  readonly #signal: AbortSignal;
  readonly #onProgress: (progress: WriteProgress) => void;
  readonly #layerSizeBytes: number;
  #isResumable = true;
  #fetchedBytes = 0;
  #writtenBytes = 0;
  #keptBytes = 0;
  #copiedBytes = 0;
  #resumedBytes = 0;
  #durableBytes = 0;
  #patchedBytes = 0;
  #endBytes: number | undefined;

  constructor(image: TrustedDescriptor, onProgress: (progress: WriteProgress) => void, signal: AbortSignal) {
    this.#signal = signal;
    this.#onProgress = onProgress;
    this.#layerSizeBytes = image.facts.partitions.reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0);
    this.#isResumable = image.facts.partitions.every(({ index }) => index !== undefined);
  }

  /** Throws the reason of the signal when the caller wants to stop. */
  checkSignal(): void {
    this.#signal.throwIfAborted();
  }

  report(step: WriteProgress['step'], partition: string): void {
    this.#onProgress({
      step,
      partition,
      fetchedBytes: this.#fetchedBytes,
      layerSizeBytes: this.#layerSizeBytes,
      writtenBytes: this.#writtenBytes,
      keptBytes: this.#keptBytes,
      copiedBytes: this.#copiedBytes,
      resumedBytes: this.#resumedBytes,
      durableBytes: this.#durableBytes,
      ...(this.#patchedBytes === 0 ? {} : { patchedBytes: this.#patchedBytes }),
      ...(this.#endBytes === undefined ? {} : { missingBytes: Math.max(0, this.#endBytes - this.#fetchedBytes) }),
      isResumable: this.#isResumable,
    });
  }

  /** It is known how much is to be fetched from now on. */
  noteMissing(sizeBytes: number): void {
    this.#endBytes = this.#fetchedBytes + sizeBytes;
  }

  addFetched(sizeBytes: number): void {
    this.#fetchedBytes += sizeBytes;
  }

  addWritten(sizeBytes: number): void {
    this.#writtenBytes += sizeBytes;
  }

  /** Content that was in place on the device, of whatever was written there before, and proven. */
  addKept(sizeBytes: number): void {
    this.#keptBytes += sizeBytes;
    this.#writtenBytes += sizeBytes;
  }

  /** Content that an earlier run of this write left durably on the device, and that was proven again. */
  addResumed(sizeBytes: number): void {
    this.#resumedBytes += sizeBytes;
    this.#durableBytes += sizeBytes;
    this.addKept(sizeBytes);
  }

  /** A checkpoint with so much content is durable. */
  noteDurable(sizeBytes: number): void {
    this.#durableBytes = sizeBytes;
  }

  /** Content that came from the booted slot, and was proven. */
  addCopied(sizeBytes: number): void {
    this.#copiedBytes += sizeBytes;
    this.#writtenBytes += sizeBytes;
  }

  /** Content that came of a patch and the booted slot, and was proven. */
  addPatched(sizeBytes: number): void {
    this.#patchedBytes += sizeBytes;
    this.#writtenBytes += sizeBytes;
  }
}
