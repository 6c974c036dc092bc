import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyFile } from '../../../bootloader/copy-file.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-copy-file-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a copy', () => {
  it.each([0, 1, 4096, 1024 * 1024, 2 * 1024 * 1024 + 5])('of %d bytes has them all', async (sizeBytes) => {
    const bytes = Buffer.alloc(sizeBytes, 'some bytes of an image ');
    writeFileSync(join(folder, 'from'), bytes);
    await copyFile(join(folder, 'from'), join(folder, 'to'));
    expect(readFileSync(join(folder, 'to')).equals(bytes)).toBe(true);
  });

  it('never takes a name that is there', async () => {
    writeFileSync(join(folder, 'from'), 'one');
    writeFileSync(join(folder, 'to'), 'another');
    await expect(copyFile(join(folder, 'from'), join(folder, 'to'))).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(join(folder, 'to'), 'utf8')).toBe('another');
  });

  it('leaves nothing behind when it fails', async () => {
    await expect(copyFile(join(folder, 'nothing'), join(folder, 'to'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
