import type { LayerMeter } from './layer-meter.ts';

/** So much of a file's start tells its file system. */
export const superblockBytes = 2048;

const mebibyte = 1024 * 1024;
/** From this share of the layer on, what does not compress is worth a word. */
const denseShare = 0.1;

/** What compresses its files itself, by its superblock; `undefined` for all else. */
export function compressedFileSystem(start: Uint8Array): string | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  // Documentation/filesystems/squashfs.rst: s_magic, little-endian.
  if (bytes.byteLength >= 4 && bytes.readUInt32LE(0) === 0x73717368) return 'squashfs';
  // fs/erofs/erofs_fs.h: the superblock is at 1024, feature_incompat at 80 of it. Zero padding and compression
  // configurations are set by compressing ones alone.
  if (bytes.byteLength >= 1024 + 84 && bytes.readUInt32LE(1024) === 0xe0f5e1e2) {
    return (bytes.readUInt32LE(1024 + 80) & 0x3) === 0 ? undefined : 'compressed EROFS';
  }
  return undefined;
}

/**
 * What will make updates from this image larger than they need be, with the figure: for the person who builds it.
 * `start` is the content's first `superblockBytes`.
 */
export function deltaWarnings(partition: string, start: Uint8Array, meter: LayerMeter): readonly string[] {
  const fileSystem = compressedFileSystem(start);
  if (fileSystem !== undefined) {
    return [
      `partition ${partition} is ${fileSystem}: an update shares almost no block with what a node has. A change of a few libraries, which takes 5 % of an ext4 image, took 55 % of a squashfs of the same files. ext4 or EROFS without compression keep updates small`,
    ];
  }
  const share = meter.layerBytes === 0 ? 0 : meter.denseLayerBytes / meter.layerBytes;
  if (share < denseShare) return [];
  const [percent, size] = [Math.round(share * 100), Math.round(meter.denseLayerBytes / mebibyte)];
  return [
    `partition ${partition} has files that are compressed already: ${size} MiB, ${percent} % of what is fetched. Each of them comes whole with every change in it; an initrd that is rebuilt and a compressed kernel are the usual ones. Left uncompressed they cost as little and share their blocks`,
  ];
}
