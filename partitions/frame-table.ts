import type { Frame } from './frames/frame.ts';

const digestBytes = 32;

/** What the head of an index says of all frames. */
export interface FrameTotals {
  readonly frameCount: number;
  readonly frameSizeBytes: number;
  readonly contentSizeBytes: number;
}

/** All frames of a partition, 53 bytes each. */
export class FrameTable {
  readonly count: number;
  readonly contentSizeBytes: number;
  /** The content of the largest frame there may be. */
  readonly frameSizeBytes: number;
  /** Where each frame's content begins, and at last where it ends. */
  readonly #contentOffsets: Float64Array;
  readonly #compressedBytes: Uint32Array;
  readonly #offsets: Float64Array;
  readonly #digests: Uint8Array;
  readonly #zeros: Uint8Array;

  private constructor(count: number, frameSizeBytes: number, contentSizeBytes: number) {
    this.count = count;
    this.frameSizeBytes = frameSizeBytes;
    this.contentSizeBytes = contentSizeBytes;
    this.#contentOffsets = new Float64Array(count + 1).fill(contentSizeBytes);
    this.#compressedBytes = new Uint32Array(count);
    this.#offsets = new Float64Array(count);
    this.#digests = new Uint8Array(count * digestBytes);
    this.#zeros = new Uint8Array(count);
  }

  /** Takes all frames of `source`, of which there are as many as `frameCount` says. */
  static async read(
    source: AsyncIterable<Frame>,
    { frameCount, frameSizeBytes, contentSizeBytes }: FrameTotals,
  ): Promise<FrameTable> {
    const table = new FrameTable(frameCount, frameSizeBytes, contentSizeBytes);
    for await (const frame of source) {
      table.#contentOffsets[frame.index] = frame.contentOffsetBytes;
      table.#compressedBytes[frame.index] = frame.compressedSizeBytes;
      table.#offsets[frame.index] = frame.compressedOffsetBytes;
      table.#digests.set(frame.sha256, frame.index * digestBytes);
      table.#zeros[frame.index] = frame.isZero ? 1 : 0;
    }
    return table;
  }

  /** Frame `index`; its digest is a view. */
  frame(index: number): Frame {
    const [contentOffsetBytes = 0, endBytes = 0] = this.#contentOffsets.subarray(index, index + 2);
    return {
      index,
      contentOffsetBytes,
      contentSizeBytes: endBytes - contentOffsetBytes,
      compressedOffsetBytes: this.#offsets[index] ?? 0,
      compressedSizeBytes: this.#compressedBytes[index] ?? 0,
      sha256: this.#digests.subarray(index * digestBytes, (index + 1) * digestBytes),
      isZero: this.#zeros[index] === 1,
    };
  }

  /** All frames in order. */
  *frames(): Generator<Frame> {
    for (let index = 0; index < this.count; index += 1) yield this.frame(index);
  }
}
