import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeGzip } from '../../../partitions/frames/decode-gzip.ts';
import { decodeLayer } from '../../../partitions/frames/decode-layer.ts';
import { codeOf, collect, inPieces, sampleBytes } from './samples.ts';

describe('decoding gzip', () => {
  const content = sampleBytes(600_000);
  const members = [zlib.gzipSync(content.subarray(0, 200_000)), zlib.gzipSync(content.subarray(200_000))];
  const decode = (bytes: Uint8Array, pieceBytes = 5000) => collect(decodeGzip(inPieces(bytes, pieceBytes)));

  it.each([1000, 1 << 20])('decodes all members in pieces of %i bytes', async (pieceBytes) => {
    expect((await decode(Buffer.concat(members), pieceBytes)).equals(content)).toBe(true);
  });

  it('calls every cut truncated, and no bytes as well', async () => {
    const input = Buffer.concat(members);
    for (const size of [
      0,
      1,
      9,
      10,
      1000,
      members[0]!.byteLength - 1,
      members[0]!.byteLength + 1,
      input.byteLength - 1,
    ]) {
      expect(await codeOf(() => decode(input.subarray(0, size)))).toBe('download-truncated');
    }
  });

  it.each(['garbage', '\0', '\0'.repeat(20_000), '\0garbage'])('refuses %j after the last member', async (trailing) => {
    for (const pieceBytes of [100, 1 << 20]) {
      const input = Buffer.concat([members[0]!, Buffer.from(trailing)]);
      expect(await codeOf(() => decode(input, pieceBytes))).toBe('layer-corrupt');
    }
  });

  it('refuses what is no gzip, and a wrong checksum', async () => {
    expect(await codeOf(() => decode(Buffer.from('this is not gzip')))).toBe('layer-corrupt');
    const flipped = Buffer.from(members[0]!);
    flipped[flipped.byteLength - 6]! ^= 1;
    expect(await codeOf(() => decode(flipped))).toBe('layer-corrupt');
  });

  it('closes its source when the caller stops', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield members[0]!;
      } finally {
        closed = true;
      }
    }
    const decoded = decodeGzip(source());
    await decoded.next();
    await decoded.return(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(true);
  });
});

describe('decoding a layer', () => {
  it('passes raw bytes through, and decodes the others', async () => {
    const content = sampleBytes(10_000);
    const layers = { raw: content, gzip: zlib.gzipSync(content), zstd: zlib.zstdCompressSync(content) };
    for (const encoding of ['raw', 'gzip', 'zstd'] as const) {
      expect((await collect(decodeLayer(encoding, inPieces(layers[encoding])))).equals(content)).toBe(true);
    }
  });
});
