import type { Frame } from './frames/frame.ts';

const digestBytes = 32;

/** All frames of a partition, 37 bytes each. All but the last have content of the same size. */
export class FrameTable {
  readonly count: number;
  readonly contentSizeBytes: number;
  readonly frameSizeBytes: number;
  readonly #compressedBytes: Uint32Array;
  readonly #offsets: Float64Array;
  readonly #digests: Uint8Array;
  readonly #zeros: Uint8Array;

  private constructor(count: number, frameSizeBytes: number, contentSizeBytes: number) {
    this.count = count;
    this.frameSizeBytes = frameSizeBytes;
    this.contentSizeBytes = contentSizeBytes;
    this.#compressedBytes = new Uint32Array(count);
    this.#offsets = new Float64Array(count);
    this.#digests = new Uint8Array(count * digestBytes);
    this.#zeros = new Uint8Array(count);
  }

  /** Takes all frames of `source`, of `frameSizeBytes` of content each, `contentSizeBytes` together. */
  static async read(
    source: AsyncIterable<Frame>,
    frameSizeBytes: number,
    contentSizeBytes: number,
  ): Promise<FrameTable> {
    const table = new FrameTable(Math.ceil(contentSizeBytes / frameSizeBytes), frameSizeBytes, contentSizeBytes);
    for await (const frame of source) {
      table.#compressedBytes[frame.index] = frame.compressedSizeBytes;
      table.#offsets[frame.index] = frame.compressedOffsetBytes;
      table.#digests.set(frame.sha256, frame.index * digestBytes);
      table.#zeros[frame.index] = frame.isZero ? 1 : 0;
    }
    return table;
  }

  /** Frame `index`; its digest is a view. */
  frame(index: number): Frame {
    const contentOffsetBytes = index * this.frameSizeBytes;
    return {
      index,
      contentOffsetBytes,
      contentSizeBytes: Math.min(this.frameSizeBytes, this.contentSizeBytes - contentOffsetBytes),
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
