import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FollowedRepositoryFile } from '../../../agent/store/followed-repository-file.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-followed-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const name = 'followed-repository.json';

describe('the repository that is followed', () => {
  it('is kept over restarts, and changes when another one is followed', async () => {
    const file = await FollowedRepositoryFile.open(folder);
    expect(file.current).toBeUndefined();
    await file.follow('r.test/os');
    expect((await FollowedRepositoryFile.open(folder)).current).toBe('r.test/os');
    await file.follow('r.test/lab');
    expect([file.current, (await FollowedRepositoryFile.open(folder)).current]).toEqual(['r.test/lab', 'r.test/lab']);
    expect(readdirSync(folder)).toEqual([name]);
  });

  it('is read from what a newer version wrote', async () => {
    writeFileSync(join(folder, name), JSON.stringify({ formatVersion: 2, repository: 'r.test/os', more: true }));
    expect((await FollowedRepositoryFile.open(folder)).current).toBe('r.test/os');
  });

  it.each(['', '{', '{"formatVersion":1}', '{"formatVersion":1,"repository":"no repository"}', ' '.repeat(5000)])(
    'is none where the file holds %j, and the next one is kept',
    async (text) => {
      writeFileSync(join(folder, name), text);
      const file = await FollowedRepositoryFile.open(folder);
      expect(file.current).toBeUndefined();
      await file.follow('r.test/os');
      expect((await FollowedRepositoryFile.open(folder)).current).toBe('r.test/os');
    },
  );

  it('is an error where it cannot be kept', async () => {
    const file = await FollowedRepositoryFile.open(join(folder, name, 'below'));
    writeFileSync(join(folder, name), 'a file');
    await expect(file.follow('r.test/os')).rejects.toMatchObject({ code: 'journal-failed' });
    expect(file.current).toBeUndefined();
  });
});
