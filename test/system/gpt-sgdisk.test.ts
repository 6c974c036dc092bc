import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiskFile } from '../../bootloader/disk-file.ts';
import { GptBootloader } from '../../bootloader/gpt.ts';

const run = promisify(execFile);
const kernelType = 'FE3A2A5D-4F32-41A7-B725-ACCC3285A309';
const guids = { a: 'aaaaaaaa-0001-4000-8000-00000000000a', b: 'bbbbbbbb-0002-4000-8000-00000000000b' };
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-gpt-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function sgdisk(...args: readonly string[]): Promise<string> {
  return (await run('sgdisk', args)).stdout;
}

async function newImage(name: string): Promise<string> {
  const path = join(folder, name);
  const file = await open(path, 'w');
  await file.truncate(8 * 1024 * 1024).finally(() => file.close());
  return path;
}

async function partition(path: string): Promise<void> {
  const slots = Object.values(guids).flatMap((guid, index) => {
    const number = index + 1;
    return ['-n', `${number}:0:+1M`, '-t', `${number}:${kernelType}`, '-u', `${number}:${guid}`];
  });
  await sgdisk('--clear', ...slots, '-A', '1:set:48', '-A', '1:set:56', '-A', '2:set:2', path);
}

async function openLoader(path: string): Promise<GptBootloader> {
  return new GptBootloader(await DiskFile.open(path, join(folder, 'lock')), guids);
}

async function flagsOf(path: string): Promise<readonly (string | undefined)[]> {
  const infos = [await sgdisk('-i', '1', path), await sgdisk('-i', '2', path)];
  return infos.map((info) => /Attribute flags: ([0-9A-F]{16})/.exec(info)?.[1]);
}

/** What sgdisk makes of the disk when all it has is one of the two tables. */
async function flagsOfBackup(path: string): Promise<readonly (string | undefined)[]> {
  const copy = join(folder, 'backup-only');
  await run('cp', [path, copy]);
  const file = await open(copy, 'r+');
  await file.write(Buffer.alloc(512), 0, 512, 512).finally(() => file.close());
  return flagsOf(copy);
}

describe('sgdisk and kaon', () => {
  it('agree about what kaon wrote, in both tables', async () => {
    const path = await newImage('ours');
    await partition(path);
    const loader = await openLoader(path);
    for (const [change, flags] of [
      [() => loader.activate('b', 5), ['0151000000000000', '0056000000000004']],
      [() => loader.markGood('b'), ['0101000000000000', '0102000000000004']],
      [() => loader.activate('a', 15), ['00FF000000000000', '01F2000000000004']],
      [() => loader.markBad('a'), ['0000000000000000', '0102000000000004']],
    ] as const) {
      await change();
      expect(await flagsOf(path)).toEqual(flags);
      expect(await sgdisk('-v', path)).toContain('No problems found');
      expect(await flagsOfBackup(path)).toEqual(flags);
    }
  });

  it('agree about what sgdisk wrote', async () => {
    const path = await newImage('theirs');
    await partition(path);
    const loader = await openLoader(path);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: undefined, slots: { b: { state: 'bad' } } });
    await sgdisk('-A', '2:set:49', '-A', '2:set:53', '-A', '2:set:54', path);
    expect(await loader.readStatus()).toEqual({
      primary: 'b',
      trial: 'b',
      trialTries: 6,
      slots: { a: { state: 'good', triesLeft: 15 }, b: { state: 'trial', triesLeft: 6 } },
    });
  });

  it('lay the tables out alike: what sgdisk writes anew is what kaon wrote', async () => {
    const path = await newImage('alike');
    await partition(path);
    const loader = await openLoader(path);
    await loader.activate('b', 3);
    const copy = join(folder, 'rewritten');
    await run('cp', [path, copy]);
    await sgdisk('-A', '2:clear:60', copy);
    await run('cmp', [path, copy]);
  });
});

describe('cgpt and kaon', () => {
  async function cgpt(path: string): Promise<readonly string[]> {
    const field = async (index: number, flag: string) =>
      (await run('cgpt', ['show', '-i', String(index), flag, path])).stdout.trim();
    return Promise.all([1, 2].flatMap((index) => ['-P', '-T', '-S'].map((flag) => field(index, flag))));
  }

  it('agree about priority, tries and successful', async () => {
    const path = await newImage('cgpt');
    await partition(path);
    const loader = await openLoader(path);
    await loader.activate('b', 9);
    expect(await cgpt(path)).toEqual(['1', '9', '1', '10', '9', '0']);
    await loader.markGood('b');
    expect(await cgpt(path)).toEqual(['1', '0', '1', '2', '0', '1']);
    await run('cgpt', ['add', '-i', '1', '-P', '3', '-T', '2', '-S', '0', path]);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'a',
      trial: 'a',
      trialTries: 2,
      slots: { b: { state: 'good' } },
    });
  });
});
