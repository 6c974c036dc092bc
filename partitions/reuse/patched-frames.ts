import { promisify } from 'node:util';
import zlib from 'node:zlib';
import type { BlockDevice } from '../block-device.ts';
import { blockBytes } from '../block-index/layout.ts';
import type { IndexBytes } from '../block-index/part-reader.ts';
import type { BodyJobs } from '../body-jobs.ts';
import type { FrameTable } from '../frame-table.ts';
import { patchLimits } from '../patch/layout.ts';
import { parsePatchHead, type PatchRegion } from '../patch/patch-head.ts';
import { defaultReadCosts } from '../plan-reads.ts';
import { RangeCutter } from '../range-cutter.ts';
import type { ArenaPlan, ArenaSlot } from '../shared-arena.ts';
import type { ByteRange, PatchOffer } from '../slot-writer.ts';
import { asHint, HintFailure } from './hint-failure.ts';
import { fetchBytesOf, missingFrames } from './missing-frames.ts';
import { type FrameInSlot, type ProvenFramesParts, writeProvenFrames } from './proven-frames.ts';
import { payloadRanges, regionsWanted, wayCosts } from './way-costs.ts';

/** So much of a patch is fetched before it is looked at what came of it, */
const batchBytes = 4 * 1024 * 1024;
/** and after so many regions that give nothing, no more is. */
const failedRegionsLimit = 8;

const decompress = promisify(zlib.zstdDecompress);

/** What patched frames pass through on their way to the device. */
export interface PatchedFramesParts extends ProvenFramesParts {
  readonly offer: PatchOffer;
  /** Where bytes of the patch come from. */
  readonly bytes: IndexBytes;
  readonly table: FrameTable;
  readonly jobs: BodyJobs;
  readonly plan: ArenaPlan;
  /** The size of the layer that the frames come in otherwise. */
  readonly layerSizeBytes: number;
  /** What may still be fetched without coming to more than the whole image; of the patch, nothing is counted in it. */
  readonly spareBytes: () => number;
}

/**
 * Frames out of a patch and the booted slot. A patch is not trusted: all that it can do is to name blocks of the booted
 * slot and to be decoded within bounds, and a frame counts only with its signed SHA-256. What it does not give is left to
 * be fetched. Memory: 4 MiB for a dictionary, and as much in its decoder.
 */
export class PatchedFrames {
  readonly #parts: PatchedFramesParts;
  #fetchedBytes = 0;
  #failedRegions = 0;

  constructor(parts: PatchedFramesParts) {
    this.#parts = parts;
  }

  /** What was fetched of the patch. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /**
   * Writes the frames that are missing and that the patch gives, if it is the cheapest way to them. Rejects with a
   * `HintFailure` where it is not what it says, or its source fails; with `slot-write-failed`; or what a job failed of.
   */
  async run(booted: BlockDevice): Promise<void> {
    const { offer, table, done, plan, jobs, layerSizeBytes } = this.#parts;
    if (
      offer.headSizeBytes >
      Math.min(patchLimits.headBytes, this.#spareBytes(), fetchBytesOf(missingFrames(table, done)))
    )
      return;
    const head = await this.#readHead(offer.headSizeBytes);
    const regions = await asHint(async () => parsePatchHead(head, offer.layerSizeBytes, table, booted.sizeBytes));
    const wanted = regionsWanted(regions, table, done).filter((one) => one.contentSizeBytes <= plan.contentBytes);
    if (wayCosts(table, done, wanted, layerSizeBytes).cheapest.way !== 'patch') return;
    const dictionaryBlocks = wanted.reduce((most, region) => Math.max(most, blocksOf(region)), 1);
    const dictionary = booted.allocate(dictionaryBlocks * blockBytes);
    for (let left: readonly PatchRegion[] = wanted; left.length > 0;) {
      const batch = this.#nextBatch(left);
      if (batch.length === 0 || this.#failedRegions >= failedRegionsLimit) break;
      await this.#takeBatch(batch, booted, dictionary);
      await jobs.settle();
      jobs.throwFailure();
      left = left.slice(batch.length);
    }
    if (this.#failedRegions > 0) {
      throw new HintFailure(`cannot use all of the patch: ${this.#failedRegions} regions do not give what was signed`);
    }
  }

  #spareBytes(): number {
    return this.#parts.spareBytes() - this.#fetchedBytes;
  }

  /** The frames of a region that are not on the device yet, and where each begins in the region's content. */
  #framesOf({ runs }: PatchRegion): readonly FrameInSlot[] {
    const { table, done } = this.#parts;
    const frames: FrameInSlot[] = [];
    let at = 0;
    for (const { firstFrame, frameCount } of runs) {
      for (let index = firstFrame; index < firstFrame + frameCount; index += 1) {
        const frame = table.frame(index);
        if (!frame.isZero && !done.has(index)) frames.push({ frame, at });
        at += frame.contentSizeBytes;
      }
    }
    return frames;
  }

  async #readHead(sizeBytes: number): Promise<Uint8Array> {
    const head = new Uint8Array(sizeBytes);
    const cutter = this.#open([{ offset: 0, sizeBytes }]);
    try {
      await asHint(async () => {
        await cutter.read(0, head);
        await cutter.finish();
      });
    } finally {
      await cutter.close();
    }
    return head;
  }

  /** As many regions as are paid for by what was spared before. */
  #nextBatch(left: readonly PatchRegion[]): readonly PatchRegion[] {
    const limitBytes = this.#spareBytes();
    let count = 0;
    for (let sizeBytes = 0; count < left.length; count += 1) {
      const payload = left[count]?.payload;
      const before = left[count - 1]?.payload;
      if (payload === undefined) break;
      const gapBytes = before === undefined ? 0 : payload.offset - before.offset - before.sizeBytes;
      // As the ranges are merged: a near one is fetched with what lies between.
      sizeBytes += payload.sizeBytes + (gapBytes <= defaultReadCosts.requestBytes ? gapBytes : 0);
      if (sizeBytes > limitBytes || (count > 0 && sizeBytes > batchBytes)) break;
    }
    return left.slice(0, count);
  }

  async #takeBatch(batch: readonly PatchRegion[], booted: BlockDevice, dictionary: Uint8Array): Promise<void> {
    const { jobs } = this.#parts;
    const cutter = this.#open(payloadRanges(batch));
    try {
      for (const region of batch) {
        // The rest of the batch is on its way, and a layer is read to its end.
        if (this.#failedRegions >= failedRegionsLimit) break;
        const slot = await jobs.take();
        let frames: readonly FrameInSlot[] = [];
        try {
          const payload = slot.input.subarray(0, region.payload.sizeBytes);
          await asHint(() => cutter.read(region.payload.offset, payload));
          frames = await this.#decode(region, payload, slot, booted, dictionary);
        } finally {
          if (frames.length === 0) jobs.drop(slot);
        }
        if (frames.length > 0) jobs.start(slot, () => this.#write(slot, frames));
      }
      await asHint(() => cutter.finish());
    } finally {
      await cutter.close();
    }
  }

  /** Decodes a region into `slot`. Resolves to the frames that are wanted of it; to none where it does not decode. */
  async #decode(
    region: PatchRegion,
    payload: Uint8Array,
    slot: ArenaSlot,
    booted: BlockDevice,
    dictionary: Uint8Array,
  ): Promise<readonly FrameInSlot[]> {
    const { contentSizeBytes, ranges } = region;
    let at = 0;
    try {
      for (const { firstBlock, blockCount } of ranges) {
        const into = dictionary.subarray(at, at + blockCount * blockBytes);
        await asHint(() => booted.read(into, firstBlock * blockBytes));
        at += into.byteLength;
      }
      const content = await asHint(() =>
        decompress(payload, {
          ...(at === 0 ? {} : { dictionary: dictionary.subarray(0, at) }),
          maxOutputLength: contentSizeBytes,
          chunkSize: contentSizeBytes + 64,
          // A payload can ask for no more memory than this.
          params: { [zlib.constants.ZSTD_d_windowLogMax]: patchLimits.windowLog },
        }),
      );
      if (content.byteLength !== contentSizeBytes) throw new HintFailure('it has less content than it states');
      slot.output.set(content);
      return this.#framesOf(region);
    } catch (error) {
      if (!(error instanceof HintFailure)) throw error;
      // Counted, and told of once at the end: the next region may be sound.
      this.#failedRegions += 1;
      return [];
    }
  }

  async #write(slot: ArenaSlot, frames: readonly FrameInSlot[]): Promise<void> {
    if ((await writeProvenFrames(this.#parts, slot, frames)) < frames.length) this.#failedRegions += 1;
  }

  #open(ranges: readonly ByteRange[]): RangeCutter {
    return new RangeCutter(this.#parts.bytes(ranges), ranges, (sizeBytes) => {
      this.#fetchedBytes += sizeBytes;
    });
  }
}

function blocksOf({ ranges }: PatchRegion): number {
  return ranges.reduce((sum, { blockCount }) => sum + blockCount, 0);
}
