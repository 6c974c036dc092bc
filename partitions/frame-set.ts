/** A set of the frames of one partition, a bit each. */
export class FrameSet {
  readonly count: number;
  readonly #bits: Uint8Array;

  /** Of `count` frames; `bits` as `toBytes` gave them, else none is in it. */
  constructor(count: number, bits?: Uint8Array) {
    this.count = count;
    this.#bits = new Uint8Array(Math.ceil(count / 8));
    if (bits !== undefined) this.#bits.set(bits.subarray(0, this.#bits.byteLength));
  }

  has(index: number): boolean {
    return ((this.#bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  add(index: number): void {
    this.#bits[index >> 3] = (this.#bits[index >> 3] ?? 0) | (1 << (index & 7));
  }

  remove(index: number): void {
    this.#bits[index >> 3] = (this.#bits[index >> 3] ?? 0) & ~(1 << (index & 7));
  }

  /** A copy of the bits, those of the first frames first. */
  toBytes(): Uint8Array {
    return this.#bits.slice();
  }
}
