/** What becomes of a run of blocks. */
export type ExtentKind =
  /** Zeros: nothing is fetched or read. */
  | 'zero'
  /** It is in place in the inactive slot already, if its hash agrees. */
  | 'keep'
  /** It is read from the booted slot, from `sourceBlock` on, if its hash agrees. */
  | 'copy'
  /** It comes with the frames that hold it. */
  | 'fetch';

/** A run of blocks of the image. */
export interface Extent {
  readonly kind: ExtentKind;
  readonly block: number;
  readonly blockCount: number;
  /** Where it begins in the booted slot; 0 for all but copies. */
  readonly sourceBlock: number;
}

const kinds: readonly ExtentKind[] = ['zero', 'keep', 'copy', 'fetch'];

/** Extents in order and without gaps, from block 0 on. Memory: 9 bytes an extent, and no object for one. */
export class ExtentList {
  #length = 0;
  #blockCount = 0;
  #blocks = new Uint32Array(64);
  #sources = new Uint32Array(64);
  #kinds = new Uint8Array(64);
  readonly #blocksOf = new Map<ExtentKind, number>();

  get length(): number {
    return this.#length;
  }

  /** All blocks together. */
  get blockCount(): number {
    return this.#blockCount;
  }

  /** How many blocks are of one kind. */
  blocksOf(kind: ExtentKind): number {
    return this.#blocksOf.get(kind) ?? 0;
  }

  /** Adds the next blocks; they join the last extent where they go on from it. */
  push(kind: ExtentKind, blockCount: number, sourceBlock = 0): void {
    if (blockCount === 0) return;
    if (!this.#goesOn(kind, sourceBlock)) {
      if (this.#length === this.#blocks.length) this.#grow();
      this.#blocks[this.#length] = this.#blockCount;
      this.#sources[this.#length] = sourceBlock;
      this.#kinds[this.#length] = kinds.indexOf(kind);
      this.#length += 1;
    }
    this.#blockCount += blockCount;
    this.#blocksOf.set(kind, this.blocksOf(kind) + blockCount);
  }

  /** Extent `index`, from 0 to `length` - 1. Throws a `RangeError` for another. */
  at(index: number): Extent {
    const block = index < this.#length ? this.#blocks[index] : undefined;
    const kind = kinds[this.#kinds[index] ?? 0];
    if (block === undefined || kind === undefined) {
      throw new RangeError(`cannot use extent ${index}: there are ${this.#length}`);
    }
    const end = index + 1 < this.#length ? (this.#blocks[index + 1] ?? 0) : this.#blockCount;
    return { kind, block, blockCount: end - block, sourceBlock: this.#sources[index] ?? 0 };
  }

  *[Symbol.iterator](): Generator<Extent> {
    for (let index = 0; index < this.#length; index += 1) yield this.at(index);
  }

  #goesOn(kind: ExtentKind, sourceBlock: number): boolean {
    if (this.#length === 0) return false;
    const last = this.at(this.#length - 1);
    return last.kind === kind && (kind !== 'copy' || last.sourceBlock + last.blockCount === sourceBlock);
  }

  #grow(): void {
    const grown = <T extends Uint32Array | Uint8Array>(from: T, into: T): T => {
      into.set(from);
      return into;
    };
    this.#blocks = grown(this.#blocks, new Uint32Array(this.#length * 2));
    this.#sources = grown(this.#sources, new Uint32Array(this.#length * 2));
    this.#kinds = grown(this.#kinds, new Uint8Array(this.#length * 2));
  }
}
