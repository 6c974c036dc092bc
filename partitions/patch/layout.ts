/**
 * A patch of one partition (`application/vnd.kaon.patch.v1`): some frames of an image, compressed against blocks of an
 * earlier one. Nothing in it is signed, and nothing has to be: a frame that it gives is written only with the SHA-256
 * that the signed block index of the image has for it. All numbers are little-endian.
 *
 *     layer      head | payloads of the regions, in order
 *
 *     head
 *       0   8   magic "kaonpat1": the digit is the version
 *       8   4   size of the fixed part, 64; what a newer writer adds to it is skipped
 *      12   4   flags that a reader must know, 0
 *      16   8   size of the content of the partition that comes of it
 *      24   4   F: frames of that partition
 *      28   4   B: whole blocks of the earlier partition
 *      32   4   R: regions
 *      36   4   N: runs of frames, of all regions
 *      40   4   M: ranges of blocks, of all regions
 *      44  20   0
 *      64  12*R for each region: size of its payload u32, size of its content u32, its runs u16, its ranges u16
 *       …  6*N  for each run: its first frame u32, its frames u16; they ascend over the whole head and do not overlap
 *       …  6*M  for each range: its first block u32, its blocks u16; they lie below B
 *
 *     payload    one zstd frame, with content size. Its content is that of the region's frames, one after the other. Its
 *                dictionary is raw content: the blocks of the region's ranges in the earlier partition, one after the
 *                other; a region without ranges has none. This is what `zstd --patch-from` makes.
 *
 * A region holds up to 1 MiB of content, or one larger frame, and refers to up to 4 MiB of blocks, so that memory does
 * not grow with either image.
 */

/** Limits on what a head may ask of its reader. */
export const patchLimits = {
  headBytes: 4 * 1024 * 1024,
  regionContentBytes: 1024 * 1024,
  dictionaryBytes: 4 * 1024 * 1024,
  /** Of what a payload refers back to besides its dictionary: as much as the largest frame. */
  windowLog: 23,
} as const;

/** Sizes and marks of the layout above. */
export const patchLayout = {
  magic: 'kaonpat1',
  fixedBytes: 64,
  regionBytes: 12,
  runBytes: 6,
  rangeBytes: 6,
  /** The most that a count of 16 bits says. */
  countLimit: 0xffff,
} as const;
