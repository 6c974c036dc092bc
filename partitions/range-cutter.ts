import { PartitionError } from './errors.ts';
import type { ByteRange } from './slot-writer.ts';

/** Finds places of a layer in the bytes of some of its ranges, which come one after the other. */
export class RangeCutter {
  readonly #pieces: AsyncIterator<Uint8Array, undefined>;
  readonly #ranges: readonly ByteRange[];
  readonly #onBytes: (sizeBytes: number) => void;
  #range = 0;
  #position: number;
  #held: Uint8Array = new Uint8Array(0);

  /** `source` gives the bytes of `ranges`; `onBytes` hears of those that came. */
  constructor(
    source: AsyncIterable<Uint8Array>,
    ranges: readonly ByteRange[],
    onBytes: (sizeBytes: number) => void = () => undefined,
  ) {
    this.#pieces = source[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
    this.#ranges = ranges;
    this.#onBytes = onBytes;
    this.#position = ranges[0]?.offset ?? 0;
  }

  /**
   * Fills `into` with the bytes from `offset` of the layer on, which lie in one of the ranges and behind all that was
   * read before. Rejects with `download-truncated`, or the error of the source.
   */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let range = this.#ranges[this.#range]; range !== undefined; range = this.#ranges[this.#range]) {
      const endBytes = range.offset + range.sizeBytes;
      if (offset < endBytes) break;
      await this.#skip(endBytes - this.#position);
      this.#range += 1;
      this.#position = this.#ranges[this.#range]?.offset ?? this.#position;
    }
    await this.#skip(offset - this.#position);
    for (let filled = 0; filled < into.byteLength;) {
      const part = await this.#next(into.byteLength - filled);
      into.set(part, filled);
      filled += part.byteLength;
    }
  }

  /** Reads to the end. Rejects with `layer-too-large` when more came than was asked for. */
  async finish(): Promise<void> {
    const last = this.#ranges.at(-1);
    if (last !== undefined) await this.read(last.offset + last.sizeBytes, new Uint8Array(0));
    let { byteLength } = this.#held;
    for (;;) {
      if (byteLength > 0) {
        throw new PartitionError('layer-too-large', 'cannot use the layer: more bytes came than were asked for');
      }
      const { done, value } = await this.#pieces.next();
      if (done === true) return;
      byteLength = value.byteLength;
    }
  }

  /** Gives the source up. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #skip(sizeBytes: number): Promise<void> {
    for (let left = sizeBytes; left > 0;) left -= (await this.#next(left)).byteLength;
  }

  async #next(limitBytes: number): Promise<Uint8Array> {
    while (this.#held.byteLength === 0) {
      const { done, value } = await this.#pieces.next();
      if (done === true) throw new PartitionError('download-truncated', 'cannot use the layer: it ended early');
      this.#onBytes(value.byteLength);
      this.#held = value;
    }
    const part = this.#held.subarray(0, limitBytes);
    this.#held = this.#held.subarray(part.byteLength);
    this.#position += part.byteLength;
    return part;
  }
}
