import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegionFile } from '../../../bootloader/region-file.ts';

const deviceBytes = 4096;
let folder = '';
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-region-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function newDevice(): Promise<string> {
  const path = join(folder, `device${(count += 1)}`);
  await writeFile(path, Buffer.alloc(deviceBytes, 'x'));
  return path;
}

function region(device: string, offsetBytes: number, sizeBytes = 1024): RegionFile {
  return new RegionFile({ device, offsetBytes, sizeBytes }, `${device}.lock`);
}

describe('a region of a file', () => {
  it.each([
    ['from the beginning', 1024, 1024],
    ['from the end', -2048, 2048],
    ['at the very end', -1024, 3072],
  ])('lies where it is said to lie, %s', async (_name, offsetBytes, start) => {
    const device = await newDevice();
    const file = region(device, offsetBytes);
    await file.write(Buffer.alloc(1024, 'y'), 0);
    await file.write(Buffer.from('z'), 1023);
    await file.sync();
    const bytes = await readFile(device);
    expect(bytes.byteLength).toBe(deviceBytes);
    expect(bytes.subarray(0, start).every((byte) => byte === 0x78)).toBe(true);
    expect(bytes.subarray(start + 1024).every((byte) => byte === 0x78)).toBe(true);
    expect(await file.read()).toEqual(bytes.subarray(start, start + 1024));
    expect(bytes[start + 1023]).toBe(0x7a);
  });

  it.each([
    ['over its end', 1024, 1],
    ['partly over its end', 1020, 5],
    ['before its beginning', -1, 1],
    ['at no whole byte', 0.5, 1],
  ])('is never written %s', async (_name, offset, length) => {
    const device = await newDevice();
    await expect(region(device, 1024).write(Buffer.alloc(length), offset)).rejects.toMatchObject({
      code: 'boot-env-write-failed',
    });
    expect((await readFile(device)).every((byte) => byte === 0x78)).toBe(true);
  });

  it.each([3073, 4096, -1000, -4097])('that would leave its device, at %d, is neither read nor written', async (at) => {
    const device = await newDevice();
    const file = region(device, at);
    await expect(file.read()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(file.write(Buffer.alloc(1), 0)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect((await stat(device)).size).toBe(deviceBytes);
  });

  it('is unreadable on a device that is absent, a folder or raw flash', async () => {
    for (const device of [join(folder, 'absent'), folder, '/dev/null']) {
      const file = new RegionFile({ device, offsetBytes: 0, sizeBytes: 16 }, join(folder, 'lock'));
      await expect(file.read()).rejects.toMatchObject({ code: 'boot-env-unreadable', details: { device } });
      await expect(file.sync()).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    }
  });

  it('is unreadable where the file became shorter', async () => {
    const device = await newDevice();
    await truncate(device, 1500);
    await expect(region(device, 1024).read()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });

  it('lets one change in at a time', async () => {
    const device = await newDevice();
    const [one, other] = [region(device, 0), region(device, 2048)];
    const order: string[] = [];
    const begun = Promise.withResolvers<undefined>();
    const slow = one.locked(async () => {
      order.push('first begins');
      begun.resolve(undefined);
      await one.read();
      order.push('first ends');
      throw new Error('the change failed');
    });
    await begun.promise;
    const next = other.locked(async () => {
      order.push('second');
    });
    await expect(slow).rejects.toThrow('the change failed');
    await next;
    expect(order).toEqual(['first begins', 'first ends', 'second']);
  });
});
