import { type FileHandle, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SlotWatch } from '../../vm/slot-watch.ts';

const block = 4096;
const offsetBytes = 2 * block;

let folder: string;
let disk: FileHandle;
let image: FileHandle;
let watch: SlotWatch;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-slot-watch-'));
  await writeFile(join(folder, 'disk'), Buffer.alloc(16 * block));
  await writeFile(join(folder, 'image'), Buffer.alloc(3 * block, 7));
  disk = await open(join(folder, 'disk'), 'r+');
  image = await open(join(folder, 'image'), 'r');
  watch = new SlotWatch({ disk, image, offsetBytes, sizeBytes: 4 * block });
  await watch.look();
});

afterEach(async () => {
  await disk.close();
  await image.close();
  await rm(folder, { recursive: true });
});

async function write(at: number, bytes: Buffer): Promise<boolean> {
  await disk.write(bytes, 0, bytes.byteLength, at);
  return watch.look(at, at + bytes.byteLength);
}

describe('a watched slot', () => {
  it('is complete once its last sector is there', async () => {
    await write(offsetBytes, Buffer.alloc(3 * block - 512, 7));
    expect(watch.isComplete).toBe(false);
    await write(offsetBytes + 3 * block - 512, Buffer.alloc(512, 7));
    expect(watch.isComplete).toBe(true);
  });

  it('is not complete with anything but zeros behind the image', async () => {
    await write(offsetBytes, Buffer.alloc(3 * block, 7));
    await write(offsetBytes + 4 * block - 1, Buffer.from([1]));
    expect(watch.isComplete).toBe(false);
    await write(offsetBytes + 4 * block - 1, Buffer.from([0]));
    expect(watch.isComplete).toBe(true);
  });

  it('is not complete any more once a byte of it changes', async () => {
    await write(offsetBytes, Buffer.alloc(3 * block, 7));
    await write(offsetBytes + block + 100, Buffer.from([8]));
    expect(watch.isComplete).toBe(false);
  });

  it('sees a write that only reaches into it', async () => {
    expect(await write(0, Buffer.alloc(5 * block, 7))).toBe(true);
    expect(watch.isComplete).toBe(true);
  });

  it('is not touched by what lies before and behind', async () => {
    expect(await write(0, Buffer.alloc(2 * block, 7))).toBe(false);
    expect(await write(6 * block, Buffer.alloc(block, 7))).toBe(false);
  });
});
