import { blockBytes } from '../block-index/layout.ts';

/** So many bytes decide whether a place is an anchor, and what its key is. */
export const anchorBytes = 32;
/** Of so many places one is an anchor, up to 1 GiB; of more content fewer are, so that a table does not grow with it. */
const spacingBits = 9;
const contentOfSpacing = 2 ** 30;
/** Anchors nearer to the last one are passed over: a run of one byte may be nothing but anchors. */
const distanceBytes = 64;

/** A word for each byte value, spread by a fixed generator: the same content has the same anchors everywhere. */
const words = Uint32Array.from({ length: 256 }, (_, value) => mix(mix(value + 1) ^ 0x9e3779b9));

function mix(value: number): number {
  let word = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  word = Math.imul(word ^ (word >>> 15), 0x846ca68b);
  return (word ^ (word >>> 16)) >>> 0;
}

/**
 * Calls `onAnchor` with key and end of each anchor of `content`. A rolling hash of the last 32 bytes picks them, so that
 * content that moved has the same ones.
 */
export function findAnchors(content: Uint8Array, spacing: number, onAnchor: (key: number, end: number) => void): void {
  const shift = 32 - spacing;
  let hash = 0;
  let last = -distanceBytes;
  for (let at = 0; at < content.byteLength; at += 1) {
    // Each byte is shifted out after 32 steps.
    hash = ((hash << 1) + (words[content[at] ?? 0] ?? 0)) | 0;
    if (hash >>> shift !== 0 || at < anchorBytes - 1 || at - last < distanceBytes) continue;
    last = at;
    onAnchor(keyAt(content, at + 1 - anchorBytes), at + 1);
  }
}

/** A word of the 32 bytes from `from` on; never 0. */
function keyAt(content: Uint8Array, from: number): number {
  let key = 0;
  for (let at = from; at < from + anchorBytes; at += 1)
    key = Math.imul(key ^ (content[at] ?? 0), 0x01000193) ^ (key >>> 15);
  return mix(key) | 1;
}

/** Where the anchors of an earlier image lie, by their keys. Memory: 16 to 32 MiB a GiB of content, and not more than 64. */
export class AnchorTable {
  readonly spacing: number;
  readonly #keys: Int32Array;
  /** The block in which an anchor ends. */
  readonly #blocks: Uint32Array;

  /** For `sizeBytes` of content. */
  constructor(sizeBytes: number) {
    this.spacing = spacingBits + Math.max(0, Math.ceil(Math.log2(sizeBytes / contentOfSpacing)));
    const expected = sizeBytes / 2 ** this.spacing;
    const length = 2 ** Math.ceil(Math.log2(Math.max(1024, expected * 2)));
    this.#keys = new Int32Array(length);
    this.#blocks = new Uint32Array(length);
  }

  /** Adds the anchors of content that begins at `offset`. Of equal ones the first stays. */
  add(content: Uint8Array, offset: number): void {
    findAnchors(content, this.spacing, (key, end) => {
      const slot = this.#slotOf(key);
      if (slot === undefined || this.#keys[slot] === key) return;
      this.#keys[slot] = key;
      this.#blocks[slot] = Math.floor((offset + end - 1) / blockBytes);
    });
  }

  /** The block that holds an anchor, or `undefined`. */
  find(key: number): number | undefined {
    const slot = this.#slotOf(key);
    return slot !== undefined && this.#keys[slot] === key ? this.#blocks[slot] : undefined;
  }

  /** Where a key is, or would be; `undefined` where its neighbourhood is full. */
  #slotOf(key: number): number | undefined {
    const mask = this.#keys.length - 1;
    for (let step = 0, slot = (key >>> 1) & mask; step < 64; step += 1, slot = (slot + 1) & mask) {
      if (this.#keys[slot] === 0 || this.#keys[slot] === key) return slot;
    }
    return undefined;
  }
}
