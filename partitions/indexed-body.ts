import type { BodyJobs } from './body-jobs.ts';
import { PartitionError } from './errors.ts';
import { FrameBatch } from './frame-batch.ts';
import type { FrameSet } from './frame-set.ts';
import type { FrameTable } from './frame-table.ts';
import type { Frame } from './frames/frame.ts';
import type { FrameWorkers } from './frames/frame-workers.ts';
import type { PartitionWriter } from './partition-writer.ts';
import { rangesOfFrames } from './plan-reads.ts';
import { RangeCutter } from './range-cutter.ts';
import type { ArenaPlan } from './shared-arena.ts';
import type { LayerSource } from './slot-writer.ts';

/** Longest run of zeros at once: between two runs a failure or the caller may end it. */
const zeroRunBytes = 64 * 1024 * 1024;

/** What frames pass through on their way to the device. */
export interface IndexedBodyParts {
  readonly name: string;
  readonly table: FrameTable;
  /** Frames that are on the device, with the right content; those that come are added when the device has taken them. */
  readonly done: FrameSet;
  readonly writer: PartitionWriter;
  readonly jobs: BodyJobs;
  readonly plan: ArenaPlan;
  readonly workers: FrameWorkers;
  readonly onFetched: (sizeBytes: number) => void;
  /** Hears of content that the device has taken. */
  readonly onPlaced: (sizeBytes: number) => void;
}

/** The body of a partition by its block index: only what is not there is fetched, and each frame is proven before its write. */
export class IndexedBody {
  readonly #parts: IndexedBodyParts;
  #batch: { readonly frames: FrameBatch; readonly first: number } | undefined;

  constructor(parts: IndexedBodyParts) {
    this.#parts = parts;
  }

  /**
   * Fetches the missing frames from `layers`. Resolves when the last job has begun. Rejects with `digest-mismatch`,
   * `layer-corrupt`, `download-truncated`, what a job failed of, or the error of `layers`.
   */
  async run(layerDigest: string, layers: LayerSource): Promise<void> {
    const { jobs } = this.#parts;
    try {
      jobs.watch(this.#zeroFrames());
      const ranges = rangesOfFrames(this.#wanted());
      if (ranges.length === 0) return;
      const cutter = new RangeCutter(layers(layerDigest, ranges), ranges, this.#parts.onFetched);
      try {
        for (const frame of this.#wanted()) await this.#takeFrame(frame, cutter);
        await cutter.finish();
      } finally {
        await cutter.close();
      }
      this.#submit();
    } catch (error) {
      // Whole frames that came are written all the same: over a link that drops again and again each run has to get on.
      if (this.#batch !== undefined && this.#batch.frames.frameCount > 0) this.#submit();
      throw error;
    } finally {
      if (this.#batch !== undefined) this.#parts.jobs.drop(this.#batch.frames.slot);
    }
  }

  *#wanted(): Generator<Frame> {
    const { table, done } = this.#parts;
    for (const frame of table.frames()) if (!frame.isZero && !done.has(frame.index)) yield frame;
  }

  /** Zeros need no fetching, and the device makes them faster in long runs. */
  async #zeroFrames(): Promise<void> {
    const { table, done, jobs, writer, onPlaced } = this.#parts;
    let run: Frame[] = [];
    let sizeBytes = 0;
    const zeroRun = async () => {
      const first = run[0];
      if (first === undefined) return;
      jobs.throwFailure();
      await writer.zero(first.contentOffsetBytes, sizeBytes);
      for (const { index } of run) done.add(index);
      onPlaced(sizeBytes);
      run = [];
      sizeBytes = 0;
    };
    for (const frame of table.frames()) {
      const isWanted = frame.isZero && !done.has(frame.index);
      if (isWanted) {
        run.push(frame);
        sizeBytes += frame.contentSizeBytes;
      }
      if (!isWanted || sizeBytes >= zeroRunBytes) await zeroRun();
    }
    await zeroRun();
  }

  async #takeFrame(frame: Frame, cutter: RangeCutter): Promise<void> {
    const { jobs, plan } = this.#parts;
    const { contentOffsetBytes, contentSizeBytes, compressedSizeBytes } = frame;
    const takes = this.#batch?.frames.takes(compressedSizeBytes, contentOffsetBytes, contentSizeBytes);
    if (takes === false) this.#submit();
    this.#batch ??= { frames: new FrameBatch(await jobs.take(), plan, contentOffsetBytes), first: frame.index };
    const { frames } = this.#batch;
    await cutter.read(frame.compressedOffsetBytes, frames.room(0, compressedSizeBytes));
    frames.add(compressedSizeBytes, contentSizeBytes, frame.sha256);
  }

  #submit(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) return;
    const { name, jobs, workers, writer, done, onPlaced } = this.#parts;
    const { first, frames } = batch;
    const { slot, contentOffset, contentBytes, frameCount } = frames;
    jobs.start(slot, async () => {
      const { mismatch, isZero = false } = await workers.run(frames.task());
      if (mismatch !== undefined) {
        throw new PartitionError(
          'digest-mismatch',
          `cannot write partition ${name}: frame ${first + mismatch} does not have its signed digest`,
          { details: { partition: name, frame: first + mismatch } },
        );
      }
      if (isZero) await writer.zero(contentOffset, contentBytes);
      else await writer.place(contentOffset, slot.view(contentOffset, contentBytes), slot.input);
      for (let index = first; index < first + frameCount; index += 1) done.add(index);
      onPlaced(contentBytes);
    });
  }
}
