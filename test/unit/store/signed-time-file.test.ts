import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SignedTimeFile } from '../../../agent/store/signed-time-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-signed-time-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const path = () => join(folder, 'signed-time.json');

describe('the latest attested time', () => {
  it('is kept over restarts, and never goes back', async () => {
    const file = await SignedTimeFile.open(folder);
    expect(file.latestMs).toBeUndefined();
    await file.raise(1000);
    await file.raise(500);
    expect(file.latestMs).toBe(1000);
    expect((await SignedTimeFile.open(folder)).latestMs).toBe(1000);
    expect(readdirSync(folder)).toEqual(['signed-time.json']);
  });

  it('is read from what a newer version wrote', async () => {
    writeFileSync(path(), JSON.stringify({ formatVersion: 2, latestMs: 7, more: true }));
    expect((await SignedTimeFile.open(folder)).latestMs).toBe(7);
  });

  it.each(['', '{', '{"formatVersion":1}', '{"formatVersion":1,"latestMs":-1}', `{"formatVersion":1,"latestMs":1e99}`])(
    'is none where the file holds %j, and can be raised again',
    async (text) => {
      writeFileSync(path(), text);
      const file = await SignedTimeFile.open(folder);
      expect(file.latestMs).toBeUndefined();
      await file.raise(3);
      expect((await SignedTimeFile.open(folder)).latestMs).toBe(3);
    },
  );

  it('is an error where it cannot be kept', async () => {
    const file = await SignedTimeFile.open(join(folder, 'signed-time.json', 'below'));
    writeFileSync(path(), 'a file');
    await expect(file.raise(3)).rejects.toMatchObject({ code: 'journal-failed' });
    expect(file.latestMs).toBeUndefined();
  });
});
