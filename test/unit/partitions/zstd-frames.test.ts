import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeZstd } from '../../../partitions/frames/decode-zstd.ts';
import { encodeFrames } from '../../../partitions/frames/encode-frames.ts';
import { decodeSeekTable, encodeSeekTable, seekTableSizeBytes } from '../../../partitions/frames/seek-table.ts';
import { ZstdBoundaries } from '../../../partitions/frames/zstd-boundaries.ts';
import { codeOf, collect, inPieces, sampleBytes, zstdTool } from './samples.ts';

const decode = (bytes: Uint8Array, pieceBytes?: number) => collect(decodeZstd(inPieces(bytes, pieceBytes)));
const codeOfDecoding = (bytes: Uint8Array, pieceBytes?: number) => codeOf(() => decode(bytes, pieceBytes));

/** A skippable frame with `sizeBytes` of rubbish. */
function skippable(sizeBytes: number): Buffer {
  const frame = Buffer.alloc(8 + sizeBytes, 0x28);
  frame.writeUInt32LE(0x184d2a53, 0);
  frame.writeUInt32LE(sizeBytes, 4);
  return frame;
}

function walk(bytes: Uint8Array, pieceBytes: number) {
  const boundaries = new ZstdBoundaries();
  const frames: { contentSizeBytes: number | undefined; frameSizeBytes: number; bytes: Buffer }[] = [];
  let parts: Uint8Array[] = [];
  let contentSizeBytes: number | undefined;
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    for (const piece of boundaries.push(bytes.subarray(at, at + pieceBytes))) {
      if (piece.kind === 'start') contentSizeBytes = piece.header.contentSizeBytes;
      else if (piece.kind === 'bytes') parts.push(piece.bytes);
      else {
        frames.push({ contentSizeBytes, frameSizeBytes: piece.frameSizeBytes, bytes: Buffer.concat(parts) });
        parts = [];
      }
    }
  }
  boundaries.end();
  return frames;
}

describe('the walker over zstd frames', () => {
  const small = sampleBytes(1000);
  const large = sampleBytes(700_000, 7);
  const frames = [
    zstdTool(['--check'], small),
    zstdTool(['--no-check'], large),
    zlib.zstdCompressSync(new Uint8Array(0)),
    zstdTool(['-19', '--long=24'], large),
    zlib.zstdCompressSync(Buffer.alloc(300_000)),
  ];
  const input = Buffer.concat([skippable(3), ...frames.flatMap((frame) => [frame, skippable(0), skippable(70_000)])]);

  it.each([1, 3, 5, 1024, 1 << 20])('finds each frame and its exact bytes in pieces of %i bytes', (pieceBytes) => {
    const found = walk(input, pieceBytes);
    expect(found.map((frame) => frame.frameSizeBytes)).toEqual(frames.map((frame) => frame.byteLength));
    expect(found.map((frame) => frame.bytes.equals(frames[found.indexOf(frame)]!))).toEqual(frames.map(() => true));
  });

  it('tells the content size where a frame states it', () => {
    const sized = zlib.zstdCompressSync(small, { pledgedSrcSize: small.byteLength });
    expect(walk(sized, 7)[0]?.contentSizeBytes).toBe(1000);
    expect(walk(zstdTool(['--no-content-size'], small), 7)[0]?.contentSizeBytes).toBeUndefined();
    for (const sizeBytes of [0, 1, 255, 256, 257, 65_791, 65_792, 70_000]) {
      const frame = zlib.zstdCompressSync(sampleBytes(sizeBytes), { pledgedSrcSize: sizeBytes });
      expect(walk(frame, 4096)[0]?.contentSizeBytes).toBe(sizeBytes);
    }
  });

  it('refuses a window above 128 MiB', async () => {
    const frame = Buffer.from('28b52ffd00900100', 'hex'); // window descriptor 0x90: 256 MiB
    expect(await codeOfDecoding(frame)).toBe('layer-corrupt');
    frame[5] = 0x88; // 128 MiB: the frame goes on, and is too short
    expect(await codeOfDecoding(frame.subarray(0, 7))).toBe('download-truncated');
  });

  it('refuses a dictionary, the reserved bit and the reserved block type', async () => {
    expect(await codeOfDecoding(Buffer.from('28b52ffd215a0000', 'hex'))).toBe('layer-corrupt');
    expect(await codeOfDecoding(Buffer.from('28b52ffd2800010000', 'hex'))).toBe('layer-corrupt');
    expect(await codeOfDecoding(Buffer.from('28b52ffd2000070000', 'hex'))).toBe('layer-corrupt');
  });
});

describe('decoding zstd', () => {
  const content = sampleBytes(3_000_000, 3);
  const parts = [content.subarray(0, 1_000_000), content.subarray(1_000_000, 1_000_100), content.subarray(1_000_100)];

  it('decodes all frames, where the plain stream decoder stops after the first', async () => {
    const frames = parts.map((part) => zlib.zstdCompressSync(part));
    expect((await decode(Buffer.concat(frames), 1000)).equals(content)).toBe(true);
  });

  it('decodes frames without content size, and skips skippable ones', async () => {
    const frames = parts.map((part) => zstdTool(['--no-content-size'], part));
    const input = Buffer.concat([skippable(9), ...frames.flatMap((frame) => [frame, skippable(5)])]);
    for (const pieceBytes of [777, 1 << 20]) expect((await decode(input, pieceBytes)).equals(content)).toBe(true);
  });

  it('decodes a frame above 8 MiB by streaming', async () => {
    const large = sampleBytes(9_000_000, 5);
    const frame = zlib.zstdCompressSync(large, { pledgedSrcSize: large.byteLength });
    expect((await decode(Buffer.concat([frame, frame]))).equals(Buffer.concat([large, large]))).toBe(true);
  });

  it.each(['with', 'without'])('calls every cut of a frame %s content size truncated', async (how) => {
    const frame = zstdTool(how === 'with' ? [] : ['--no-content-size'], sampleBytes(300));
    const sized = how === 'with' ? zlib.zstdCompressSync(sampleBytes(300), { pledgedSrcSize: 300 }) : frame;
    for (let size = 0; size < sized.byteLength; size += 1) {
      expect(await codeOfDecoding(sized.subarray(0, size))).toBe('download-truncated');
      if (size > 0)
        expect(await codeOfDecoding(Buffer.concat([sized, sized.subarray(0, size)]))).toBe('download-truncated');
    }
  });

  it('calls a cut large frame truncated', async () => {
    const frame = zstdTool(['--no-content-size'], content);
    expect(await codeOfDecoding(frame.subarray(0, -1))).toBe('download-truncated');
    expect(await codeOfDecoding(frame.subarray(0, 900_000))).toBe('download-truncated');
  });

  it('refuses garbage, before and after frames', async () => {
    const frame = zlib.zstdCompressSync(sampleBytes(300));
    expect(await codeOfDecoding(Buffer.from('this is not zstd'))).toBe('layer-corrupt');
    expect(await codeOfDecoding(Buffer.concat([frame, Buffer.from('rubbish')]))).toBe('layer-corrupt');
  });

  it('answers a flipped bit with a coded error, as frames carry a checksum', async () => {
    const content = sampleBytes(2000);
    for (const frame of [
      zstdTool(['--no-content-size', '--check'], content),
      await collect(encodeFrames(inPieces(content), 2000, 3)),
    ]) {
      for (let bit = 0; bit < frame.byteLength * 8; bit += 37) {
        const flipped = Buffer.from(frame);
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        // A flip of the skippable frame or of an unused header bit does no harm.
        const decoded = await decode(flipped).catch((error: unknown) => error);
        if (Buffer.isBuffer(decoded)) expect(decoded.equals(content)).toBe(true);
        else expect(decoded).toHaveProperty('code', expect.stringMatching(/^(layer-corrupt|download-truncated)$/));
      }
    }
  });

  it('refuses a frame that has more content than it states', async () => {
    // 300 bytes stated in the two-byte field, where the only block repeats one byte 1000 times.
    const lying = Buffer.from('28b52ffd40582c00431f0061', 'hex');
    expect(await codeOfDecoding(lying)).toBe('layer-corrupt');
    lying.writeUIntLE((300 << 3) | 3, 8, 3);
    expect((await decode(lying)).toString()).toBe('a'.repeat(300));
  });

  it('refuses a frame of small content with endless blocks, before it fills memory', async () => {
    const header = Buffer.from('28b52ffd2001', 'hex');
    let pulled = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield header;
      for (;;) {
        pulled += 1;
        yield Buffer.alloc(3 * 4096); // raw blocks of no bytes, never the last one
      }
    }
    expect(await codeOf(() => collect(decodeZstd(endless())))).toBe('layer-corrupt');
    expect(pulled).toBeLessThan(10);
  });

  it('hands out a bomb piece by piece, only as fast as it is asked', async () => {
    const bomb = zstdTool(['--no-content-size'], Buffer.alloc(128 * 1024 * 1024));
    const decoded = decodeZstd(inPieces(bomb, 4096));
    const first = await decoded.next();
    expect((first.value as Uint8Array).byteLength).toBeLessThanOrEqual(256 * 1024);
    await decoded.return(undefined);
  });

  it.each(['states', 'does not state'])('pulls only as content is taken where a frame %s its size', async (how) => {
    let pulled = 0;
    let closed = false;
    const content = sampleBytes(1_000_000);
    const frame =
      how === 'states'
        ? zlib.zstdCompressSync(content, { pledgedSrcSize: content.byteLength })
        : zstdTool(['--no-content-size'], content);
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (let count = 0; count < 100; count += 1) {
          for await (const piece of inPieces(frame)) {
            pulled += piece.byteLength;
            yield piece;
          }
        }
      } finally {
        closed = true;
      }
    }
    const decoded = decodeZstd(source());
    await decoded.next();
    await new Promise((resolve) => setImmediate(resolve));
    expect(pulled).toBeLessThan(2 * frame.byteLength);
    await decoded.return(undefined);
    expect(closed).toBe(true);
  });

  it('keeps an error of the source as it is', async () => {
    const frame = zstdTool(['--no-content-size'], sampleBytes(1_000_000));
    async function* source(): AsyncGenerator<Uint8Array> {
      yield frame.subarray(0, 100_000);
      throw new RangeError('the network is gone');
    }
    await expect(collect(decodeZstd(source()))).rejects.toThrow(RangeError);
  });
});

describe('encoding frames', () => {
  it('gives what zstd -d reads, and what the own decoder reads', async () => {
    for (const sizeBytes of [0, 1, 4096, 1_000_000, 1_048_576]) {
      const content = sampleBytes(sizeBytes, 9);
      const encoded = await collect(encodeFrames(inPieces(content, 10_007), 262_144, 3));
      expect(zstdTool(['-d'], encoded).equals(content)).toBe(true);
      expect((await decode(encoded)).equals(content)).toBe(true);
    }
  });

  it('makes one frame of each part, also where it takes exactly the 16 KiB that zlib writes at once', async () => {
    const frameSizes: number[] = [];
    for (let sizeBytes = 16_384 - 24; sizeBytes < 16_384; sizeBytes += 1) {
      // Digests do not compress, so that the frame is as large as its content and a constant.
      const noise = Buffer.concat(
        Array.from({ length: 512 }, (_, index) => createHash('sha256').update(`${index}`).digest()),
      );
      const encoded = await collect(encodeFrames(inPieces(noise.subarray(0, sizeBytes)), 65_536, 3));
      const pieces = [...new ZstdBoundaries().push(encoded)];
      const ends = pieces.flatMap((piece) => (piece.kind === 'end' ? [piece.frameSizeBytes] : []));
      expect({ sizeBytes, frames: ends.length }).toEqual({ sizeBytes, frames: 1 });
      frameSizes.push(...ends);
    }
    expect(frameSizes).toContain(16_384);
  });

  it('ends in a seek table that names each frame', async () => {
    const content = sampleBytes(1_000_000, 11);
    const encoded = await collect(encodeFrames(inPieces(content), 300_000, 3));
    const sizeBytes = seekTableSizeBytes(encoded.subarray(-9));
    const table = decodeSeekTable(encoded.subarray(-(sizeBytes ?? 0)));
    expect(table.map((entry) => entry.contentSizeBytes)).toEqual([300_000, 300_000, 300_000, 100_000]);
    expect(table.map((entry) => entry.compressedSizeBytes)).toEqual(
      walk(encoded, 4096).map((frame) => frame.frameSizeBytes),
    );
    const second = encoded.subarray(
      table[0]!.compressedSizeBytes,
      table[0]!.compressedSizeBytes + table[1]!.compressedSizeBytes,
    );
    expect(zlib.zstdDecompressSync(second).equals(content.subarray(300_000, 600_000))).toBe(true);
  });

  it('gives the same bytes however the source is cut', async () => {
    const content = sampleBytes(500_000);
    const first = await collect(encodeFrames(inPieces(content, 999), 65_536, 3));
    expect((await collect(encodeFrames(inPieces(content, 123_456), 65_536, 3))).equals(first)).toBe(true);
  });

  it('refuses a frame size that a decoder would not hold', async () => {
    for (const sizeBytes of [0, 1.5, 9 * 1024 * 1024]) {
      await expect(collect(encodeFrames(inPieces(sampleBytes(10)), sizeBytes, 3))).rejects.toThrow(RangeError);
    }
  });
});

describe('the seek table', () => {
  const entries = [
    { compressedSizeBytes: 5, contentSizeBytes: 4096 },
    { compressedSizeBytes: 4_294_967_295, contentSizeBytes: 1 },
  ];

  it('has the bytes of the format', () => {
    expect(Buffer.from(encodeSeekTable(entries.slice(0, 1))).toString('hex')).toBe(
      ['5e2a4d18', '11000000', '05000000', '00100000', '01000000', '00', 'b1ea928f'].join(''),
    );
  });

  it('is read back, also with checksums that others write', () => {
    expect(decodeSeekTable(encodeSeekTable(entries))).toEqual(entries);
    expect(decodeSeekTable(encodeSeekTable([]))).toEqual([]);
    const checked = Buffer.from(
      ['5e2a4d18', '15000000', '05000000', '00100000', 'deadbeef', '01000000', '80', 'b1ea928f'].join(''),
      'hex',
    );
    expect(decodeSeekTable(checked)).toEqual(entries.slice(0, 1));
  });

  it('answers each truncation and flipped byte of its frame with a coded error or sound entries', async () => {
    const table = encodeSeekTable(entries);
    for (let size = 0; size < table.byteLength; size += 1) {
      expect(await codeOf(async () => decodeSeekTable(table.subarray(0, size)))).toBe('layer-corrupt');
    }
    for (const at of [0, 3, 4, 7, 24, 27, 28, 29, 32]) {
      const flipped = Uint8Array.from(table);
      flipped[at]! ^= 0x40;
      expect(await codeOf(async () => decodeSeekTable(flipped))).toBe('layer-corrupt');
    }
  });
});
