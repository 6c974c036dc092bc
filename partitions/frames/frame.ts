/**
 * One frame of a layer: a zstd frame of its own, and the unit of fetching, verification and resume. Frames follow one
 * another without gaps, in the content and in the layer.
 */
export interface Frame {
  /** Counted from 0. */
  readonly index: number;
  readonly contentOffsetBytes: number;
  readonly contentSizeBytes: number;
  /** Where the compressed frame lies in the layer. */
  readonly compressedOffsetBytes: number;
  readonly compressedSizeBytes: number;
  /** SHA-256 of the content, 32 bytes. */
  readonly sha256: Uint8Array;
  /** Whether the content is known to be nothing but zeros, so that it need not be fetched. */
  readonly isZero: boolean;
}

/**
 * The largest compressed form that a frame of this content can need: all blocks raw, with room for an encoder's small
 * blocks. Without it, empty blocks would let a frame of stated size fill memory.
 */
export function frameLimitBytes(contentSizeBytes: number): number {
  return contentSizeBytes + Math.ceil(contentSizeBytes / 64) + 64 * 1024;
}
