import type { ByteRange } from '../../partitions/slot-writer.ts';

/** What a layer source gives of `content`: all of it, or its `ranges` one after the other, in pieces. */
export function* cutRanges(
  content: Uint8Array,
  ranges: readonly ByteRange[] | undefined,
  pieceBytes = 5000,
): Generator<Uint8Array> {
  for (const { offset, sizeBytes } of ranges ?? [{ offset: 0, sizeBytes: content.byteLength }]) {
    for (let at = offset; at < offset + sizeBytes; at += pieceBytes) {
      yield content.subarray(at, Math.min(at + pieceBytes, offset + sizeBytes));
    }
  }
}
