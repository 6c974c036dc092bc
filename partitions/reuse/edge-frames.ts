import { blockBytes } from '../block-index/layout.ts';
import type { FrameTable } from '../frame-table.ts';
import type { Frame } from '../frames/frame.ts';
import type { PartitionWriter } from '../partition-writer.ts';
import { type ReadBackParts, readInto } from '../read-back.ts';
import { asHint } from './hint-failure.ts';

/**
 * The frame with the first block, which is zero until all else is durable, and one that ends inside a block: what lies
 * behind it there is in no digest. What the device holds of them does not outlast the write.
 */
export function edgeFramesOf(table: FrameTable): readonly number[] {
  return table.endsInBlock && table.count > 1 ? [0, table.count - 1] : [0];
}

/**
 * Finds which edge frames are on the device with their signed digests, and gives those of their blocks that the write
 * destroys to `writer`, which writes them in their turn. To be called before anything is zeroed. Rejects with a
 * `HintFailure` when the device cannot be read.
 */
export async function takeEdgeFrames(
  parts: ReadBackParts,
  table: FrameTable,
  writer: PartitionWriter,
): Promise<readonly Frame[]> {
  const { device, jobs, workers, onRead } = parts;
  const taken: Frame[] = [];
  for (const frame of edgeFramesOf(table).map((index) => table.frame(index))) {
    const { contentOffsetBytes: offset, contentSizeBytes: sizeBytes, isZero, sha256 } = frame;
    if (isZero) continue;
    const slot = await jobs.take();
    try {
      await asHint(() => readInto(device, slot, offset, sizeBytes));
      const found = [{ at: slot.outputAt(offset), sizeBytes }];
      const { mismatch } = await workers.run({ kind: 'check', parts: found, digests: sha256 });
      onRead(sizeBytes);
      if (mismatch !== undefined) continue;
      const content = slot.view(offset, sizeBytes);
      for (const { from, to } of lostParts(table, frame)) {
        await writer.place(from, content.subarray(from - offset, to - offset), slot.input);
      }
      taken.push(frame);
    } finally {
      jobs.drop(slot);
    }
  }
  return taken;
}

/** The first block, and the content of a cut last one: neither is more than a block, so that nothing is written yet. */
function* lostParts(table: FrameTable, { contentOffsetBytes, contentSizeBytes }: Frame) {
  const endBytes = contentOffsetBytes + contentSizeBytes;
  if (contentOffsetBytes === 0) yield { from: 0, to: Math.min(blockBytes, endBytes) };
  const cutAt = endBytes - (endBytes % blockBytes);
  if (endBytes === table.contentSizeBytes && cutAt > 0 && cutAt < endBytes) yield { from: cutAt, to: endBytes };
}
