import type { SlotDevices } from '../../../partitions/block-device.ts';
import { IndexHead } from '../../../partitions/block-index/index-head.ts';
import { blockBytes } from '../../../partitions/block-index/layout.ts';
import { readFrames } from '../../../partitions/block-index/read-index.ts';
import { FrameTable } from '../../../partitions/frame-table.ts';
import { type BuiltRegion, buildRegions, oldBlocksOf } from '../../../partitions/patch/build-patch.ts';
import { encodePatchHead } from '../../../partitions/patch/encode-head.ts';
import { KeptDigests } from '../../../partitions/reuse/kept-digests.ts';
import { WriteEstimator } from '../../../partitions/reuse/write-estimator.ts';
import type { LayerSource, PatchOffer, WriteProgress } from '../../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { cutRanges } from '../../fakes/cut-ranges.ts';
import { type IndexedLayer, indexedLayer, randomFrameSizes } from '../../fakes/indexed-layer.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryIndexCache } from '../../fakes/memory-index-cache.ts';
import type { SeededRandom } from '../../fakes/seeded-random.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { sha256Of } from './samples.ts';

export const deviceBytes = 4 * 1024 * 1024;
const frameSizeBytes = 64 * 1024;

/** An image of one partition, with what is read of its index. */
export interface PatchedImage extends IndexedLayer {
  readonly head: IndexHead;
  readonly table: FrameTable;
}

/** An image in frames of 64 KiB, or of random sizes up to that. */
export async function imageOf(content: Uint8Array, random?: SeededRandom): Promise<PatchedImage> {
  const sizes = random && randomFrameSizes(random, frameSizeBytes / blockBytes, content.byteLength);
  const layer = indexedLayer('root', content, sizes ?? [frameSizeBytes]);
  const { headSizeBytes } = layer.signed.index;
  const head = new IndexHead(Uint8Array.from(layer.indexBytes.subarray(0, headSizeBytes)));
  const read = async function* (ranges: readonly { offset: number; sizeBytes: number }[]) {
    yield* cutRanges(layer.indexBytes, ranges);
  };
  return { ...layer, head, table: await FrameTable.read(readFrames(head, read), head) };
}

/** A patch layer with what is offered of it. */
export interface PatchLayer {
  readonly bytes: Uint8Array;
  readonly offer: PatchOffer;
  readonly regions: readonly BuiltRegion[];
}

/** The layer of `regions`; `totals` are those of a patch from `old` to `image`, unless told. */
export function layerOf(
  old: Uint8Array,
  { table }: PatchedImage,
  regions: readonly BuiltRegion[],
  totals: object = {},
): PatchLayer {
  const { contentSizeBytes, count: frameCount } = table;
  const head = encodePatchHead(
    { contentSizeBytes, frameCount, blockCount: oldBlocksOf(old.byteLength), ...totals },
    regions,
  );
  const bytes = Buffer.concat([head, ...regions.map(({ payload }) => payload)]);
  return { bytes, regions, offer: offerOf(bytes, head.byteLength) };
}

export function offerOf(bytes: Uint8Array, headSizeBytes: number): PatchOffer {
  return { partition: 'root', layerDigest: sha256Of(bytes), layerSizeBytes: bytes.byteLength, headSizeBytes };
}

/** What `buildRegions` makes between `old` and an image. */
export async function patchOf(old: Uint8Array, image: PatchedImage, level = 3): Promise<PatchLayer> {
  const reader = (content: Uint8Array) => async (into: Uint8Array, offset: number) => {
    into.set(content.subarray(offset, offset + into.byteLength));
  };
  const regions: BuiltRegion[] = [];
  const { head, table } = image;
  const input = { oldSizeBytes: old.byteLength, readOld: reader(old), readNew: reader(image.content) };
  for await (const region of buildRegions({ ...input, head, table, level })) regions.push(region);
  return layerOf(old, image, regions);
}

export function nodeWith(booted: Uint8Array) {
  const sizes = { root: { sizeBytes: deviceBytes } };
  const devices = new MemorySlotDevices({ slots: { a: sizes, b: sizes }, booted: 'a' });
  // Behind an image there are zeros, as its write left them.
  devices.disk('a', 'root').corrupt(0, Buffer.concat([booted, Buffer.alloc(deviceBytes - booted.byteLength)]));
  return { devices, lists: new KeptDigests(new MemoryIndexCache()) };
}

/** How an update is played. */
interface Played {
  readonly patch?: Pick<PatchLayer, 'bytes' | 'offer'>;
  readonly source?: (
    digest: string,
    usual: LayerSource,
    ranges: Parameters<LayerSource>[1],
  ) => AsyncIterable<Uint8Array>;
  readonly devices?: SlotDevices;
}

/** Writes `image` onto slot b of a node, and says what it took. */
export async function update(node: ReturnType<typeof nodeWith>, image: PatchedImage, played: Played = {}) {
  const { patch } = played;
  const fetched = new Map<string, number>();
  const faults: unknown[] = [];
  let last: WriteProgress | undefined;
  let isOpen = false;
  const blobs = new Map([
    [image.signed.layerDigest, image.bytes],
    [image.signed.index.layerDigest, image.indexBytes],
    ...(patch === undefined ? [] : [[patch.offer.layerDigest, patch.bytes] as const]),
  ]);
  const usual: LayerSource = async function* (digest, ranges) {
    // As kaond's: a layer that was not read to its end is in the way of the next.
    if (isOpen) throw new Error('internal: another layer is being read');
    isOpen = true;
    await Promise.resolve();
    for (const bytes of cutRanges(blobs.get(digest) ?? new Uint8Array(0), ranges)) {
      fetched.set(digest, (fetched.get(digest) ?? 0) + bytes.byteLength);
      yield bytes;
    }
    isOpen = false;
  };
  const writer = new StreamingSlotWriter({
    ...writerParts,
    devices: played.devices ?? node.devices,
    digests: node.lists,
    onFault: (error) => faults.push(error),
  });
  const trusted = TrustedDescriptor.mintAfterVerification({
    manifestDigest: sha256Of(image.indexBytes),
    partitions: [image.signed],
  });
  await writer.write(
    'b',
    trusted,
    (digest, ranges) => (played.source ?? ((wanted) => usual(wanted, ranges)))(digest, usual, ranges),
    (progress) => (last = progress),
    new AbortController().signal,
    patch === undefined ? [] : [patch.offer],
  );
  const of = (digest: string | undefined) => fetched.get(digest ?? '') ?? 0;
  return {
    layerBytes: of(image.signed.layerDigest),
    indexBytes: of(image.signed.index.layerDigest),
    patchBytes: of(patch?.offer.layerDigest),
    patchedBytes: last?.patchedBytes ?? 0,
    allBytes: Array.from(fetched.values()).reduce((sum, sizeBytes) => sum + sizeBytes, 0),
    faults,
  };
}

/** What each way to `image` would fetch on a node. */
export async function estimate(
  node: ReturnType<typeof nodeWith>,
  image: PatchedImage,
  patch?: Pick<PatchLayer, 'bytes' | 'offer'>,
) {
  const faults: unknown[] = [];
  const blobs = new Map([
    [image.signed.index.layerDigest, image.indexBytes],
    [patch?.offer.layerDigest ?? 'no patch', patch?.bytes ?? new Uint8Array(0)],
  ]);
  const source: LayerSource = async function* (digest, ranges) {
    const bytes = blobs.get(digest);
    if (bytes === undefined) throw new Error(`a plan fetches ${digest}`);
    await Promise.resolve();
    yield* cutRanges(bytes, ranges);
  };
  const trusted = TrustedDescriptor.mintAfterVerification({
    manifestDigest: sha256Of(image.indexBytes),
    partitions: [image.signed],
  });
  const estimator = new WriteEstimator(node.devices, node.lists, (error) => faults.push(error));
  const offers = patch === undefined ? [] : [patch.offer];
  const [ways] = await estimator.estimate('b', trusted, source, new AbortController().signal, offers);
  return { ways, faults };
}

/** Whether slot b holds the image and zeros behind it. */
export function isWritten({ devices }: ReturnType<typeof nodeWith>, { content }: PatchedImage): boolean {
  const want = Buffer.concat([content, Buffer.alloc(deviceBytes - content.byteLength)]);
  return want.equals(devices.disk('b', 'root').durableBytes());
}
