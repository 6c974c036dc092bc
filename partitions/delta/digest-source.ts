import { digestBlocks } from '../block-index/block-digest.ts';
import type { IndexHead } from '../block-index/index-head.ts';
import { blockBytes, digestBytes } from '../block-index/layout.ts';

/** Digests of blocks, from wherever they are known. */
export interface DigestSource {
  readonly blockCount: number;
  /**
   * The digests of `blockCount` blocks from `firstBlock` on, in order, in pieces of whole digests. The range lies
   * within the source.
   */
  read(firstBlock: number, blockCount: number): AsyncIterable<Uint8Array>;
}

/** Digests in memory. */
export class MemoryDigests implements DigestSource {
  readonly blockCount: number;
  readonly #digests: Uint8Array;

  constructor(digests: Uint8Array) {
    this.blockCount = digests.byteLength / digestBytes;
    this.#digests = digests;
  }

  async *read(firstBlock: number, blockCount: number): AsyncGenerator<Uint8Array> {
    yield this.#digests.subarray(firstBlock * digestBytes, (firstBlock + blockCount) * digestBytes);
  }
}

/** Reads `sizeBytes` of an index layer at `offset`, all of them or it rejects. */
export type ReadIndexBytes = (offset: number, sizeBytes: number) => Promise<Uint8Array>;

const pieceBlocks = 16 * 1024;

/** The digests of an index layer that lies somewhere whole. They are what they are: nothing is verified here. */
export class IndexDigests implements DigestSource {
  readonly blockCount: number;
  readonly #head: IndexHead;
  readonly #readBytes: ReadIndexBytes;

  constructor(head: IndexHead, readBytes: ReadIndexBytes) {
    this.blockCount = head.blockCount;
    this.#head = head;
    this.#readBytes = readBytes;
  }

  async *read(firstBlock: number, blockCount: number): AsyncGenerator<Uint8Array> {
    const endBlock = firstBlock + blockCount;
    for (let index = this.#head.segmentAt(firstBlock); index < this.#head.segmentCount; index += 1) {
      const segment = this.#head.segment(index);
      if (segment.firstBlock >= endBlock) return;
      const to = Math.min(endBlock, segment.firstBlock + segment.blockCount);
      for (let from = Math.max(firstBlock, segment.firstBlock); from < to; from += pieceBlocks) {
        const sizeBytes = Math.min(pieceBlocks, to - from) * digestBytes;
        const offset = segment.digests.offset + (from - segment.firstBlock) * digestBytes;
        yield segment.isZero ? new Uint8Array(sizeBytes) : await this.#readBytes(offset, sizeBytes);
      }
    }
  }
}

/** Fills all of `into` with a device's content from `offset` on. */
export type ReadContent = (into: Uint8Array, offset: number) => Promise<void>;

/** The digests of what a device holds, by reading it. A last part of a block is filled up with zeros. */
export class DeviceDigests implements DigestSource {
  readonly blockCount: number;
  readonly #sizeBytes: number;
  readonly #buffer: Uint8Array;
  readonly #readContent: ReadContent;

  /** `buffer` is memory that the device can read into, of whole blocks; it is used for each read. */
  constructor(sizeBytes: number, buffer: Uint8Array, readContent: ReadContent) {
    this.blockCount = Math.ceil(sizeBytes / blockBytes);
    this.#sizeBytes = sizeBytes;
    this.#buffer = buffer;
    this.#readContent = readContent;
  }

  async *read(firstBlock: number, blockCount: number): AsyncGenerator<Uint8Array> {
    const endBytes = Math.min((firstBlock + blockCount) * blockBytes, this.#sizeBytes);
    for (let offset = firstBlock * blockBytes; offset < endBytes; offset += this.#buffer.byteLength) {
      const content = this.#buffer.subarray(0, Math.min(this.#buffer.byteLength, endBytes - offset));
      await this.#readContent(content, offset);
      yield digestBlocks(content);
    }
  }
}
