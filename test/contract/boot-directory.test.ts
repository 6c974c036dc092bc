import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { BootDirectory } from '../../bootloader/boot-directory.ts';
import { MountedBootDirectory } from '../../bootloader/mounted-directory.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';

const folders: string[] = [];

afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function realDirectory(): Promise<BootDirectory> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-esp-'));
  folders.push(folder);
  await mkdir(join(folder, 'esp'));
  return new MountedBootDirectory(join(folder, 'esp'), join(folder, 'lock'));
}

const hello = Buffer.from('hello');

describe.each([
  ['a real directory', realDirectory],
  ['the fake', async () => new PowerLossDirectory({})],
])('%s', (_name, newDirectory) => {
  it('lists, reads, renames and removes what was written', async () => {
    const directory = await newDirectory();
    await directory.writeNew('one', hello);
    await directory.sync('');
    expect(await directory.list('')).toEqual(['one']);
    await directory.rename('one', 'two');
    expect(Buffer.from(await directory.read('two', 5)).toString()).toBe('hello');
    await directory.remove('two');
    await directory.remove('two');
    await directory.sync('');
    expect(await directory.list('')).toEqual([]);
  });

  it('has no files where there is no folder', async () => {
    expect(await (await newDirectory()).list('EFI/Linux')).toEqual([]);
  });

  it('writes only new names, and renames only to new ones unless told to replace', async () => {
    const directory = await newDirectory();
    await directory.writeNew('one', hello);
    await directory.writeNew('two', Buffer.from('other'));
    await expect(directory.writeNew('one', hello)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    await expect(directory.rename('one', 'two')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(Buffer.from(await directory.read('two', 9)).toString()).toBe('other');
    await directory.replaceByRename('one', 'two');
    expect(Buffer.from(await directory.read('two', 9)).toString()).toBe('hello');
    expect(await directory.list('')).toEqual(['two']);
  });

  it('refuses a missing file, and one that is longer than it may be', async () => {
    const directory = await newDirectory();
    await directory.writeNew('one', hello);
    await expect(directory.read('none', 9)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(directory.read('one', 4)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(directory.rename('none', 'two')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });

  it('reads a part of a file, and no more than there is', async () => {
    const directory = await newDirectory();
    await directory.writeNew('one', hello);
    const part = async (offset: number, length: number) =>
      Buffer.from(await directory.readRange('one', offset, length)).toString();
    expect(await Promise.all([part(1, 3), part(3, 9), part(9, 3), part(0, 0)])).toEqual(['ell', 'lo', '', '']);
    await expect(directory.readRange('none', 0, 1)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });

  it('copies a file into a folder that it made, under a new name alone', async () => {
    const directory = await newDirectory();
    await directory.makeFolder('EFI/Linux');
    await directory.makeFolder('EFI/Linux');
    await directory.writeNew('one', hello);
    await directory.copyNew('one', 'EFI/Linux/two');
    expect(Buffer.from(await directory.read('EFI/Linux/two', 9)).toString()).toBe('hello');
    expect(await directory.list('')).toEqual(['one']);
    await expect(directory.copyNew('one', 'EFI/Linux/two')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    await expect(directory.copyNew('none', 'three')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });

  it('lets one change in at a time, and the next one after a failure', async () => {
    const directory = await newDirectory();
    const order: string[] = [];
    const first = directory.locked(async () => {
      order.push('begins');
      await directory.list('');
      order.push('ends');
      throw new Error('the change failed');
    });
    // Who asks later may come first: a lock of a file is no queue.
    const second = directory.locked(async () => order.push('second'));
    await expect(first).rejects.toThrow('the change failed');
    await second;
    expect(order.indexOf('ends') - order.indexOf('begins')).toBe(1);
    expect(order).toHaveLength(3);
  });
});

describe('a real directory', () => {
  it.each(['../x', 'a/../../x', '/etc/passwd', 'a//b', '.'])('does not leave its root by %j', async (path) => {
    const directory = await realDirectory();
    await expect(directory.read(path, 100)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(directory.writeNew(path, hello)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });
});
