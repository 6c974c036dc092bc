import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LinuxBlockDevice } from '../../../partitions/linux-block-device.ts';
import { zeroRangeByCommand } from '../../../partitions/zero-range.ts';

const mebibyte = 1024 * 1024;
const sizeBytes = 32 * mebibyte;
const never = new AbortController().signal;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-zero-'));
  path = join(folder, 'slot.img');
  const handle = await open(path, 'w');
  await handle.write(Buffer.alloc(sizeBytes, 0xa5));
  await handle.sync();
  await handle.close();
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

type Asked = (offset: number, sizeBytes: number) => Promise<boolean>;

async function withDevice(zeroRange: Asked, use: (device: LinuxBlockDevice) => Promise<void>): Promise<Buffer> {
  const handle = await open(path, 'r+');
  const device = new LinuxBlockDevice({ path, handle, sizeBytes, alignmentBytes: 4096, isDirect: false, zeroRange });
  await use(device);
  await device.close();
  const read = await open(path, 'r');
  const bytes = Buffer.alloc(sizeBytes);
  await read.read(bytes, 0, sizeBytes, 0);
  await read.close();
  return bytes;
}

const want = (start: number, end: number) => Buffer.alloc(sizeBytes, 0xa5).fill(0, start, end);

describe('a long range of zeros', () => {
  it('is made by the kernel in what is open, and takes no room any more', async () => {
    const handle = await open(path, 'r+');
    const target = { descriptor: handle.fd, kind: 'file' } as const;
    // What the path names by now is another thing.
    await rm(path);
    expect(await zeroRangeByCommand(target, 8 * mebibyte, 16 * mebibyte, never)).toBe(true);
    const bytes = Buffer.alloc(sizeBytes);
    await handle.read(bytes, 0, sizeBytes, 0);
    expect(want(8 * mebibyte, 24 * mebibyte).equals(bytes)).toBe(true);
    expect((await handle.stat()).blocks * 512).toBeLessThan(20 * mebibyte);
    expect((await handle.stat()).size).toBe(sizeBytes);
    await handle.close();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is not made by the kernel where the device is none, and when it is ended', async () => {
    const handle = await open(path, 'r+');
    const file = { descriptor: handle.fd, kind: 'file' } as const;
    expect(await zeroRangeByCommand({ ...file, kind: 'block' }, 0, 8 * mebibyte, never)).toBe(false);
    expect(await zeroRangeByCommand(file, 0, 8 * mebibyte, AbortSignal.abort())).toBe(false);
    await handle.close();
  });

  it('is left to the kernel, and a short one is written', async () => {
    const asked: number[][] = [];
    const bytes = await withDevice(
      async (...range) => asked.push(range) > 0,
      async (device) => {
        await device.zero(4096, 8 * mebibyte - 4096);
        await device.zero(16 * mebibyte, 8 * mebibyte);
      },
    );
    expect(asked.map((range) => range.slice(0, 2))).toEqual([[16 * mebibyte, 8 * mebibyte]]);
    expect(want(4096, 8 * mebibyte).equals(bytes)).toBe(true);
  });

  it('is written where the kernel can’t, which is asked once', async () => {
    let count = 0;
    const bytes = await withDevice(
      async () => {
        count += 1;
        return false;
      },
      async (device) => {
        await device.zero(0, 8 * mebibyte);
        await device.zero(8 * mebibyte, 9 * mebibyte);
      },
    );
    expect(count).toBe(1);
    expect(want(0, 17 * mebibyte).equals(bytes)).toBe(true);
  });
});
