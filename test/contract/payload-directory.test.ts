import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { MountedPayloadDirectory } from '../../partitions/mounted-payload-directory.ts';
import type { PayloadDirectory } from '../../partitions/payload-directory.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';
import { PowerLossPayloads } from '../fakes/power-loss-payloads.ts';
import { patternBytes } from '../fakes/sample-image.ts';

const folders: string[] = [];

afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function realDirectory(): Promise<PayloadDirectory> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-payloads-'));
  folders.push(folder);
  await mkdir(join(folder, 'esp'));
  return new MountedPayloadDirectory(join(folder, 'esp'));
}

async function* pieces(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of all) yield piece;
}

async function textOf(directory: PayloadDirectory, path: string): Promise<Buffer> {
  const read: Uint8Array[] = [];
  for await (const bytes of directory.content(path)) read.push(Uint8Array.from(bytes));
  return Buffer.concat(read);
}

describe.each([
  ['a real directory', realDirectory],
  ['the fake', async () => new PowerLossPayloads(new PowerLossDirectory({}))],
])('%s', (_name, newDirectory) => {
  it('gives back what was written, piece by piece, under its last name', async () => {
    const directory = await newDirectory();
    await directory.makeFolder('kaon/b');
    await directory.makeFolder('kaon/b');
    await directory.write('kaon/b/kernel.tmp', pieces(Buffer.from('ker'), Buffer.from('nel')));
    await directory.sync('kaon/b');
    await directory.rename('kaon/b/kernel.tmp', 'kaon/b/kernel');
    await directory.sync('kaon/b');
    expect(await directory.files('kaon/b')).toEqual([{ name: 'kernel', sizeBytes: 6 }]);
    expect((await textOf(directory, 'kaon/b/kernel')).toString()).toBe('kernel');
    await directory.remove('kaon/b/kernel');
    await directory.remove('kaon/b/kernel');
    expect(await directory.files('kaon/b')).toEqual([]);
  });

  it.each([1, 4095, 4096, 4097, 300_000])('gives back all of %d bytes', async (sizeBytes) => {
    const directory = await newDirectory();
    const bytes = patternBytes(300_000, 5).subarray(0, sizeBytes);
    await directory.makeFolder('kaon');
    await directory.write('kaon/one', pieces(bytes.subarray(0, sizeBytes >> 1), bytes.subarray(sizeBytes >> 1)));
    expect((await textOf(directory, 'kaon/one')).equals(bytes)).toBe(true);
  });

  it('has no files where there is no folder, and some room', async () => {
    const directory = await newDirectory();
    expect(await directory.files('kaon/a')).toEqual([]);
    const { freeBytes, clusterBytes } = await directory.room();
    expect(freeBytes).toBeGreaterThan(clusterBytes);
    expect(clusterBytes % 512).toBe(0);
  });

  it('writes only new names, renames only to new ones, and reads only what is there', async () => {
    const directory = await newDirectory();
    await directory.makeFolder('kaon');
    await directory.write('kaon/one', pieces(Buffer.from('1')));
    await directory.write('kaon/two', pieces(Buffer.from('2')));
    const failure = { code: 'boot-partition-failed' };
    await expect(directory.write('kaon/one', pieces(Buffer.from('3')))).rejects.toMatchObject(failure);
    await expect(directory.rename('kaon/one', 'kaon/two')).rejects.toMatchObject(failure);
    await expect(directory.rename('kaon/none', 'kaon/three')).rejects.toMatchObject(failure);
    await expect(textOf(directory, 'kaon/none')).rejects.toMatchObject(failure);
    expect((await textOf(directory, 'kaon/two')).toString()).toBe('2');
  });

  it('leaves the word of a source that fails as it is', async () => {
    const directory = await newDirectory();
    await directory.makeFolder('kaon');
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('begin');
      throw new RangeError('the link broke');
    };
    await expect(directory.write('kaon/one', failing())).rejects.toThrow(new RangeError('the link broke'));
  });
});

describe('a real directory', () => {
  it.each(['../x', 'a/../../x', '/etc/passwd', 'a//b', '.'])('does not leave its root by %j', async (path) => {
    const directory = await realDirectory();
    const failure = { code: 'boot-partition-failed' };
    await expect(textOf(directory, path)).rejects.toMatchObject(failure);
    await expect(directory.write(path, pieces(Buffer.from('x')))).rejects.toMatchObject(failure);
    await expect(directory.makeFolder(path)).rejects.toMatchObject(failure);
  });
});
