import { createHash, hash } from 'node:crypto';
import type { FrameFacts } from './frame-entries.ts';
import { encodeFrameEntries } from './frame-entries.ts';
import { digestBlocks, isZeroDigest } from './block-digest.ts';
import { type CutRule, SegmentCutter } from './cut-segments.ts';
import { encodeIndexHead, type IndexFacts } from './encode-head.ts';
import { blockBytes, digestBytes } from './layout.ts';

/** Chosen on pairs of Debian images: see README. */
export const defaultFramesPerGroup = 16;

/** A whole index layer; its parts one after the other are its bytes. */
export interface EncodedIndex {
  readonly headSizeBytes: number;
  /** `sha256:` and hex. */
  readonly headDigest: string;
  readonly sizeBytes: number;
  readonly parts: readonly Uint8Array[];
}

/**
 * Makes a block index of frames as they are encoded. Memory: 16 bytes for each block that is not zero (4 MiB a GiB) and
 * 36 for each frame. The same frames give the same bytes.
 */
export class BlockIndexEncoder {
  readonly #frameSizeBytes: number;
  readonly #framesPerGroup: number;
  readonly #cutter: SegmentCutter;
  readonly #segments: { blockCount: number; digest: Uint8Array | undefined }[] = [];
  readonly #digests: Uint8Array[] = [];
  readonly #frames: FrameFacts[] = [];
  #contentSizeBytes = 0;
  #zeroFrameSizeBytes = 0;

  /** `frameSizeBytes` is the content of a whole frame. Throws a `RangeError` unless it is a multiple of 4096. */
  constructor(frameSizeBytes: number, options: { framesPerGroup?: number; cutRule?: CutRule } = {}) {
    if (frameSizeBytes < blockBytes || frameSizeBytes % blockBytes !== 0) {
      throw new RangeError(`cannot index frames of ${frameSizeBytes} bytes: want a multiple of ${blockBytes}`);
    }
    this.#frameSizeBytes = frameSizeBytes;
    this.#framesPerGroup = options.framesPerGroup ?? defaultFramesPerGroup;
    this.#cutter = new SegmentCutter(options.cutRule);
  }

  /**
   * Takes the next frame: its content, of whole blocks but for the last frame and of `frameSizeBytes` at most, and its
   * compressed size.
   */
  add(content: Uint8Array, compressedSizeBytes: number): void {
    const digests = digestBlocks(content);
    for (const segment of this.#cutter.push(digests)) this.#keep(segment);
    const isWhole = content.byteLength === this.#frameSizeBytes;
    const isZero = isWhole && areZero(digests) && this.#isZeroSize(compressedSizeBytes);
    const blockCount = digests.byteLength / digestBytes;
    this.#frames.push({ blockCount, compressedSizeBytes, isZero, sha256: hash('sha256', content, 'buffer') });
    this.#contentSizeBytes += content.byteLength;
  }

  /** The layer; nothing may be added after it. Throws `block-index-invalid` where no frame was added. */
  finish(): EncodedIndex {
    for (const segment of this.#cutter.finish()) this.#keep(segment);
    const groups: IndexFacts['groups'][number][] = [];
    const entries: Uint8Array[] = [];
    for (let at = 0; at < this.#frames.length; at += this.#framesPerGroup) {
      const frames = this.#frames.slice(at, at + this.#framesPerGroup);
      const bytes = encodeFrameEntries(frames);
      entries.push(bytes);
      groups.push({
        blockCount: frames.reduce((sum, { blockCount }) => sum + blockCount, 0),
        compressedSizeBytes: frames.reduce((sum, { compressedSizeBytes }) => sum + compressedSizeBytes, 0),
        entriesSizeBytes: bytes.byteLength,
        sha256: bytes.byteLength === 0 ? bytes : hash('sha256', bytes, 'buffer'),
      });
    }
    const head = encodeIndexHead({
      contentSizeBytes: this.#contentSizeBytes,
      frameSizeBytes: this.#frameSizeBytes,
      framesPerGroup: this.#framesPerGroup,
      frameCount: this.#frames.length,
      zeroFrameSizeBytes: this.#zeroFrameSizeBytes,
      groups,
      segments: this.#segments,
    });
    const parts = [head, ...entries, ...this.#digests];
    return {
      headSizeBytes: head.byteLength,
      headDigest: `sha256:${createHash('sha256').update(head).digest('hex')}`,
      sizeBytes: parts.reduce((sum, { byteLength }) => sum + byteLength, 0),
      parts,
    };
  }

  #keep(segment: { blockCount: number; digests: Uint8Array | undefined; digest: Uint8Array | undefined }): void {
    this.#segments.push({ blockCount: segment.blockCount, digest: segment.digest });
    if (segment.digests !== undefined) this.#digests.push(segment.digests);
  }

  /** The head has room for one size; an encoder that gives another for the same zeros has its frame listed. */
  #isZeroSize(compressedSizeBytes: number): boolean {
    if (this.#zeroFrameSizeBytes === 0) this.#zeroFrameSizeBytes = compressedSizeBytes;
    return this.#zeroFrameSizeBytes === compressedSizeBytes;
  }
}

function areZero(digests: Uint8Array): boolean {
  for (let at = 0; at < digests.byteLength; at += digestBytes) {
    if (!isZeroDigest(digests, at)) return false;
  }
  return true;
}
