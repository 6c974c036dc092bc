import { blockBytes } from './block-index/layout.ts';
import type { Frame } from './frames/frame.ts';

const digestBytes = 32;

/** What an index says of its frames together. */
export interface FrameTotals {
  readonly frameCount: number;
  /** Content of the largest frame. */
  readonly frameSizeBytes: number;
  readonly contentSizeBytes: number;
}

/** All frames of a partition, 49 bytes each. Each begins with a block. */
export class FrameTable {
  readonly count: number;
  readonly contentSizeBytes: number;
  /** Content of the largest frame. */
  readonly frameSizeBytes: number;
  /** Where each begins, in blocks. */
  readonly #blocks: Uint32Array;
  readonly #compressedBytes: Uint32Array;
  readonly #offsets: Float64Array;
  readonly #digests: Uint8Array;
  readonly #zeros: Uint8Array;

  private constructor({ frameCount, frameSizeBytes, contentSizeBytes }: FrameTotals) {
    this.count = frameCount;
    this.frameSizeBytes = frameSizeBytes;
    this.contentSizeBytes = contentSizeBytes;
    this.#blocks = new Uint32Array(frameCount);
    this.#compressedBytes = new Uint32Array(frameCount);
    this.#offsets = new Float64Array(frameCount);
    this.#digests = new Uint8Array(frameCount * digestBytes);
    this.#zeros = new Uint8Array(frameCount);
  }

  /** Whether the last block is cut: what lies behind it on the device has to become zeros, whatever the frame's digest says. */
  get endsInBlock(): boolean {
    return this.contentSizeBytes % blockBytes !== 0;
  }

  /** Takes all frames of `source`, which come in order and without gaps. */
  static async read(source: AsyncIterable<Frame>, totals: FrameTotals): Promise<FrameTable> {
    const table = new FrameTable(totals);
    for await (const frame of source) {
      table.#blocks[frame.index] = frame.contentOffsetBytes / blockBytes;
      table.#compressedBytes[frame.index] = frame.compressedSizeBytes;
      table.#offsets[frame.index] = frame.compressedOffsetBytes;
      table.#digests.set(frame.sha256, frame.index * digestBytes);
      table.#zeros[frame.index] = frame.isZero ? 1 : 0;
    }
    return table;
  }

  /** Frame `index`; its digest is a view. */
  frame(index: number): Frame {
    const contentOffsetBytes = (this.#blocks[index] ?? 0) * blockBytes;
    const endBytes = index + 1 < this.count ? (this.#blocks[index + 1] ?? 0) * blockBytes : this.contentSizeBytes;
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
