import type { BlockDevice } from '../block-device.ts';
import { blockBytes } from '../block-index/layout.ts';
import type { BodyJobs } from '../body-jobs.ts';
import type { FrameTable } from '../frame-table.ts';
import type { Frame } from '../frames/frame.ts';
import { copyReads, defaultReadCosts } from '../plan-reads.ts';
import type { ArenaPlan, ArenaSlot } from '../shared-arena.ts';
import type { Extent, ExtentList } from '../delta/extent-list.ts';
import { asHint, HintFailure } from './hint-failure.ts';
import { type ProvenFramesParts, writeProvenFrames } from './proven-frames.ts';

/** What found frames pass through on their way to the device. */
export interface FoundFramesParts extends ProvenFramesParts {
  readonly table: FrameTable;
  readonly booted: BlockDevice;
  readonly jobs: BodyJobs;
  readonly plan: ArenaPlan;
}

/** Frames of one stretch of the image, and where their blocks are. */
interface Batch {
  readonly frames: Frame[];
  readonly extents: Extent[];
}

/**
 * Writes the frames whose blocks are all found in the booted slot, by what `extents` say: each is put together in memory,
 * and reaches the device only with its signed digest. One that has another is not written: the hint lied, or the slot
 * changed since. Resolves when all is done. Rejects with a `HintFailure` when the booted slot cannot be read, or what a
 * job failed of.
 */
export async function writeFoundFrames(parts: FoundFramesParts, extents: ExtentList): Promise<void> {
  const { jobs } = parts;
  const failures: HintFailure[] = [];
  for (const batch of batches(parts, extents)) {
    if (failures.length > 0) break;
    const slot = await jobs.take();
    jobs.start(slot, async () => {
      try {
        await writeBatch(parts, slot, batch);
      } catch (error) {
        if (!(error instanceof HintFailure)) throw error;
        failures.push(error);
      }
    });
  }
  await jobs.settle();
  jobs.throwFailure();
  if (failures[0] !== undefined) throw failures[0];
}

/** As many found frames as fit into one slot, by where they belong. */
function* batches({ table, done, plan }: FoundFramesParts, extents: ExtentList): Generator<Batch> {
  let batch: Batch = { frames: [], extents: [] };
  let next = 0;
  for (const frame of table.frames()) {
    const first = frame.contentOffsetBytes / blockBytes;
    const end = Math.ceil((frame.contentOffsetBytes + frame.contentSizeBytes) / blockBytes);
    while (next < extents.length && endOf(extents.at(next)) <= first) next += 1;
    if (frame.isZero || done.has(frame.index)) continue;
    const found = within(extents, next, first, end);
    if (found === undefined) continue;
    const start = batch.frames[0]?.contentOffsetBytes ?? frame.contentOffsetBytes;
    if (frame.contentOffsetBytes + frame.contentSizeBytes - start > plan.contentBytes) {
      yield batch;
      batch = { frames: [], extents: [] };
    }
    batch.frames.push(frame);
    batch.extents.push(...found);
  }
  if (batch.frames.length > 0) yield batch;
}

/** The parts of extents `from` and on that lie between two blocks, or `undefined` where one of them is to be fetched. */
function within(extents: ExtentList, from: number, first: number, end: number): readonly Extent[] | undefined {
  const found: Extent[] = [];
  for (let index = from; index < extents.length; index += 1) {
    const extent = extents.at(index);
    if (extent.block >= end) break;
    if (extent.kind !== 'zero' && extent.kind !== 'copy') return undefined;
    const block = Math.max(extent.block, first);
    const blockCount = Math.min(endOf(extent), end) - block;
    found.push({ kind: extent.kind, block, blockCount, sourceBlock: extent.sourceBlock + block - extent.block });
  }
  return found;
}

const endOf = ({ block, blockCount }: Extent): number => block + blockCount;

async function writeBatch(parts: FoundFramesParts, slot: ArenaSlot, { frames, extents }: Batch): Promise<void> {
  const { booted, plan } = parts;
  const offset = frames[0]?.contentOffsetBytes ?? 0;
  const content = slot.view(offset, Math.ceil(plan.contentBytes / blockBytes) * blockBytes);
  const at = (block: number) => block * blockBytes - offset;
  for (const { kind, block, blockCount } of extents) {
    if (kind === 'zero') content.fill(0, at(block), at(block + blockCount));
  }
  const readBlocks = Math.floor(plan.contentBytes / blockBytes);
  for (const { sourceBlock, blockCount, pieces } of copyReads(extents, { ...defaultReadCosts, readBlocks })) {
    // What a block is compressed to may need more room than it, so that the input holds any content.
    const read = slot.input.subarray(0, blockCount * blockBytes);
    await asHint(() => booted.read(read, sourceBlock * blockBytes));
    for (const piece of pieces) {
      const from = (piece.sourceBlock - sourceBlock) * blockBytes;
      content.set(read.subarray(from, from + piece.blockCount * blockBytes), at(piece.block));
    }
  }
  await writeProvenFrames(
    parts,
    slot,
    frames.map((frame) => ({
      frame,
      at: content.byteOffset - slot.output.byteOffset + frame.contentOffsetBytes - offset,
    })),
  );
}
