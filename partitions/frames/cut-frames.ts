import { digestBlock, isZeroDigest } from '../block-index/block-digest.ts';
import { blockBytes } from '../block-index/layout.ts';

/** Cuts `source` into parts of exactly `sizeBytes`; the last one may be smaller, none is empty. Each has its own memory. */
export async function* cutEvenly(source: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(sizeBytes);
  let heldBytes = 0;
  for await (const bytes of source) {
    let at = 0;
    while (at < bytes.byteLength) {
      const part = bytes.subarray(at, at + sizeBytes - heldBytes);
      held.set(part, heldBytes);
      heldBytes += part.byteLength;
      at += part.byteLength;
      if (heldBytes === sizeBytes) {
        yield held;
        held = new Uint8Array(sizeBytes);
        heldBytes = 0;
      }
    }
  }
  if (heldBytes > 0) yield held.slice(0, heldBytes);
}

/** What a block is to who has an earlier image. */
type BlockClass = 'zero' | 'known' | 'new';

/** How frames are cut where an earlier image is known. */
export interface CutSizes {
  /** Frames of blocks that the earlier image has. */
  readonly knownBytes: number;
  /** Frames of new blocks, and of zeros: what is fetched or left out as a whole. */
  readonly largeBytes: number;
}

/** A run of another class is cut out from so many blocks on; a shorter one costs less inside. */
const apartFrom: Readonly<Record<BlockClass, Readonly<Record<BlockClass, number>>>> = {
  new: { new: Infinity, known: 3, zero: 3 },
  known: { new: 1, known: Infinity, zero: 16 },
  zero: { new: 1, known: 1, zero: Infinity },
};

/**
 * Cuts `source` into frames of whole blocks, the last one aside, so that new blocks do not share a frame with those that
 * an earlier image has: an update from it fetches large frames of new blocks and next to nothing else. `isKnown` is
 * asked with the digest of a block. Each frame has its own memory.
 */
export async function* cutByKnown(
  source: AsyncIterable<Uint8Array>,
  isKnown: (digest: Uint8Array) => boolean,
  { knownBytes, largeBytes }: CutSizes,
): AsyncGenerator<Uint8Array> {
  const held = new Uint8Array(Math.max(knownBytes, largeBytes));
  let heldBytes = 0;
  let heldClass: BlockClass = 'zero';
  /** What the frame ends with of other classes. */
  let tailBytes = 0;
  for await (const block of cutEvenly(source, blockBytes)) {
    const found = classOf(block, isKnown);
    if (heldBytes === 0) heldClass = found;
    held.set(block, heldBytes);
    heldBytes += block.byteLength;
    tailBytes = found === heldClass ? 0 : tailBytes + block.byteLength;
    if (found !== heldClass && tailBytes >= apartFrom[heldClass][found] * blockBytes) {
      yield held.slice(0, heldBytes - tailBytes);
      held.copyWithin(0, heldBytes - tailBytes, heldBytes);
      heldBytes = tailBytes;
      heldClass = found;
      tailBytes = 0;
    }
    if (heldBytes >= (heldClass === 'known' ? knownBytes : largeBytes)) {
      yield held.slice(0, heldBytes);
      heldBytes = 0;
      tailBytes = 0;
    }
  }
  if (heldBytes > 0) yield held.slice(0, heldBytes);
}

function classOf(block: Uint8Array, isKnown: (digest: Uint8Array) => boolean): BlockClass {
  const digest = digestBlock(block);
  if (isZeroDigest(digest, 0)) return 'zero';
  return isKnown(digest) ? 'known' : 'new';
}
