import type { BlockDevice } from './block-device.ts';
import type { BodyJobs } from './body-jobs.ts';
import { ContentDigest } from './content-digest.ts';
import { PartitionError } from './errors.ts';
import type { FrameSet } from './frame-set.ts';
import type { FrameTable } from './frame-table.ts';
import type { Frame } from './frames/frame.ts';
import type { FrameWorkers } from './frames/frame-workers.ts';
import type { ArenaSlot, SharedArena } from './shared-arena.ts';

/** What is read and hashed with. */
export interface ReadBackParts {
  readonly name: string;
  readonly device: BlockDevice;
  readonly arena: SharedArena;
  readonly jobs: BodyJobs;
  readonly workers: FrameWorkers;
  /** Hears of each part that was read. */
  readonly onRead: (sizeBytes: number) => void;
}

/** Reads the aligned bytes that hold `sizeBytes` from `offset`, a multiple of a block, into the content of `slot`. */
export async function readInto(device: BlockDevice, slot: ArenaSlot, offset: number, sizeBytes: number): Promise<void> {
  const alignedBytes = Math.ceil(sizeBytes / device.alignmentBytes) * device.alignmentBytes;
  await device.read(slot.view(offset, alignedBytes), offset);
}

/**
 * The digest (algorithm of `like`, else sha256) of the first `sizeBytes` of a device, read from the device. Several reads are under
 * way while a worker hashes. Rejects with `slot-write-failed`.
 */
export async function readBackDigest(
  parts: ReadBackParts,
  sizeBytes: number,
  like: string | undefined,
): Promise<string> {
  const { device, arena, jobs, workers, onRead } = parts;
  const digest = new ContentDigest(workers, `read-back ${parts.name}`, like);
  const partBytes = arena.plan.contentBytes;
  for (let offset = 0; offset < sizeBytes; offset += partBytes) {
    const slot = await jobs.take();
    const wantedBytes = Math.min(partBytes, sizeBytes - offset);
    const read = readInto(device, slot, offset, wantedBytes);
    const hashed = digest.add(read.then(() => ({ at: slot.outputAt(offset), sizeBytes: wantedBytes })));
    jobs.start(slot, async () => {
      await hashed;
      onRead(wantedBytes);
    });
  }
  await jobs.settle();
  jobs.throwFailure();
  return digest.finish();
}

/**
 * Reads the frames of `which` (all of them, unless told) from the device and compares each with its signed digest, or
 * with zeros. Resolves to those that are not what they should be. Rejects with `slot-write-failed`.
 */
export async function checkFrames(
  parts: ReadBackParts,
  table: FrameTable,
  which?: FrameSet,
): Promise<readonly number[]> {
  const { device, arena, jobs, workers, onRead } = parts;
  const wrong: number[] = [];
  for (let first = 0; first < table.count;) {
    if (which?.has(first) === false) {
      first += 1;
      continue;
    }
    const { contentOffsetBytes: offset } = table.frame(first);
    const frames: Frame[] = [];
    let sizeBytes = 0;
    for (; first < table.count && which?.has(first) !== false; first += 1) {
      const frame = table.frame(first);
      if (frames.length > 0 && sizeBytes + frame.contentSizeBytes > arena.plan.contentBytes) break;
      frames.push(frame);
      sizeBytes += frame.contentSizeBytes;
    }
    const slot = await jobs.take();
    jobs.start(slot, async () => {
      await readInto(device, slot, offset, sizeBytes);
      for (let left: readonly Frame[] = frames; left.length > 0;) {
        const { mismatch } = await workers.run({
          kind: 'check',
          parts: left.map(({ contentOffsetBytes, contentSizeBytes }) => ({
            at: slot.outputAt(offset) + contentOffsetBytes - offset,
            sizeBytes: contentSizeBytes,
          })),
          digests: Buffer.concat(left.map((frame) => (frame.isZero ? zeroMark : frame.sha256))),
        });
        if (mismatch === undefined) break;
        wrong.push(left[mismatch]?.index ?? 0);
        left = left.slice(mismatch + 1);
      }
      onRead(sizeBytes);
    });
  }
  await jobs.settle();
  jobs.throwFailure();
  return wrong;
}

const zeroMark = new Uint8Array(32);

/** The error for a device that gives back something else than was signed. */
export function readBackMismatch(name: string, details: Readonly<Record<string, unknown>>): PartitionError {
  return new PartitionError(
    'slot-verify-failed',
    `cannot verify partition ${name}: the device does not give back what was signed`,
    { details: { partition: name, ...details } },
  );
}
