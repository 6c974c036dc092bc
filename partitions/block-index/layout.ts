/**
 * The head of a block index (`application/vnd.kaon.block-index.v1`), and with it the layout of the whole layer. The
 * signed config states size and digest of the head; the head states the digests of all that comes after it, so that each
 * part can be fetched by a range and proven by itself. All numbers are little-endian.
 *
 *     layer      head | entries of the frame groups, in order | digests of the blocks, in order
 *
 *     head
 *       0   8   magic "kaonbix1": the digit is the version
 *       8   4   size of the fixed part, 64; what a newer writer adds to it is skipped
 *      12   4   flags that a reader must know, 0
 *      16   8   size of the partition's content
 *      24   8   size of all frames in the layer, without its seek table
 *      32   4   content of a block, 4096
 *      36   4   content of a whole frame, a multiple of it; no frame has more
 *      40   4   frames a group; the last group has what is left
 *      44   4   compressed size of a whole frame of zeros, 0 where there is none
 *      48   4   frames; G groups hold them
 *      52   4   S: segments
 *      56   8   0
 *      64  10*G for each group: blocks of its frames u32, their compressed size u32, and the size of its entries u16
 *               (0: all are whole frames of zeros)
 *       …  2*S  for each segment: its blocks in bits 14..0, bit 15 set: all are zeros, and it has no digests
 *       …  32   for each group with entries: SHA-256 of the entries
 *       …  16   for each segment with digests: the first 16 bytes of the SHA-256 of its digests
 *
 *     entries of a group of n frames
 *       0   ⌈n/8⌉  bit k of byte k/8, from the lowest: frame k is a whole frame of zeros, not listed below
 *       …   2      for each frame listed: its blocks; the last one of all is cut where the content ends
 *       …   4      for each frame listed: compressed size
 *       …   32     for each frame listed: SHA-256 of its content
 *
 *     digests of a segment
 *       16 for each block: the first 16 bytes of the SHA-256 of its 4096 bytes, or 16 zeros for a block of zeros. The
 *       last block is filled up with zeros, as it is on the device.
 *
 * Segments are stretches of blocks, cut where the digests say so and not at fixed places (see `cut-segments.ts`): when
 * blocks move, the segments that hold them stay the same, and what an older index holds of them need not be fetched.
 *
 * Sixteen bytes suffice for a block and for a segment: they say where content may be found, and a frame's SHA-256 and the
 * signed digest of the whole content, read back from the device, are the proof. To pass off one block for another would
 * take 2^128 tries, and end in a refusal.
 */

/** The unit of reuse. */
export const blockBytes = 4096;
/** Of a block's or segment's digest. */
export const digestBytes = 16;

/** Limits on what a head may ask of its reader. */
export const indexLimits = {
  headBytes: 16 * 1024 * 1024,
  contentBytes: 2 ** 43,
  framesPerGroup: 1024,
  groupContentBytes: 2 ** 30,
  segmentBlocks: 0x7fff,
} as const;

/** Sizes and marks of the layout above. */
export const layout = {
  magic: 'kaonbix1',
  fixedBytes: 64,
  groupBytes: 10,
  segmentBytes: 2,
  zeroSegmentBit: 0x8000,
  entryBytes: { blocks: 2, compressedSize: 4, sha256: 32 },
} as const;
