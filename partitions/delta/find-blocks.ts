import { digestBytes } from '../block-index/layout.ts';
import { BlockMatcher } from './block-matcher.ts';
import type { DigestSource } from './digest-source.ts';
import { ExtentList } from './extent-list.ts';

/** 2 GiB of content: 13 to 20 MiB of memory, and one pass over the booted slot's digests for each. */
export const defaultWindowBlocks = 2 ** 19;

/**
 * What becomes of each block of an image, by the digests alone: kept where it is in place, copied where the booted slot
 * has it, fetched otherwise. `inPlace` and `booted` are hints: whoever keeps or copies a block hashes it first. Works
 * window by window, so that memory does not grow with the image but for the extents. Rejects with the sources' errors.
 */
export async function findBlocks(
  wanted: DigestSource,
  inPlace: DigestSource | undefined,
  booted: DigestSource | undefined,
  windowBlocks = defaultWindowBlocks,
): Promise<ExtentList> {
  const extents = new ExtentList();
  const window = new Uint8Array(Math.min(windowBlocks, wanted.blockCount) * digestBytes);
  for (let firstBlock = 0; firstBlock < wanted.blockCount; firstBlock += windowBlocks) {
    const blockCount = Math.min(windowBlocks, wanted.blockCount - firstBlock);
    let at = 0;
    for await (const digests of wanted.read(firstBlock, blockCount)) {
      window.set(digests, at);
      at += digests.byteLength;
    }
    const matcher = new BlockMatcher(firstBlock, window.subarray(0, blockCount * digestBytes));
    await offer(inPlace, firstBlock, blockCount, (block, digests) => matcher.offerInPlace(block, digests));
    await offer(booted, 0, booted?.blockCount ?? 0, (block, digests) => matcher.offerBooted(block, digests));
    matcher.finish(extents);
  }
  return extents;
}

async function offer(
  source: DigestSource | undefined,
  firstBlock: number,
  blockCount: number,
  take: (firstBlock: number, digests: Uint8Array) => void,
): Promise<void> {
  if (source === undefined) return;
  let block = firstBlock;
  const count = Math.min(blockCount, Math.max(0, source.blockCount - firstBlock));
  for await (const digests of source.read(firstBlock, count)) {
    take(block, digests);
    block += digests.byteLength / digestBytes;
  }
}
