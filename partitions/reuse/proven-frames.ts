import type { FrameSet } from '../frame-set.ts';
import type { Frame } from '../frames/frame.ts';
import type { FrameWorkers } from '../frames/frame-workers.ts';
import type { PartitionWriter } from '../partition-writer.ts';
import type { ArenaSlot } from '../shared-arena.ts';

/** A frame whose content lies in a slot of the arena. */
export interface FrameInSlot {
  readonly frame: Frame;
  /** Where it begins in `output` of the slot. */
  readonly at: number;
}

/** What proven frames are written with. */
export interface ProvenFramesParts {
  /** Frames that are on the device; those that are proven are added when the device has taken them. */
  readonly done: FrameSet;
  readonly writer: PartitionWriter;
  readonly workers: FrameWorkers;
  /** Hears of content that the device has taken. */
  readonly onPlaced: (sizeBytes: number) => void;
}

/**
 * Writes those of `frames`, which ascend and lie in `slot` as their blocks want it, that have their signed digests, and
 * resolves to how many these are. The others are left as they were on the device. Uses the slot's input. Rejects with
 * `slot-write-failed`.
 */
export async function writeProvenFrames(
  { done, writer, workers, onPlaced }: ProvenFramesParts,
  slot: ArenaSlot,
  frames: readonly FrameInSlot[],
): Promise<number> {
  const proven = await provenOf(workers, slot, frames);
  for (const run of runsOf(proven)) {
    const first = run[0];
    if (first === undefined) continue;
    const sizeBytes = run.reduce((sum, { frame }) => sum + frame.contentSizeBytes, 0);
    await writer.place(
      first.frame.contentOffsetBytes,
      slot.output.subarray(first.at, first.at + sizeBytes),
      slot.input,
    );
    for (const { frame } of run) done.add(frame.index);
    onPlaced(sizeBytes);
  }
  return proven.length;
}

async function provenOf(
  workers: FrameWorkers,
  slot: ArenaSlot,
  frames: readonly FrameInSlot[],
): Promise<readonly FrameInSlot[]> {
  const found: FrameInSlot[] = [];
  for (let left = frames; left.length > 0;) {
    const { mismatch = left.length } = await workers.run({
      kind: 'check',
      parts: left.map(({ frame, at }) => ({ at: slot.outputAt(0) + at, sizeBytes: frame.contentSizeBytes })),
      digests: Buffer.concat(left.map(({ frame }) => frame.sha256)),
    });
    found.push(...left.slice(0, mismatch));
    left = left.slice(mismatch + 1);
  }
  return found;
}

/** Frames that follow one another, on the device and in memory, are written at once. */
function* runsOf(frames: readonly FrameInSlot[]): Generator<readonly FrameInSlot[]> {
  let run: FrameInSlot[] = [];
  for (const next of frames) {
    const last = run.at(-1);
    const follows =
      last !== undefined &&
      last.frame.index + 1 === next.frame.index &&
      last.at + last.frame.contentSizeBytes === next.at;
    if (run.length > 0 && !follows) {
      yield run;
      run = [];
    }
    run.push(next);
  }
  if (run.length > 0) yield run;
}
