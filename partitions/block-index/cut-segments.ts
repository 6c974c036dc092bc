import { hash } from 'node:crypto';
import { isZeroDigest } from './block-digest.ts';
import { digestBytes, indexLimits } from './layout.ts';

/** A segment as its encoder lists it; `digests` and `digest` are `undefined` for blocks of zeros. */
export interface CutSegment {
  readonly blockCount: number;
  readonly digests: Uint8Array | undefined;
  readonly digest: Uint8Array | undefined;
}

/** Where segments end. Readers take any cut, so that these may change. */
export interface CutRule {
  /** A segment has at least so many blocks, unless zeros or the end cut it. */
  readonly minBlocks: number;
  /** Of so many digests, a power of two, one ends a segment. */
  readonly everyBlocks: number;
  readonly maxBlocks: number;
  /** So many blocks of zeros in a row are a segment of their own. */
  readonly zeroRunBlocks: number;
}

/** Chosen on pairs of Debian images: see README. */
export const defaultCutRule: CutRule = { minBlocks: 16, everyBlocks: 64, maxBlocks: 512, zeroRunBlocks: 4 };

/**
 * Cuts the digests of an image's blocks, pushed in order, into segments. A segment ends behind a digest whose first
 * bytes say so: SHA-256 spreads those evenly, and the same blocks at another place are cut in the same way.
 */
export class SegmentCutter {
  readonly #rule: CutRule;
  readonly #open: Uint8Array;
  #openBlocks = 0;
  #zeroBlocks = 0;

  constructor(rule: CutRule = defaultCutRule) {
    this.#rule = rule;
    this.#open = new Uint8Array(Math.min(rule.maxBlocks, indexLimits.segmentBlocks) * digestBytes);
  }

  /** Takes the digests of the next blocks. */
  *push(digests: Uint8Array): Generator<CutSegment> {
    for (let at = 0; at < digests.byteLength; at += digestBytes) {
      if (isZeroDigest(digests, at)) {
        this.#zeroBlocks += 1;
        continue;
      }
      if (this.#zeroBlocks > 0) yield* this.#placeZeros();
      this.#open.set(digests.subarray(at, at + digestBytes), this.#openBlocks * digestBytes);
      this.#openBlocks += 1;
      if (this.#isEnd(digests, at)) yield* this.#close();
    }
  }

  /** Gives what is left; nothing may be pushed after it. */
  *finish(): Generator<CutSegment> {
    yield* this.#close();
    yield* this.#closeZeros();
  }

  #isEnd(digests: Uint8Array, at: number): boolean {
    const { minBlocks, everyBlocks } = this.#rule;
    if ((this.#openBlocks + 1) * digestBytes > this.#open.byteLength) return true;
    const word = (digests[at] ?? 0) | ((digests[at + 1] ?? 0) << 8);
    return this.#openBlocks >= minBlocks && word % everyBlocks === 0;
  }

  /** A few zeros stay inside the segment, as one cut costs more than they do. */
  *#placeZeros(): Generator<CutSegment> {
    const isShort = this.#zeroBlocks < this.#rule.zeroRunBlocks;
    const fits = (this.#openBlocks + this.#zeroBlocks + 1) * digestBytes <= this.#open.byteLength;
    if (isShort && fits && this.#openBlocks > 0) {
      const from = this.#openBlocks * digestBytes;
      this.#open.fill(0, from, from + this.#zeroBlocks * digestBytes);
      this.#openBlocks += this.#zeroBlocks;
      this.#zeroBlocks = 0;
      return;
    }
    yield* this.#close();
    yield* this.#closeZeros();
  }

  *#close(): Generator<CutSegment> {
    if (this.#openBlocks === 0) return;
    const digests = this.#open.slice(0, this.#openBlocks * digestBytes);
    yield { blockCount: this.#openBlocks, digests, digest: digestOfSegment(digests) };
    this.#openBlocks = 0;
  }

  *#closeZeros(): Generator<CutSegment> {
    while (this.#zeroBlocks > 0) {
      const blockCount = Math.min(this.#zeroBlocks, indexLimits.segmentBlocks);
      yield { blockCount, digests: undefined, digest: undefined };
      this.#zeroBlocks -= blockCount;
    }
  }
}

/** What the head keeps of a segment's digests. */
export function digestOfSegment(digests: Uint8Array): Uint8Array {
  return hash('sha256', digests, 'buffer').subarray(0, digestBytes);
}
