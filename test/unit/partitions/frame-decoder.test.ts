import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  createFrameDecoder,
  DirectFrameDecoder,
  type FrameDecoder,
  PublicFrameDecoder,
} from '../../../partitions/frames/frame-decoder.ts';
import { codeOf, sampleBytes } from './samples.ts';

const content = sampleBytes(300_000, 7);
const frame = zlib.zstdCompressSync(content, {
  params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 },
  pledgedSrcSize: content.byteLength,
});
const room = (sizeBytes: number) => new Uint8Array(new SharedArrayBuffer(sizeBytes));

describe.each<readonly [string, () => FrameDecoder]>([
  ['the documented call', () => new PublicFrameDecoder()],
  ['the private handle', () => new DirectFrameDecoder()],
])('decoding a frame by %s', (_name, make) => {
  const codeFor = (input: Uint8Array, sizeBytes: number) => codeOf(async () => make().decode(input, room(sizeBytes)));

  it('fills the memory that it is given, and nothing beside it', () => {
    const output = room(content.byteLength + 64).fill(0xa5);
    make().decode(frame, output.subarray(32, 32 + content.byteLength));
    expect(Buffer.compare(output.subarray(32, -32), content)).toBe(0);
    expect([...output.subarray(0, 32), ...output.subarray(-32)].every((byte) => byte === 0xa5)).toBe(true);
  });

  it('takes an empty frame behind the content, as zstdCompress leaves it where its output fills 16 KiB', () => {
    const output = room(content.byteLength);
    make().decode(Buffer.concat([frame, zlib.zstdCompressSync(Buffer.alloc(0))]), output);
    expect(Buffer.compare(output, content)).toBe(0);
  });

  it('takes an empty frame', () => {
    make().decode(zlib.zstdCompressSync(Buffer.alloc(0)), room(0));
  });

  it('refuses content that is larger or smaller than stated', async () => {
    expect(await codeFor(frame, content.byteLength - 1)).toBe('layer-corrupt');
    expect(await codeFor(frame, content.byteLength + 1)).toBe('layer-corrupt');
    expect(await codeFor(frame, 0)).toBe('layer-corrupt');
  });

  it('refuses every frame that is cut before its checksum', async () => {
    for (let end = 0; end <= frame.byteLength - 4; end += 997) {
      expect(await codeFor(frame.subarray(0, end), content.byteLength)).toBe('layer-corrupt');
    }
  });

  it('refuses a flipped bit anywhere, and decodes the next frame all the same', async () => {
    const decoder = make();
    for (let at = 0; at < frame.byteLength; at += 4999) {
      const damaged = Uint8Array.from(frame);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const code = await codeOf(async () => decoder.decode(damaged, room(content.byteLength)));
      expect({ at, code }).toEqual({ at, code: 'layer-corrupt' });
      const output = room(content.byteLength);
      decoder.decode(frame, output);
      expect(Buffer.compare(output, content)).toBe(0);
    }
  });
});

describe('the decoder that is chosen', () => {
  const choose = (decode: FrameDecoder['decode']) => createFrameDecoder(() => ({ decode }));

  it('is the private handle where this Node has it as it was', () => {
    expect(createFrameDecoder()).toBeInstanceOf(DirectFrameDecoder);
  });

  it.each<readonly [string, FrameDecoder['decode']]>([
    [
      'throws',
      () => {
        throw new TypeError('no such handle');
      },
    ],
    ['does nothing', () => undefined],
    [
      'takes what is damaged',
      (input, output) => {
        try {
          new PublicFrameDecoder().decode(input, output);
        } catch {
          output.fill(0);
        }
      },
    ],
  ])('is the documented call where the private one %s', (_name, decode) => {
    expect(choose(decode)).toBeInstanceOf(PublicFrameDecoder);
  });
});
