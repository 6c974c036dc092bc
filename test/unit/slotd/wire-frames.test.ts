import { describe, expect, it } from 'vitest';
import { encodeDataHeader, encodeMessage, FrameReader, wireLimits } from '../../../agent/slotd/wire-frames.ts';

async function* pieces(bytes: Uint8Array, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += sizeBytes) yield bytes.subarray(offset, offset + sizeBytes);
}

const stream = Buffer.concat([
  encodeMessage({ hello: 'wörld' }),
  encodeDataHeader(5),
  Buffer.from('12345'),
  encodeMessage([1, 2]),
]);

async function readAll(bytes: Uint8Array, sizeBytes: number): Promise<unknown[]> {
  const reader = new FrameReader(pieces(bytes, sizeBytes));
  const frames: unknown[] = [];
  let data = '';
  for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
    if (frame.kind === 'data') data += Buffer.from(frame.bytes).toString();
    else frames.push(frame.value);
  }
  return [...frames, data];
}

describe('frames', () => {
  it.each([1, 2, 3, 7, 1000])(
    'come out as they went in, however the socket cuts them (%i bytes)',
    async (sizeBytes) => {
      expect(await readAll(stream, sizeBytes)).toEqual([{ hello: 'wörld' }, [1, 2], '12345']);
    },
  );

  it('that are cut off are an error, at every byte', async () => {
    const ends = [
      0,
      encodeMessage({ hello: 'wörld' }).byteLength,
      stream.byteLength - encodeMessage([1, 2]).byteLength,
    ];
    for (let length = 0; length < stream.byteLength; length += 1) {
      const read = readAll(stream.subarray(0, length), 100);
      if (ends.includes(length)) await expect(read).resolves.toBeDefined();
      else await expect(read, `cut at ${length}`).rejects.toMatchObject({ code: 'slotd-protocol-invalid' });
    }
  });

  it('over their limit are refused by their header alone', async () => {
    const message = Buffer.from([0xff, 0xff, 0xff, 0xff, 1]);
    const data = Buffer.from(encodeDataHeader(wireLimits.dataBytes + 1));
    for (const bytes of [message, data]) {
      await expect(new FrameReader(pieces(bytes, 10)).next()).rejects.toMatchObject({ code: 'slotd-protocol-invalid' });
    }
  });

  it('of an unknown kind or that are no JSON are refused', async () => {
    const unknownKind = Buffer.from([0, 0, 0, 1, 9, 0]);
    const noJson = Buffer.from([0, 0, 0, 1, 1, 0x7b]);
    for (const bytes of [unknownKind, noJson]) {
      await expect(new FrameReader(pieces(bytes, 10)).next()).rejects.toMatchObject({ code: 'slotd-protocol-invalid' });
    }
  });
});
