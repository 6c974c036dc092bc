import { digestBytes } from '../block-index/layout.ts';
import type { ExtentList } from './extent-list.ts';

const nowhere = 0xffffffff;
/** A digest as four words. */
const digestWords = digestBytes / 4;

/** The digests as words, in memory of their own where they do not lie on a word. */
function wordsOf(digests: Uint8Array): Uint32Array {
  const aligned = digests.byteOffset % 4 === 0 ? digests : Uint8Array.from(digests);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/**
 * Finds out where the blocks of a window of an image are already: in place in the inactive slot, or anywhere in the
 * booted one. It knows digests alone, so that after a restart the same digests give the same answer. Which of equal
 * blocks is taken: one in place; else the one that goes on from the block before, so that reads are long; else the one at
 * the same place; else the first. Memory: 24 to 40 bytes a block of the window; time is linear in what is offered.
 */
export class BlockMatcher {
  readonly #firstBlock: number;
  readonly #blockCount: number;
  readonly #wanted: Uint32Array;
  /** Open addressing by a digest's first word: index of its first block, plus one. */
  readonly #table: Int32Array;
  /** For each block, the next one with the same digest, plus one. */
  readonly #next: Int32Array;
  readonly #source: Uint32Array;
  readonly #isKept: Uint8Array;
  /** The block of the window that the last block offered was found for. */
  #last = -1;
  #lastSource = -2;

  /** `digests` are those of the window that begins at `firstBlock`; they must not change while this is used. */
  constructor(firstBlock: number, digests: Uint8Array) {
    this.#firstBlock = firstBlock;
    this.#blockCount = digests.byteLength / digestBytes;
    this.#wanted = wordsOf(digests);
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(this.#blockCount * 1.5, 2))));
    this.#next = new Int32Array(this.#blockCount);
    this.#source = new Uint32Array(this.#blockCount).fill(nowhere);
    this.#isKept = new Uint8Array(this.#blockCount);
    // From the end, so that the first of equal blocks heads their chain.
    for (let index = this.#blockCount - 1; index >= 0; index -= 1) {
      if (this.#isZero(this.#wanted, index)) continue;
      const slot = this.#slotOf(this.#wanted, index);
      this.#next[index] = this.#table[slot] ?? 0;
      this.#table[slot] = index + 1;
    }
  }

  /** Says what the inactive slot holds from `firstBlock` on. */
  offerInPlace(firstBlock: number, digests: Uint8Array): void {
    const found = wordsOf(digests);
    const count = digests.byteLength / digestBytes;
    for (let at = Math.max(0, this.#firstBlock - firstBlock); at < count; at += 1) {
      const index = firstBlock + at - this.#firstBlock;
      if (index >= this.#blockCount) return;
      if (this.#isEqual(index, found, at)) this.#isKept[index] = 1;
    }
  }

  /** Says what the booted slot holds from `firstBlock` on; offered in order, its runs stay together. */
  offerBooted(firstBlock: number, digests: Uint8Array): void {
    const found = wordsOf(digests);
    const count = digests.byteLength / digestBytes;
    for (let at = 0; at < count; at += 1) {
      if (this.#isZero(found, at)) continue;
      const source = firstBlock + at;
      const index = this.#placeOf(source, found, at);
      if (index < 0) continue;
      this.#last = index;
      this.#lastSource = source;
    }
  }

  /** Adds what becomes of each block of the window. */
  finish(extents: ExtentList): void {
    for (let index = 0; index < this.#blockCount; index += 1) {
      const source = this.#source[index] ?? nowhere;
      if (this.#isKept[index] === 1) extents.push('keep', 1);
      else if (this.#isZero(this.#wanted, index)) extents.push('zero', 1);
      else if (source === nowhere) extents.push('fetch', 1);
      else extents.push('copy', 1, source);
    }
  }

  /** Takes the block that was found at `source` for where it is wanted, and gives one such place, or -1. */
  #placeOf(source: number, found: Uint32Array, at: number): number {
    const after = this.#lastSource === source - 1 ? this.#last + 1 : -1;
    if (after > 0 && after < this.#blockCount && this.#isEqual(after, found, at)) {
      this.#fillChain(this.#headOf(found, at), source);
      if (!this.#isRun(after)) this.#source[after] = source;
      return after;
    }
    const head = this.#headOf(found, at);
    if (head < 0) return -1;
    this.#fillChain(head, source);
    const same = source - this.#firstBlock;
    if (same < 0 || same >= this.#blockCount || !this.#isEqual(same, found, at)) return head;
    if (!this.#isRun(same)) this.#source[same] = source;
    return same;
  }

  /** Gives every block with the digest of `head` this source, unless they have one: all have one or none has. */
  #fillChain(head: number, source: number): void {
    if (head < 0 || this.#source[head] !== nowhere) return;
    for (let index = head; index >= 0; index = (this.#next[index] ?? 0) - 1) this.#source[index] = source;
  }

  /** Whether block `index` is read on from the one before it. */
  #isRun(index: number): boolean {
    return index > 0 && this.#source[index] !== nowhere && this.#source[index] === (this.#source[index - 1] ?? 0) + 1;
  }

  #headOf(found: Uint32Array, at: number): number {
    return (this.#table[this.#slotOf(found, at)] ?? 0) - 1;
  }

  /** The place in the table for a digest: where it is, or where it would be. */
  #slotOf(words: Uint32Array, at: number): number {
    const mask = this.#table.length - 1;
    let slot = (words[at * digestWords] ?? 0) & mask;
    for (;;) {
      const head = (this.#table[slot] ?? 0) - 1;
      if (head < 0 || this.#isEqual(head, words, at)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isEqual(index: number, words: Uint32Array, at: number): boolean {
    const one = index * digestWords;
    const other = at * digestWords;
    return (
      this.#wanted[one] === words[other] &&
      this.#wanted[one + 1] === words[other + 1] &&
      this.#wanted[one + 2] === words[other + 2] &&
      this.#wanted[one + 3] === words[other + 3]
    );
  }

  #isZero(words: Uint32Array, at: number): boolean {
    const from = at * digestWords;
    return words[from] === 0 && words[from + 1] === 0 && words[from + 2] === 0 && words[from + 3] === 0;
  }
}
