import { blockBytes } from '../block-index/layout.ts';
import { type AnchorTable, findAnchors } from './anchors.ts';
import { patchLimits } from './layout.ts';
import type { BlockRange } from './patch-head.ts';

/** What changed lies between anchors that did not: gaps as long as that belong to it. */
const gapBlocks = 8;
const limitBlocks = patchLimits.dictionaryBytes / blockBytes;

interface Candidate extends BlockRange {
  readonly anchors: number;
}

/**
 * The blocks of an earlier image that are most like `content`, at most 4 MiB of them, in ranges that ascend: those that
 * share anchors with it, and what lies around and between them. `blockCount` is how many blocks there are.
 */
export function chooseBlocks(content: Uint8Array, table: AnchorTable, blockCount: number): readonly BlockRange[] {
  const anchorsOf = new Map<number, number>();
  findAnchors(content, table.spacing, (key) => {
    const block = table.find(key);
    if (block !== undefined) anchorsOf.set(block, (anchorsOf.get(block) ?? 0) + 1);
  });
  // The densest first: what shares much is worth more than what shares a word.
  const found = candidatesOf(anchorsOf, blockCount).toSorted(
    (one, other) =>
      other.anchors / other.blockCount - one.anchors / one.blockCount || one.firstBlock - other.firstBlock,
  );
  const chosen: BlockRange[] = [];
  let left = limitBlocks;
  for (const { firstBlock, blockCount: count } of found) {
    const taken = Math.min(count, left);
    if (taken > 0) chosen.push({ firstBlock, blockCount: taken });
    left -= taken;
  }
  return chosen.toSorted((one, other) => one.firstBlock - other.firstBlock);
}

/** Ranges around the blocks with anchors; near ones are one. */
function candidatesOf(anchorsOf: ReadonlyMap<number, number>, blockCount: number): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const [block, anchors] of [...anchorsOf].toSorted(([one], [other]) => one - other)) {
    const from = Math.max(0, block - 1);
    const to = Math.min(blockCount, block + 2);
    const last = candidates.at(-1);
    const lastEnd = last === undefined ? -Infinity : last.firstBlock + last.blockCount;
    if (last !== undefined && from - lastEnd <= gapBlocks && to - last.firstBlock <= limitBlocks) {
      candidates[candidates.length - 1] = {
        firstBlock: last.firstBlock,
        blockCount: Math.max(lastEnd, to) - last.firstBlock,
        anchors: last.anchors + anchors,
      };
    } else if (to > from) candidates.push({ firstBlock: from, blockCount: to - from, anchors });
  }
  return candidates;
}
