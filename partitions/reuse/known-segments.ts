import { SegmentCutter } from '../block-index/cut-segments.ts';
import type { IndexHead } from '../block-index/index-head.ts';
import { digestBytes } from '../block-index/layout.ts';
import type { DigestDraft } from './digest-list.ts';
import type { DigestSource } from '../delta/digest-source.ts';

/** The digest of no block that is known: it says neither zeros nor anything that is found. */
const unknownByte = 0xff;

/** The segments of an index by the digest of their digests. */
export class SegmentTable {
  readonly #head: IndexHead;
  readonly #segments = new Map<string, number[]>();

  constructor(head: IndexHead) {
    this.#head = head;
    for (let index = 0; index < head.segmentCount; index += 1) {
      const { isZero, digest } = head.segment(index);
      if (isZero) continue;
      const key = keyOf(digest);
      const same = this.#segments.get(key);
      if (same === undefined) this.#segments.set(key, [index]);
      else same.push(index);
    }
  }

  /** Whether a segment of the image has this digest. */
  has(digest: Uint8Array): boolean {
    return this.#segments.has(keyOf(digest));
  }

  /**
   * Puts into `wanted` the digests of all segments that are found among those of `known`, which are cut as an encoder
   * cuts them, and gives the numbers of the others, ascending: their blocks are marked as unknown.
   */
  async putKnown(known: DigestSource, wanted: Pick<DigestDraft, 'write'>): Promise<readonly number[]> {
    const isKnown = new Uint8Array(this.#head.segmentCount);
    const cutter = new SegmentCutter();
    const put = async (
      cut: Iterable<{ readonly digests: Uint8Array | undefined; readonly digest: Uint8Array | undefined }>,
    ) => {
      for (const { digests, digest } of cut) {
        if (digests === undefined || digest === undefined) continue;
        for (const index of this.#segments.get(keyOf(digest)) ?? []) {
          if (isKnown[index] === 1) continue;
          await wanted.write(this.#head.segment(index).firstBlock, digests);
          isKnown[index] = 1;
        }
      }
    };
    for await (const digests of known.read(0, known.blockCount)) await put(cutter.push(digests));
    await put(cutter.finish());
    const unknown: number[] = [];
    for (let index = 0; index < this.#head.segmentCount; index += 1) {
      const { isZero, firstBlock, blockCount } = this.#head.segment(index);
      if (isZero || isKnown[index] === 1) continue;
      await wanted.write(firstBlock, new Uint8Array(blockCount * digestBytes).fill(unknownByte));
      unknown.push(index);
    }
    return unknown;
  }
}

function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('latin1');
}
