import { blockBytes } from './block-index/layout.ts';
import type { Frame } from './frames/frame.ts';

const digestBytes = 32;
/** Digests lie in pieces of so many, made as they are needed. */
const pieceDigests = 1024;
/** Of so many frames only the first one's place in the layer is kept; the others' follow by their sizes. */
const strideFrames = 64;

/** What an index says of its frames together. */
export interface FrameTotals {
  readonly frameCount: number;
  /** Content of the largest frame. */
  readonly frameSizeBytes: number;
  readonly contentSizeBytes: number;
}

/** All frames of a partition: 45 bytes each, and 13 for one of zeros. Each begins with a block. */
export class FrameTable {
  readonly count: number;
  readonly contentSizeBytes: number;
  /** Content of the largest frame. */
  readonly frameSizeBytes: number;
  /** Where each begins, in blocks. */
  readonly #blocks: Uint32Array;
  readonly #compressedBytes: Uint32Array;
  /** Where each `strideFrames`-th begins in the layer. */
  readonly #offsets: Float64Array;
  readonly #digests: Uint8Array[] = [];
  /** Which digest each has: those of zeros have the same. */
  readonly #digestOf: Uint32Array;
  readonly #zeros: Uint8Array;
  #digestCount = 0;

  private constructor({ frameCount, frameSizeBytes, contentSizeBytes }: FrameTotals) {
    this.count = frameCount;
    this.frameSizeBytes = frameSizeBytes;
    this.contentSizeBytes = contentSizeBytes;
    this.#blocks = new Uint32Array(frameCount);
    this.#compressedBytes = new Uint32Array(frameCount);
    this.#offsets = new Float64Array(Math.ceil(frameCount / strideFrames));
    this.#digestOf = new Uint32Array(frameCount);
    this.#zeros = new Uint8Array(frameCount);
  }

  /** Whether the last block is cut: what lies behind it on the device has to become zeros, whatever the frame's digest says. */
  get endsInBlock(): boolean {
    return this.contentSizeBytes % blockBytes !== 0;
  }

  /** Takes all frames of `source`, which come in order and without gaps. */
  static async read(source: AsyncIterable<Frame>, totals: FrameTotals): Promise<FrameTable> {
    const table = new FrameTable(totals);
    let digestOfZeros: number | undefined;
    for await (const frame of source) {
      const { index, isZero } = frame;
      table.#blocks[index] = frame.contentOffsetBytes / blockBytes;
      table.#compressedBytes[index] = frame.compressedSizeBytes;
      if (index % strideFrames === 0) table.#offsets[index / strideFrames] = frame.compressedOffsetBytes;
      table.#zeros[index] = isZero ? 1 : 0;
      const digest = (isZero ? digestOfZeros : undefined) ?? table.#addDigest(frame.sha256);
      table.#digestOf[index] = digest;
      if (isZero) digestOfZeros = digest;
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
      compressedOffsetBytes: this.#compressedOffset(index),
      compressedSizeBytes: this.#compressedBytes[index] ?? 0,
      sha256: this.#digest(this.#digestOf[index] ?? 0),
      isZero: this.#zeros[index] === 1,
    };
  }

  /** All frames in order. */
  *frames(): Generator<Frame> {
    for (let index = 0; index < this.count; index += 1) yield this.frame(index);
  }

  #compressedOffset(index: number): number {
    const first = index - (index % strideFrames);
    let offset = this.#offsets[first / strideFrames] ?? 0;
    for (let before = first; before < index; before += 1) offset += this.#compressedBytes[before] ?? 0;
    return offset;
  }

  #addDigest(sha256: Uint8Array): number {
    const digest = this.#digestCount;
    this.#digestCount += 1;
    if (digest % pieceDigests === 0) this.#digests.push(new Uint8Array(pieceDigests * digestBytes));
    this.#digest(digest).set(sha256);
    return digest;
  }

  #digest(digest: number): Uint8Array {
    const at = (digest % pieceDigests) * digestBytes;
    return this.#digests[Math.floor(digest / pieceDigests)]?.subarray(at, at + digestBytes) ?? new Uint8Array(0);
  }
}
