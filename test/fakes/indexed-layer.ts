import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { BlockIndexEncoder } from '../../partitions/block-index/encode-index.ts';
import { blockBytes } from '../../partitions/block-index/layout.ts';
import { encodeSeekTable } from '../../partitions/frames/seek-table.ts';
import type { TrustedPartition } from '../../partitions/trusted-descriptor.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A partition of an image, with its block index. */
export interface IndexedLayer {
  readonly signed: TrustedPartition & { readonly index: NonNullable<TrustedPartition['index']> };
  readonly bytes: Uint8Array;
  readonly indexBytes: Uint8Array;
  readonly content: Uint8Array;
  /** Where each frame's content begins, and at last where it ends. */
  readonly offsets: readonly number[];
}

const sha256Of = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Sizes of frames of up to `mostBlocks` blocks, enough for `contentBytes`. */
export function randomFrameSizes(
  random: SeededRandom,
  mostBlocks: number,
  contentBytes: number,
): readonly [number, ...number[]] {
  const next = () => blockBytes * (1 + random.below(mostBlocks));
  const sizes: [number, ...number[]] = [next()];
  for (let sum = sizes[0]; sum < contentBytes; sum += sizes.at(-1) ?? 0) sizes.push(next());
  return sizes;
}

/** A layer as images are built: frames of `sizes` bytes of content in turn, a seek table, and an index of them. */
export function indexedLayer(name: string, content: Uint8Array, sizes: readonly [number, ...number[]]): IndexedLayer {
  const encoder = new BlockIndexEncoder(Math.max(...sizes));
  const parts: Uint8Array[] = [];
  const entries = [];
  const offsets = [0];
  for (let at = 0, turn = 0; at < content.byteLength; turn += 1) {
    const part = content.subarray(at, at + (sizes[turn % sizes.length] ?? sizes[0]));
    at += part.byteLength;
    offsets.push(at);
    const frame = zlib.zstdCompressSync(part, { pledgedSrcSize: part.byteLength });
    encoder.add(part, frame.byteLength);
    parts.push(frame);
    entries.push({ compressedSizeBytes: frame.byteLength, contentSizeBytes: part.byteLength });
  }
  const bytes = Buffer.concat([...parts, encodeSeekTable(entries)]);
  const { headSizeBytes, headDigest, parts: indexParts } = encoder.finish();
  const indexBytes = Buffer.concat(indexParts);
  const signed = {
    name,
    encoding: 'zstd',
    layerDigest: sha256Of(bytes),
    layerSizeBytes: bytes.byteLength,
    contentDigest: sha256Of(content),
    contentSizeBytes: content.byteLength,
    index: { layerDigest: sha256Of(indexBytes), layerSizeBytes: indexBytes.byteLength, headSizeBytes, headDigest },
  } as const;
  return { signed, bytes, indexBytes, content, offsets };
}
