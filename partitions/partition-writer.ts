import type { BlockDevice } from './block-device.ts';
import type { BufferRing } from './buffer-ring.ts';
import { PartitionError } from './errors.ts';

/** What is held back until all bodies are durable: superblocks of the file systems we know begin in it. */
export const firstBlockBytes = 4096;

// Zeroing has no hardware help on every device: in steps, so that it can be cancelled.
const zeroStepBytes = 64 * 1024 * 1024;

/**
 * Writes one partition's content: everything but the first block as it comes, the first block when told to. Several
 * writes are in flight, from the buffers of `ring`.
 */
export class PartitionWriter {
  readonly #name: string;
  readonly #device: BlockDevice;
  readonly #ring: BufferRing;
  readonly #beforeBuffer: () => void;
  readonly #firstBlock = new Uint8Array(firstBlockBytes);
  readonly #inFlight: Promise<void>[];
  #failure: { readonly error: unknown } | undefined;
  #contentBytes = 0;
  #turn = 0;
  #filledBytes = 0;
  #offset = firstBlockBytes;

  /** `beforeBuffer` is called before each buffer goes to the device, and may throw to end the writing. */
  constructor(name: string, device: BlockDevice, ring: BufferRing, beforeBuffer: () => void) {
    this.#name = name;
    this.#device = device;
    this.#ring = ring;
    this.#beforeBuffer = beforeBuffer;
    this.#inFlight = ring.buffers.map(() => Promise.resolve());
  }

  /** Content bytes taken so far. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** Takes the next content; it is copied. Throws `slot-too-small`, `slot-write-failed`. */
  async write(content: Uint8Array): Promise<void> {
    if (this.#contentBytes + content.byteLength > this.#usableBytes()) {
      throw new PartitionError(
        'slot-too-small',
        `cannot write partition ${this.#name}: the content is larger than its ${this.#device.sizeBytes} bytes`,
        { details: { partition: this.#name, sizeBytes: this.#device.sizeBytes } },
      );
    }
    let at = 0;
    if (this.#contentBytes < firstBlockBytes) {
      const head = content.subarray(0, firstBlockBytes - this.#contentBytes);
      this.#firstBlock.set(head, this.#contentBytes);
      at = head.byteLength;
    }
    this.#contentBytes += content.byteLength;
    while (at < content.byteLength) {
      const buffer = this.#ring.at(this.#turn);
      const part = content.subarray(at, at + buffer.byteLength - this.#filledBytes);
      buffer.set(part, this.#filledBytes);
      this.#filledBytes += part.byteLength;
      at += part.byteLength;
      if (this.#filledBytes === buffer.byteLength) await this.#submit(buffer.byteLength);
    }
  }

  /**
   * Writes what is left of the body, zeroes the rest of the partition and flushes: all but the first block is durable
   * then. Throws `slot-write-failed`.
   */
  async finishBody(): Promise<void> {
    const { alignmentBytes } = this.#device;
    if (this.#filledBytes > 0) {
      const paddedBytes = Math.ceil(this.#filledBytes / alignmentBytes) * alignmentBytes;
      this.#ring.at(this.#turn).fill(0, this.#filledBytes, paddedBytes);
      await this.#submit(paddedBytes);
    }
    await this.settle();
    this.#throwFailure();
    const endBytes = this.#usableBytes();
    while (this.#offset < endBytes) {
      this.#beforeBuffer();
      const stepBytes = Math.min(zeroStepBytes, endBytes - this.#offset);
      await this.#device.zero(this.#offset, stepBytes);
      this.#offset += stepBytes;
    }
    await this.#device.flush();
  }

  /** Writes the first block and flushes: the partition is complete then. Throws `slot-write-failed`. */
  async writeFirstBlock(): Promise<void> {
    const buffer = this.#ring.at(0).subarray(0, firstBlockBytes);
    buffer.set(this.#firstBlock);
    await this.#device.write(buffer, 0);
    await this.#device.flush();
  }

  /** Resolves when no write is in flight any more; before that the device must not be closed nor the ring reused. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  async #submit(sizeBytes: number): Promise<void> {
    this.#beforeBuffer();
    const written = this.#device.write(this.#ring.at(this.#turn).subarray(0, sizeBytes), this.#offset);
    this.#inFlight[this.#turn % this.#inFlight.length] = written.catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#offset += sizeBytes;
    this.#filledBytes = 0;
    this.#turn += 1;
    // The next buffer may be filled only when the device has read what was in it.
    await this.#inFlight[this.#turn % this.#inFlight.length];
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #usableBytes(): number {
    const { sizeBytes, alignmentBytes } = this.#device;
    return sizeBytes - (sizeBytes % alignmentBytes);
  }
}
