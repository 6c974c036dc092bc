import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BootloaderError } from '../../../bootloader/errors.ts';
import {
  arrayBytes,
  checkArray,
  checkPlaces,
  encodeHeader,
  type GptHeader,
  listEntries,
  parseHeader,
  withAttributes,
} from '../../../bootloader/gpt-codec.ts';

/** Made by sgdisk 1.0.9; with 4096 bytes to a block on a loop device. Entries 0, 1 and 4 are in use. */
function image(blockBytes: 512 | 4096): Uint8Array {
  return gunzipSync(readFileSync(join(import.meta.dirname, 'fixtures', `gpt-${blockBytes}.img.gz`)));
}

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'none';
  } catch (error) {
    return error instanceof BootloaderError ? error.code : `not coded: ${String(error)}`;
  }
}

function tableOf(disk: Uint8Array, blockBytes: number, lba: number) {
  const header = parseHeader(
    disk.subarray(lba * blockBytes, (lba + 1) * blockBytes),
    lba,
    disk.byteLength / blockBytes,
  );
  const start = header.arrayLba * blockBytes;
  const array = disk.slice(start, start + arrayBytes(header));
  checkArray(header, array);
  return { header, array };
}

function checksum(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return (register ^ 0xffffffff) >>> 0;
}

/** The primary header's block with a field changed and its checksum made to match. */
function withField(offset: number, write: (block: Buffer, offset: number) => void): Buffer {
  const block = Buffer.from(image(512).subarray(512, 1024));
  write(block, offset);
  block.writeUInt32LE(0, 16);
  block.writeUInt32LE(checksum(block.subarray(0, 92)), 16);
  return block;
}

const u32 = (value: number) => (block: Buffer, offset: number) => block.writeUInt32LE(value, offset);
const u64 = (value: bigint) => (block: Buffer, offset: number) => block.writeBigUInt64LE(value, offset);

describe.each([512, 4096] as const)('a partition table in blocks of %d bytes', (blockBytes) => {
  const disk = image(blockBytes);
  const last = disk.byteLength / blockBytes - 1;

  it.each([
    ['primary', 1],
    ['backup', last],
  ])('is read as sgdisk writes it: the %s', (_name, lba) => {
    const { header, array } = tableOf(disk, blockBytes, lba);
    expect(header).toMatchObject({
      lba,
      otherLba: lba === 1 ? last : 1,
      arrayLba: lba === 1 ? 2 : last - Math.ceil(arrayBytes(header) / blockBytes),
      entryCount: blockBytes === 512 ? 8 : 32,
      entryBytes: 128,
    });
    const type = '5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6';
    expect(listEntries(header, array)).toEqual([
      { index: 0, typeGuid: type, guid: 'aaaaaaaa-0001-4000-8000-00000000000a', attributes: 0x0101_0000_0000_0000n },
      {
        index: 1,
        typeGuid: '0fc63daf-8483-4772-8e79-3d69d8477de4',
        guid: 'cccccccc-0002-4000-8000-00000000000c',
        attributes: 0x1000_0000_0000_0004n,
      },
      { index: 4, typeGuid: type, guid: 'bbbbbbbb-0005-4000-8000-00000000000b', attributes: 0x8032_0000_0000_0000n },
    ]);
  });

  it('is written as sgdisk writes it, byte by byte', () => {
    for (const lba of [1, last]) {
      const { header, array } = tableOf(disk, blockBytes, lba);
      expect(Buffer.from(encodeHeader(header, array))).toEqual(
        Buffer.from(disk.subarray(lba * blockBytes, (lba + 1) * blockBytes)),
      );
    }
  });

  it('changes the eight bytes of an entry’s attributes and both checksums, nothing else', () => {
    const { header, array } = tableOf(disk, blockBytes, 1);
    const next = withAttributes(header, array, new Map([[4, 0x0123_4567_89ab_cdefn]]));
    const changed = [...next.keys()].filter((index) => next[index] !== array[index]);
    expect(changed.every((index) => index >= 4 * 128 + 48 && index < 4 * 128 + 56)).toBe(true);
    expect(listEntries(header, next)[2]?.attributes).toBe(0x0123_4567_89ab_cdefn);
    const block = encodeHeader(header, next);
    checkArray(parseHeader(block, 1, last + 1), next);
    expect(codeOf(() => checkArray(header, next))).toBe('boot-env-corrupt');
    const differs = [...block.keys()].filter((index) => block[index] !== header.bytes[index]);
    expect(differs.every((index) => (index >= 16 && index < 20) || (index >= 88 && index < 92))).toBe(true);
  });
});

describe('a damaged partition table', () => {
  const disk = image(512);
  const { header, array } = tableOf(disk, 512, 1);

  it('gives a coded error for every truncation', () => {
    for (let length = 0; length < 512; length += 1) {
      expect(codeOf(() => parseHeader(header.bytes.subarray(0, length), 1, 128))).toBe('boot-env-corrupt');
    }
    for (let length = 0; length < array.byteLength; length += 1) {
      expect(codeOf(() => checkArray(header, array.subarray(0, length)))).toBe('boot-env-corrupt');
    }
  });

  it('gives a coded error for every flipped bit of the header and of the entries', () => {
    const flipped = (bytes: Uint8Array, bit: number) => {
      const damaged = Uint8Array.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return damaged;
    };
    for (let bit = 0; bit < 92 * 8; bit += 1) {
      expect(
        codeOf(() => parseHeader(flipped(header.bytes, bit), 1, 128)),
        `header bit ${bit}`,
      ).toBe('boot-env-corrupt');
    }
    for (let bit = 0; bit < array.byteLength * 8; bit += 1) {
      expect(
        codeOf(() => checkArray(header, flipped(array, bit))),
        `array bit ${bit}`,
      ).toBe('boot-env-corrupt');
    }
  });

  it.each<[string, number, (block: Buffer, offset: number) => void]>([
    ['another revision', 8, u32(0x20000)],
    ['a header of no bytes', 12, u32(0)],
    ['a header larger than its block', 12, u32(513)],
    ['another place of its own', 24, u64(2n)],
    ['its backup beyond the disk', 32, u64(128n)],
    ['its backup where it is itself', 32, u64(1n)],
    ['its backup among the partitions', 32, u64(100n)],
    ['its backup in its own entries', 32, u64(3n)],
    ['an LBA that no number holds', 40, u64(2n ** 63n)],
    ['partitions beyond the disk', 48, u64(128n)],
    ['partitions that end before they begin', 48, u64(3n)],
    ['its entries over the MBR', 72, u64(0n)],
    ['its entries over itself', 72, u64(1n)],
    ['its entries among the partitions', 72, u64(100n)],
    ['its entries beyond the disk', 72, u64(127n)],
    ['no entries', 80, u32(0)],
    ['more entries than any disk', 80, u32(0xffffffff)],
    ['entries of no bytes', 84, u32(0)],
    ['entries of 64 bytes', 84, u32(64)],
    ['entries of 192 bytes', 84, u32(192)],
    ['entries of 2 GiB', 84, u32(0x80000000)],
  ])('is corrupt with %s, though its checksum matches', (_name, offset, write) => {
    const block = withField(offset, write);
    expect(codeOf(() => parseHeader(block, 1, 128))).toBe('boot-env-corrupt');
    if (offset !== 12) expect(() => parseHeader(block, 1, 128)).not.toThrow('checksum');
  });

  it('is told by its places alone, too', () => {
    const moved: GptHeader = { ...header, lba: 127, otherLba: 1, arrayLba: 126 };
    expect(codeOf(() => checkPlaces(moved, 128))).toBe('boot-env-corrupt');
    expect(codeOf(() => checkPlaces({ ...moved, arrayLba: 125 }, 128))).toBe('none');
  });
});
