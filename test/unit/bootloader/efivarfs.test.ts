import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Efivarfs } from '../../../bootloader/efivarfs.ts';

const guid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
let folder = '';
let commands: (readonly string[])[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-efivars-'));
  commands = [];
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function newStore({ exitCode }: { readonly exitCode: number | undefined } = { exitCode: 0 }): Efivarfs {
  const run = async (argv: readonly string[]) => {
    commands.push(argv);
    return { exitCode, output: 'Operation not permitted\n' };
  };
  return new Efivarfs({ run }, `${folder}.lock`, folder);
}

describe('the variables in efivarfs', () => {
  it('are files of their name and GUID', async () => {
    const store = newStore();
    expect(await store.read('BootNext', guid)).toBeUndefined();
    await store.write('BootNext', guid, Uint8Array.of(7, 0, 0, 0, 1, 0));
    expect(await readdir(folder)).toEqual([`BootNext-${guid}`]);
    expect(Buffer.from((await store.read('BootNext', guid))!)).toEqual(Buffer.of(7, 0, 0, 0, 1, 0));
    await writeFile(join(folder, 'Other-00000000-0000-0000-0000-000000000000'), '');
    expect(await store.list(guid)).toEqual(['BootNext']);
    await store.locked(() => store.remove('BootNext', guid));
    await store.remove('BootNext', guid);
    expect(await store.list(guid)).toEqual([]);
  });

  it('lose their immutable flag before they are changed, and only where they are', async () => {
    const store = newStore();
    await store.write('BootOrder', guid, Uint8Array.of(7, 0, 0, 0));
    expect(commands).toEqual([]);
    await store.write('BootOrder', guid, Uint8Array.of(7, 0, 0, 0));
    await store.remove('BootOrder', guid);
    await store.remove('BootOrder', guid);
    const command = ['chattr', '-i', join(folder, `BootOrder-${guid}`)];
    expect(commands).toEqual([command, command]);
  });

  it.each([1, undefined])('stay as they are when chattr ends with %s', async (exitCode) => {
    const path = join(folder, `BootOrder-${guid}`);
    await writeFile(path, 'before');
    const store = newStore({ exitCode });
    await expect(store.write('BootOrder', guid, Uint8Array.of(1))).rejects.toMatchObject({
      code: 'boot-env-write-failed',
    });
    await expect(store.remove('BootOrder', guid)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(await readFile(path, 'utf8')).toBe('before');
  });

  it('cannot be read where there is no efivarfs', async () => {
    const store = new Efivarfs({ run: async () => ({ exitCode: 0, output: '' }) }, `${folder}.lock`, `${folder}/none`);
    await expect(store.list(guid)).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await expect(store.write('BootNext', guid, Uint8Array.of(1))).rejects.toMatchObject({
      code: 'boot-env-write-failed',
    });
  });
});
