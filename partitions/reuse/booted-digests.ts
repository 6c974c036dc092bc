import { SegmentCutter } from '../block-index/cut-segments.ts';
import { digestBytes } from '../block-index/layout.ts';
import type { BlockHasher } from './block-hasher.ts';
import type { DigestSource } from '../delta/digest-source.ts';
import { asHint } from './hint-failure.ts';
import type { SegmentTable } from './known-segments.ts';

/** So many places of a device are looked at before all of it is: 32 MiB, */
const sampleCount = 16;
const sampleBlocks = 512;
/** of whose blocks so many may be other than a list says. */
const toleratedShare = 1 / 4;

/** Where to look in `blockCount` blocks: all of them, or samples at even distances. */
function* places(blockCount: number): Generator<{ readonly block: number; readonly count: number }> {
  if (blockCount <= sampleCount * sampleBlocks) {
    if (blockCount > 0) yield { block: 0, count: blockCount };
    return;
  }
  const distance = Math.floor((blockCount - sampleBlocks) / (sampleCount - 1));
  for (let index = 0; index < sampleCount; index += 1) yield { block: index * distance, count: sampleBlocks };
}

/**
 * Whether a device holds what `list` says, by samples. A list may be of what the slot held before another program wrote
 * it: no harm comes from that, but what could be found would not be. Rejects with a `HintFailure`.
 */
export async function agreesWith(
  list: DigestSource,
  hasher: Pick<BlockHasher, 'blockCount' | 'hash'>,
): Promise<boolean> {
  let lookedAt = 0;
  let different = 0;
  for (const { block, count } of places(Math.min(list.blockCount, hasher.blockCount))) {
    const listed = await asHint(() => collect(list.read(block, count), count));
    const found = await collect(hasher.hash(block, count), count);
    for (let at = 0; at < found.byteLength; at += digestBytes) {
      if (Buffer.compare(listed.subarray(at, at + digestBytes), found.subarray(at, at + digestBytes)) !== 0)
        different += 1;
    }
    lookedAt += count;
  }
  return different <= lookedAt * toleratedShare;
}

/**
 * Whether a device seems to hold anything of the image, by the segments that are found in samples of it: those of
 * another system are not worth to be read as a whole. Rejects with a `HintFailure`.
 */
export async function hasSegmentsOf(segments: SegmentTable, hasher: BlockHasher): Promise<boolean> {
  for (const { block, count } of places(hasher.blockCount)) {
    const cutter = new SegmentCutter();
    const cuts = [...cutter.push(await collect(hasher.hash(block, count), count)), ...cutter.finish()];
    if (cuts.some(({ digest }) => digest !== undefined && segments.has(digest))) return true;
  }
  return false;
}

async function collect(source: AsyncIterable<Uint8Array>, blockCount: number): Promise<Uint8Array> {
  const digests = new Uint8Array(blockCount * digestBytes);
  let at = 0;
  for await (const part of source) {
    digests.set(part, at);
    at += part.byteLength;
  }
  return digests;
}
