import { PartitionError } from '../errors.ts';
import type { Frame } from '../frames/frame.ts';
import { DigestMeter } from '../layer-check.ts';
import { digestOfSegment } from './cut-segments.ts';
import { decodeFrameEntries } from './frame-entries.ts';
import { IndexHead, type Segment } from './index-head.ts';
import { indexLimits } from './layout.ts';
import { type IndexBytes, PartReader, RangeSplitter } from './part-reader.ts';

/** What signed bytes say of a partition's block index. */
export interface IndexBinding {
  readonly layerDigest: string;
  readonly layerSizeBytes: number;
  readonly headSizeBytes: number;
  readonly headDigest: string;
}

/** What a request costs besides the bytes that it is for, in bytes; ranges as near as that are read in one. */
export const defaultRequestBytes = 4096;

/**
 * Reads the head of the index and proves it against `signed`. Rejects with `digest-mismatch`, `download-truncated`,
 * `layer-too-large`, `block-index-invalid` where it breaks the format or contradicts the size of the layer or of the
 * partition's content, or the error of `bytes`.
 */
export async function readIndexHead(
  signed: IndexBinding,
  contentSizeBytes: number | undefined,
  bytes: IndexBytes,
): Promise<IndexHead> {
  if (signed.headSizeBytes > indexLimits.headBytes || signed.headSizeBytes > signed.layerSizeBytes) {
    throw invalid(`its head has ${signed.headSizeBytes} bytes, the limit is ${indexLimits.headBytes}`);
  }
  const parts = new RangeSplitter(bytes([{ offset: 0, sizeBytes: signed.headSizeBytes }]));
  const found = await parts.take(signed.headSizeBytes);
  await parts.finish();
  const meter = new DigestMeter(signed.headDigest);
  meter.update(found);
  const digest = meter.digest();
  if (digest !== signed.headDigest) {
    throw new PartitionError('digest-mismatch', `cannot read the block index: the digest of its head is ${digest}`, {
      details: { want: signed.headDigest, found: digest },
    });
  }
  const head = new IndexHead(found);
  if (head.layerSizeBytes !== signed.layerSizeBytes) {
    throw invalid(`its parts have ${head.layerSizeBytes} bytes, the layer ${signed.layerSizeBytes}`);
  }
  if (contentSizeBytes !== undefined && head.contentSizeBytes !== contentSizeBytes) {
    throw invalid(`it describes ${head.contentSizeBytes} bytes of content, the partition has ${contentSizeBytes}`);
  }
  return head;
}

/**
 * Reads the frames of `groups`, which ascend (of all, unless told), proven group by group, in order. Reads to the end of
 * `bytes` unless it is stopped early. Rejects with `digest-mismatch`, `download-truncated`, `layer-too-large`,
 * `block-index-invalid` or the error of `bytes`.
 */
export async function* readFrames(
  head: IndexHead,
  bytes: IndexBytes,
  groups: Iterable<number> = everyGroup(head),
  requestBytes = defaultRequestBytes,
): AsyncGenerator<Frame> {
  const wanted = Array.from(groups, (index) => ({ index, range: head.group(index).entries }));
  const parts = new PartReader(
    bytes,
    wanted.map(({ range }) => range),
    requestBytes,
  );
  try {
    for (const { index, range } of wanted) yield* decodeFrameEntries(head, index, await parts.next(range));
    await parts.finish();
  } finally {
    await parts.close();
  }
}

/**
 * Reads the digests of `segments` (their numbers, which ascend), proven segment by segment, in order. Segments of zeros
 * are passed over. Rejects as `readFrames` does.
 */
export async function* readSegments(
  head: IndexHead,
  bytes: IndexBytes,
  segments: Iterable<number>,
  requestBytes = defaultRequestBytes,
): AsyncGenerator<{ readonly segment: Segment; readonly digests: Uint8Array }> {
  const wanted = Array.from(segments, (index) => head.segment(index)).filter(({ isZero }) => !isZero);
  const parts = new PartReader(
    bytes,
    wanted.map((segment) => segment.digests),
    requestBytes,
  );
  try {
    for (const segment of wanted) {
      const digests = await parts.next(segment.digests);
      if (!isDigestOf(segment, digests)) {
        throw new PartitionError(
          'digest-mismatch',
          `cannot read the block index: the digests of block ${segment.firstBlock} on are not those that were signed`,
          { details: { firstBlock: segment.firstBlock, blockCount: segment.blockCount } },
        );
      }
      yield { segment, digests };
    }
    await parts.finish();
  } finally {
    await parts.close();
  }
}

/** Whether `digests` are those that the head says of `segment`, wherever they were found. */
export function isDigestOf(segment: Segment, digests: Uint8Array): boolean {
  return Buffer.compare(digestOfSegment(digests), segment.digest) === 0;
}

function* everyGroup(head: IndexHead): Generator<number> {
  for (let index = 0; index < head.groupCount; index += 1) yield index;
}

function invalid(reason: string): PartitionError {
  return new PartitionError('block-index-invalid', `cannot read the block index: ${reason}`);
}
