import { IndexHead } from './index-head.ts';
import { blockBytes, layout } from './layout.ts';

/** What a head is made of. */
export interface IndexFacts {
  readonly contentSizeBytes: number;
  readonly frameSizeBytes: number;
  readonly framesPerGroup: number;
  readonly frameCount: number;
  readonly zeroFrameSizeBytes: number;
  readonly groups: readonly {
    readonly blockCount: number;
    readonly compressedSizeBytes: number;
    readonly entriesSizeBytes: number;
    readonly sha256: Uint8Array;
  }[];
  readonly segments: readonly { readonly blockCount: number; readonly digest: Uint8Array | undefined }[];
}

/** Encodes a head. Throws `block-index-invalid` for what no node would take. */
export function encodeIndexHead(facts: IndexFacts): Uint8Array {
  const fixed = Buffer.alloc(layout.fixedBytes);
  fixed.write(layout.magic, 'latin1');
  fixed.writeUInt32LE(layout.fixedBytes, 8);
  fixed.writeBigUInt64LE(BigInt(facts.contentSizeBytes), 16);
  const framesSizeBytes = facts.groups.reduce((sum, { compressedSizeBytes }) => sum + compressedSizeBytes, 0);
  fixed.writeBigUInt64LE(BigInt(framesSizeBytes), 24);
  fixed.writeUInt32LE(blockBytes, 32);
  fixed.writeUInt32LE(facts.frameSizeBytes, 36);
  fixed.writeUInt32LE(facts.framesPerGroup, 40);
  fixed.writeUInt32LE(facts.zeroFrameSizeBytes, 44);
  fixed.writeUInt32LE(facts.frameCount, 48);
  fixed.writeUInt32LE(facts.segments.length, 52);
  const groups = Buffer.alloc(layout.groupBytes * facts.groups.length);
  facts.groups.forEach(({ blockCount, compressedSizeBytes, entriesSizeBytes }, index) => {
    const at = index * layout.groupBytes;
    groups.writeUInt32LE(blockCount, at);
    groups.writeUInt32LE(compressedSizeBytes, at + 4);
    groups.writeUInt16LE(entriesSizeBytes, at + 8);
  });
  const segments = Buffer.alloc(layout.segmentBytes * facts.segments.length);
  facts.segments.forEach(({ blockCount, digest }, index) => {
    segments.writeUInt16LE(
      blockCount | (digest === undefined ? layout.zeroSegmentBit : 0),
      index * layout.segmentBytes,
    );
  });
  const groupDigests = facts.groups.map(({ sha256 }) => sha256);
  const segmentDigests = facts.segments.flatMap(({ digest }) => (digest === undefined ? [] : [digest]));
  const bytes = Buffer.concat([fixed, groups, segments, ...groupDigests, ...segmentDigests]);
  // What a node would refuse is refused here, where it can be mended.
  return new IndexHead(bytes).bytes;
}
