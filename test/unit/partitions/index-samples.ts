import { BlockIndexEncoder, type EncodedIndex } from '../../../partitions/block-index/encode-index.ts';
import { IndexHead } from '../../../partitions/block-index/index-head.ts';
import { blockBytes } from '../../../partitions/block-index/layout.ts';
import type { IndexBinding } from '../../../partitions/block-index/read-index.ts';
import type { IndexBytes } from '../../../partitions/block-index/part-reader.ts';
import { cutRanges } from '../../fakes/cut-ranges.ts';
import { sha256Of } from './samples.ts';

/** A block that is told apart by `seed`; of zeros for 0. */
export function sampleBlock(seed: number): Uint8Array {
  const block = Buffer.alloc(blockBytes);
  if (seed > 0) for (let at = 0; at < blockBytes; at += 8) block.writeDoubleLE(seed + at / 7, at);
  return block;
}

/** Content of the blocks `seeds`, and `tailBytes` of one block more. */
export function contentOf(seeds: readonly number[], tailBytes = 0): Buffer {
  const tail = sampleBlock(99).subarray(0, tailBytes);
  return Buffer.concat([...seeds.map(sampleBlock), tail]);
}

/** The index of `content`, as if each frame compressed to a size that its first bytes make. */
export function encodeIndex(
  content: Uint8Array,
  frameSizeBytes: number,
  options?: ConstructorParameters<typeof BlockIndexEncoder>[1],
): EncodedIndex {
  const encoder = new BlockIndexEncoder(frameSizeBytes, options);
  for (let at = 0; at < content.byteLength; at += frameSizeBytes) {
    const frame = content.subarray(at, at + frameSizeBytes);
    encoder.add(frame, frame.every((byte) => byte === 0) ? 21 : 100 + ((frame[1] ?? 0) ^ (frame[6] ?? 0)));
  }
  return encoder.finish();
}

/** An encoded index as a layer, with what is signed of it. */
export function asLayer(encoded: EncodedIndex): {
  readonly bytes: Buffer;
  readonly head: IndexHead;
  readonly signed: IndexBinding;
} {
  const bytes = Buffer.concat(encoded.parts);
  return {
    bytes,
    head: new IndexHead(Uint8Array.from(bytes.subarray(0, encoded.headSizeBytes))),
    signed: {
      layerDigest: sha256Of(bytes),
      layerSizeBytes: bytes.byteLength,
      headSizeBytes: encoded.headSizeBytes,
      headDigest: encoded.headDigest,
    },
  };
}

/** The layer as a source of ranges, that says which were asked for. */
export function rangesOf(bytes: Uint8Array, asked: { offset: number; sizeBytes: number }[] = []): IndexBytes {
  return async function* (ranges) {
    asked.push(...ranges);
    yield* cutRanges(bytes, ranges, 1000);
  };
}
