import { PartitionError } from '../errors.ts';
import type { ByteRange } from '../slot-writer.ts';
import { mergeRanges } from './merge-ranges.ts';

/**
 * The bytes of `ranges` of an index layer, one after the other and nothing in between; the ranges ascend, do not
 * overlap, and are at least one byte long each. A `LayerSource` for one layer.
 */
export type IndexBytes = (ranges: readonly ByteRange[]) => AsyncIterable<Uint8Array>;

/** Reads parts that ascend by merged ranges, and drops what lies between them. */
export class PartReader {
  readonly #splitter: RangeSplitter;
  readonly #merged: readonly ByteRange[];
  #range = 0;
  #at: number;

  constructor(bytes: IndexBytes, parts: readonly ByteRange[], requestBytes: number) {
    this.#merged = mergeRanges(parts, requestBytes);
    this.#at = this.#merged[0]?.offset ?? 0;
    this.#splitter = new RangeSplitter(this.#merged.length === 0 ? nothing() : bytes(this.#merged));
  }

  async next(part: ByteRange): Promise<Uint8Array> {
    if (part.sizeBytes === 0) return new Uint8Array(0);
    let range = this.#merged[this.#range];
    while (range !== undefined && part.offset >= range.offset + range.sizeBytes) {
      await this.#splitter.take(range.offset + range.sizeBytes - this.#at);
      this.#range += 1;
      range = this.#merged[this.#range];
      this.#at = range?.offset ?? this.#at;
    }
    await this.#splitter.take(part.offset - this.#at);
    this.#at = part.offset + part.sizeBytes;
    return this.#splitter.take(part.sizeBytes);
  }

  async finish(): Promise<void> {
    await this.#splitter.finish();
  }

  async close(): Promise<void> {
    await this.#splitter.close();
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // There is no range, so there are no bytes.
}

/** Takes exact sizes out of a stream of pieces. */
export class RangeSplitter {
  readonly #pieces: AsyncIterator<Uint8Array, unknown>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** The next `sizeBytes` in memory of their own. Rejects with `download-truncated`. */
  async take(sizeBytes: number): Promise<Uint8Array> {
    const taken = new Uint8Array(sizeBytes);
    let filled = 0;
    while (filled < sizeBytes) {
      if (this.#held.byteLength === 0) {
        const piece = await this.#pieces.next();
        if (piece.done === true) {
          throw new PartitionError(
            'download-truncated',
            `cannot read the block index: it ended ${sizeBytes - filled} bytes too early`,
          );
        }
        this.#held = piece.value;
      }
      const part = this.#held.subarray(0, sizeBytes - filled);
      taken.set(part, filled);
      filled += part.byteLength;
      this.#held = this.#held.subarray(part.byteLength);
    }
    return taken;
  }

  /** Reads to the end. Rejects with `layer-too-large` when there is more. */
  async finish(): Promise<void> {
    for (;;) {
      if (this.#held.byteLength > 0) {
        throw new PartitionError('layer-too-large', 'cannot read the block index: more bytes came than were asked for');
      }
      const piece = await this.#pieces.next();
      if (piece.done === true) return;
      this.#held = piece.value;
    }
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
