import type { Random } from '../../agent/core/ports.ts';

/** Repeatable randomness: the same seed gives the same fractions and ids. */
export class SeededRandom implements Random {
  #state: number;
  #ids = 0;

  constructor(seed = 1) {
    this.#state = seed >>> 0;
  }

  /** A Weyl sequence through a 32-bit mixer: even enough for jitter and for choosing faults. */
  fraction(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, `limit`). */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  id(): string {
    this.#ids += 1;
    return `id-${this.#ids.toString().padStart(4, '0')}`;
  }
}
