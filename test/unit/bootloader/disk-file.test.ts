import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiskFile } from '../../../bootloader/disk-file.ts';

let folder = '';
let path = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-disk-'));
  path = join(folder, 'disk.img');
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function newDisk(): Promise<DiskFile> {
  await writeFile(path, Buffer.alloc(4096, 7));
  return DiskFile.open(path, `${path}.lock`);
}

describe('an image of a disk', () => {
  it('is changed in place, without a change of its size', async () => {
    const disk = await newDisk();
    expect([disk.sizeBytes, disk.blockBytes]).toEqual([4096, 512]);
    await disk.locked(async () => {
      await disk.write(Uint8Array.of(1, 2, 3), 1000);
      await disk.sync();
    });
    expect(Buffer.from(await disk.read(999, 5))).toEqual(Buffer.of(7, 1, 2, 3, 7));
    const file = await readFile(path);
    expect(file.byteLength).toBe(4096);
    expect(file.filter((byte) => byte !== 7)).toHaveLength(3);
  });

  it('has the blocks that it is said to have', async () => {
    await newDisk();
    expect((await DiskFile.open(path, `${path}.lock`, 4096)).blockBytes).toBe(4096);
  });

  it.each([
    [-1, 1],
    [4090, 7],
    [4096, 1],
    [0.5, 1],
    [2 ** 60, 1],
  ])('refuses %d and %d bytes outside of it', async (offset, length) => {
    const disk = await newDisk();
    await expect(disk.read(offset, length)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(disk.write(new Uint8Array(length), offset)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect((await readFile(path)).byteLength).toBe(4096);
  });

  it('cannot be opened where there is none, or something else', async () => {
    for (const wrong of [join(folder, 'missing'), folder, '/dev/null']) {
      await expect(DiskFile.open(wrong, `${path}.lock`)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    }
  });

  it('tells when it went away', async () => {
    const disk = await newDisk();
    await rm(path);
    await expect(disk.read(0, 1)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(disk.write(Uint8Array.of(1), 0)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    await expect(disk.sync()).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });
});
