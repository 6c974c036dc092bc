import { hash } from 'node:crypto';
import { blockBytes, digestBytes } from './layout.ts';

const zeroBlock = Buffer.alloc(blockBytes);

/**
 * The digests of the blocks of `content`, 16 bytes each, one after the other; 16 zeros for a block of zeros. A last part
 * of a block is filled up with zeros.
 */
export function digestBlocks(content: Uint8Array): Uint8Array {
  const digests = new Uint8Array(Math.ceil(content.byteLength / blockBytes) * digestBytes);
  for (let at = 0, to = 0; at < content.byteLength; at += blockBytes, to += digestBytes) {
    digests.set(digestBlock(content.subarray(at, at + blockBytes)), to);
  }
  return digests;
}

/** The digest of one block, as `digestBlocks` gives it. */
export function digestBlock(block: Uint8Array): Uint8Array {
  let whole = block;
  if (block.byteLength < blockBytes) {
    whole = new Uint8Array(blockBytes);
    whole.set(block);
  }
  if (zeroBlock.equals(whole)) return new Uint8Array(digestBytes);
  return hash('sha256', whole, 'buffer').subarray(0, digestBytes);
}

/** Whether the digest at `at` of `digests` is that of a block of zeros. */
export function isZeroDigest(digests: Uint8Array, at: number): boolean {
  for (let index = 0; index < digestBytes; index += 1) {
    if (digests[at + index] !== 0) return false;
  }
  return true;
}
