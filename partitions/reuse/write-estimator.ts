import type { BlockDevice, SlotDevices } from '../block-device.ts';
import type { IndexHead } from '../block-index/index-head.ts';
import { blockBytes } from '../block-index/layout.ts';
import type { IndexBytes } from '../block-index/part-reader.ts';
import { RangeSplitter } from '../block-index/part-reader.ts';
import { readFrames, readIndexHead } from '../block-index/read-index.ts';
import { DeviceDigests } from '../delta/digest-source.ts';
import { findBlocks } from '../delta/find-blocks.ts';
import { FrameSet } from '../frame-set.ts';
import { FrameTable } from '../frame-table.ts';
import { patchLimits } from '../patch/layout.ts';
import { parsePatchHead, type PatchRegion } from '../patch/patch-head.ts';
import { framesToFetch } from '../plan-reads.ts';
import type { LayerSource, PartitionWays, PatchOffer } from '../slot-writer.ts';
import { TrustedDescriptor, type TrustedPartition } from '../trusted-descriptor.ts';
import { agreesWith } from './booted-digests.ts';
import type { DigestList, DigestLists } from './digest-list.ts';
import { asHint, HintFailure } from './hint-failure.ts';
import { SegmentTable } from './known-segments.ts';
import { regionsWanted, wayCosts } from './way-costs.ts';

const sampleBytes = 1024 * 1024;

/** What a partition is estimated by. */
interface Estimated {
  readonly slot: 'a' | 'b';
  readonly signed: TrustedPartition;
  readonly head: IndexHead;
  readonly table: FrameTable;
}

/**
 * Says what each way to an image would fetch: by the digests that are kept of the booted slot, without hashing all of it,
 * and without looking for what the inactive one holds. It writes nothing but a list of digests that it removes.
 */
export class WriteEstimator {
  readonly #devices: SlotDevices;
  readonly #lists: DigestLists;
  readonly #onFault: (error: unknown) => void;

  /** `onFault` hears of what could not be looked at. */
  constructor(devices: SlotDevices, lists: DigestLists, onFault: (error: unknown) => void) {
    this.#devices = devices;
    this.#lists = lists;
    this.#onFault = onFault;
  }

  /**
   * The ways to each partition of `image`. Fetches heads and entries of its block indexes, and heads of `patches`. Must
   * not run beside a write. Rejects as reading an index does, or with the signal's reason.
   */
  async estimate(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    layers: LayerSource,
    signal: AbortSignal,
    patches: readonly PatchOffer[],
  ): Promise<readonly PartitionWays[]> {
    if (!TrustedDescriptor.isMinted(image)) {
      throw new Error('internal: cannot estimate a write: the image carries no proof of trust');
    }
    const ways: PartitionWays[] = [];
    for (const signed of image.facts.partitions) {
      signal.throwIfAborted();
      const offer = patches.find(({ partition }) => partition === signed.name);
      ways.push(await this.#estimatePartition(slot, signed, layers, offer));
    }
    return ways;
  }

  async #estimatePartition(
    slot: 'a' | 'b',
    signed: TrustedPartition,
    layers: LayerSource,
    offer: PatchOffer | undefined,
  ): Promise<PartitionWays> {
    const { name, index, layerSizeBytes: fullBytes } = signed;
    if (index === undefined) return { name, fullBytes, way: 'full' };
    const bytes = (ranges: Parameters<IndexBytes>[0]) => layers(index.layerDigest, ranges);
    const head = await readIndexHead(index, signed.contentSizeBytes, bytes);
    const table = await FrameTable.read(readFrames(head, bytes), head);
    try {
      const booted = await asHint(() => this.#devices.openBooted(name));
      try {
        return await this.#waysFrom(booted, { slot, signed, head, table }, layers, offer);
      } finally {
        await booted.close();
      }
    } catch (error) {
      if (!(error instanceof HintFailure)) throw error;
      this.#onFault(error);
      return { name, fullBytes, way: 'full' };
    }
  }

  async #waysFrom(
    booted: BlockDevice,
    estimated: Estimated,
    layers: LayerSource,
    offer: PatchOffer | undefined,
  ): Promise<PartitionWays> {
    const { head, table, signed } = estimated;
    const { name, layerSizeBytes: fullBytes } = signed;
    const done = await this.#findFrames(booted, estimated);
    if (done === undefined) return { name, fullBytes, way: 'full' };
    const regions = offer && regionsWanted(await this.#readPatch(offer, layers, table, booted), table, done);
    const { index, patch, cheapest } = wayCosts(table, done, regions ?? [], fullBytes);
    // The write reads them again, whichever way it takes.
    const indexBytes = head.digestsOffsetBytes + index.fetchBytes;
    const ways = { name, fullBytes, indexBytes, way: cheapest.way };
    if (offer === undefined || regions === undefined || regions.length === 0) return ways;
    return { ...ways, patchBytes: head.digestsOffsetBytes + offer.headSizeBytes + patch.fetchBytes };
  }

  /** The frames whose blocks are all found in the booted slot; `undefined` where nothing is kept of it that is true. */
  async #findFrames(booted: BlockDevice, { slot, signed, head, table }: Estimated): Promise<FrameSet | undefined> {
    const known = await asHint(() => this.#lists.find(slot === 'a' ? 'b' : 'a', signed.name));
    if (known === undefined) return undefined;
    try {
      if (!(await isTrueOf(known, booted))) return undefined;
      const draft = await asHint(() => this.#lists.create(slot, signed.name, head.blockCount));
      try {
        await asHint(() => new SegmentTable(head).putKnown(known, draft));
        const extents = await asHint(() => findBlocks(draft, undefined, known));
        const missing = new Set(framesToFetch(table.frames(), extents).map(({ index }) => index));
        const done = new FrameSet(table.count);
        for (const { index } of table.frames()) if (!missing.has(index)) done.add(index);
        return done;
      } finally {
        await draft.close();
      }
    } finally {
      await known.close();
    }
  }

  /** The regions of a patch; none where it can't be used. */
  async #readPatch(
    offer: PatchOffer,
    layers: LayerSource,
    table: FrameTable,
    booted: BlockDevice,
  ): Promise<readonly PatchRegion[]> {
    const { headSizeBytes: sizeBytes } = offer;
    if (sizeBytes > patchLimits.headBytes) return [];
    try {
      return await asHint(async () => {
        const parts = new RangeSplitter(layers(offer.layerDigest, [{ offset: 0, sizeBytes }]));
        const head = await parts.take(sizeBytes);
        await parts.finish();
        return parsePatchHead(head, offer.layerSizeBytes, table, booted.sizeBytes);
      });
    } catch (error) {
      if (!(error instanceof HintFailure)) throw error;
      this.#onFault(error);
      return [];
    }
  }
}

/** Whether the device still holds what the list says, by samples. */
async function isTrueOf(known: DigestList, booted: BlockDevice): Promise<boolean> {
  const read = (into: Uint8Array, offset: number) => asHint(() => booted.read(into, offset));
  const wholeBytes = booted.sizeBytes - (booted.sizeBytes % blockBytes);
  const digests = new DeviceDigests(wholeBytes, booted.allocate(sampleBytes), read);
  return agreesWith(known, {
    blockCount: digests.blockCount,
    hash: (firstBlock, blockCount) => digests.read(firstBlock, blockCount),
  });
}
