import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createEnvironment, DurableFile } from '../../bootloader/durable-file.ts';
import type { EnvironmentFile } from '../../bootloader/environment-file.ts';
import { decodeEnvironment } from '../../bootloader/grubenv.ts';
import { PowerLossFile } from '../fakes/power-loss-file.ts';

const folders: string[] = [];

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-env-'));
  folders.push(folder);
  return folder;
}

afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function realFile(): Promise<EnvironmentFile> {
  const folder = await newFolder();
  await writeFile(join(folder, 'grubenv'), Buffer.alloc(1024, 'x'));
  return new DurableFile(join(folder, 'grubenv'), join(folder, 'lock'));
}

describe.each([
  ['a real file', realFile],
  ['the fake', async () => new PowerLossFile(Buffer.alloc(1024, 'x'))],
])('%s', (_name, newFile) => {
  it('reads back what was written where it was written', async () => {
    const file = await newFile();
    await file.write(Buffer.from('abc'), 510);
    await file.sync();
    const bytes = Buffer.from(await file.read());
    expect(bytes).toHaveLength(1024);
    expect(bytes.toString('latin1', 508, 515)).toBe('xxabcxx');
  });

  it('never grows', async () => {
    const file = await newFile();
    await expect(file.write(Buffer.alloc(2), 1023)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(await file.read()).toHaveLength(1024);
  });

  it('lets one change in at a time, and the next one after a failure', async () => {
    const file = await newFile();
    const order: string[] = [];
    const slow = file.locked(async () => {
      order.push('first begins');
      await file.read();
      order.push('first ends');
      throw new Error('the change failed');
    });
    // Who asks later may come first: a lock of a file is no queue.
    const next = file.locked(async () => {
      order.push('second');
    });
    await expect(slow).rejects.toThrow('the change failed');
    await next;
    expect(order.indexOf('first ends') - order.indexOf('first begins')).toBe(1);
    expect(order).toHaveLength(3);
  });
});

describe('a real file', () => {
  it('that is missing, empty or huge cannot be read', async () => {
    const folder = await newFolder();
    const path = join(folder, 'grubenv');
    const file = new DurableFile(path, join(folder, 'lock'));
    await expect(file.read()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await writeFile(path, '');
    await expect(file.read()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    await truncate(path, 1_000_000);
    await expect(file.read()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });

  it('keeps its inode: it is written in place', async () => {
    const folder = await newFolder();
    const path = join(folder, 'grubenv');
    await createEnvironment(path);
    const before = await stat(path);
    const file = new DurableFile(path, join(folder, 'lock'));
    await file.locked(() => file.write(Buffer.alloc(1024, '#'), 0));
    expect((await stat(path)).ino).toBe(before.ino);
    expect(await readdir(folder)).toEqual(['grubenv']);
  });

  it('takes over the lock of a process that is gone', async () => {
    const folder = await newFolder();
    const path = join(folder, 'grubenv');
    await createEnvironment(path);
    await writeFile(join(folder, 'lock'), '2147483646');
    const file = new DurableFile(path, join(folder, 'lock'));
    expect(await file.locked(async () => 'in')).toBe('in');
  });

  it('is created empty, once', async () => {
    const path = join(await newFolder(), 'grubenv');
    await createEnvironment(path);
    await expect(createEnvironment(path)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    const file = new DurableFile(path, `${path}.lock`);
    expect(decodeEnvironment(await file.read())).toEqual([]);
  });
});
