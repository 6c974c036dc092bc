import type { TrustedDescriptor } from './trusted-descriptor.ts';

/** A part of a layer: `sizeBytes` (at least 1) bytes from `offset` on. */
export interface ByteRange {
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * Where the bytes of a layer come from, in order; the reader pulls, so a slow device slows the source. With `ranges`,
 * ascending and not overlapping, their bytes come one after the other and nothing in between. One layer is read at a
 * time, to its end.
 */
export type LayerSource = (layerDigest: string, ranges?: readonly ByteRange[]) => AsyncIterable<Uint8Array>;

/** A patch that may give frames of one partition. Nothing of it is signed: whoever uses it proves each frame. */
export interface PatchOffer {
  readonly partition: string;
  readonly layerDigest: string;
  readonly layerSizeBytes: number;
  /** The first bytes of the layer, which say what it gives. */
  readonly headSizeBytes: number;
}

/** What each way to one partition of an image would fetch, in bytes: estimates, as only the write proves anything. */
export interface PartitionWays {
  readonly name: string;
  /** The whole layer. */
  readonly fullBytes: number;
  /** What is not found in the booted slot, and what of the block index says so. Absent where it can't be told. */
  readonly indexBytes?: number | undefined;
  /** The same with a patch. Absent where there is none. */
  readonly patchBytes?: number | undefined;
  /** The cheapest, requests counted. */
  readonly way: 'full' | 'index' | 'patch';
}

/** How far a write has come. */
export interface WriteProgress {
  readonly step: 'write' | 'read-back' | 'finish';
  readonly partition: string;
  /** Bytes of the layer consumed, of `layerSizeBytes`, over all partitions. */
  readonly fetchedBytes: number;
  readonly layerSizeBytes: number;
  /** Bytes of content on the device so far, over all partitions. */
  readonly writtenBytes: number;
  /** Those of `writtenBytes` that an earlier write had left there, proven by their digests. */
  readonly keptBytes?: number | undefined;
  /** Those of `keptBytes` that an earlier run of this same write had left, by its checkpoint. */
  readonly resumedBytes?: number | undefined;
  /** Bytes of content that a checkpoint holds durably: a run after this one need not fetch them. */
  readonly durableBytes?: number | undefined;
  /** What of the layers is left to fetch; absent until it is known what the node has already. */
  readonly missingBytes?: number | undefined;
  /** Those of `writtenBytes` that came from the booted slot, proven by their digests. */
  readonly copiedBytes?: number | undefined;
  /** Those of `writtenBytes` that came of a patch and the booted slot, proven by their digests; absent where none did. */
  readonly patchedBytes?: number | undefined;
  /** Whether a restart goes on where this write was; without it, layers are fetched from their start again. */
  readonly isResumable?: boolean | undefined;
}

/** What a slot holds after a write, read back from the device. */
export interface WrittenSlot {
  readonly manifestDigest: string;
  readonly partitions: readonly { readonly name: string; readonly sizeBytes: number; readonly digest: string }[];
}

/** Writes an image's content onto the inactive slot and proves it by reading it back. */
export interface SlotWriter {
  /**
   * Writes every partition of `image` to `slot` in the order of the design's step 3, reads it back from the device,
   * and resolves with what is there. Until the bodies of all partitions are flushed, the first block of each is zero.
   * Rejects with `PartitionError` (or the error of `layers`), with the first blocks zero again where the device still
   * answers. `signal` ends it at the next block. `patches` spare bytes where they are what they say; where not, the write
   * goes on without them.
   */
  write(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches?: readonly PatchOffer[],
  ): Promise<WrittenSlot>;
}
