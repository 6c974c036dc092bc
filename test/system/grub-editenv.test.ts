import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEnvironment, DurableFile } from '../../bootloader/durable-file.ts';
import { GrubBootloader } from '../../bootloader/grub.ts';

const run = promisify(execFile);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-editenv-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function editenv(path: string, ...args: readonly string[]): Promise<string> {
  return (await run('grub-editenv', [path, ...args])).stdout;
}

async function newLoader(name: string, dialect: 'kaon' | 'rauc') {
  const path = join(folder, name);
  await createEnvironment(path);
  const file = new DurableFile(path, `${path}.lock`);
  const layout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: dialect === 'kaon' ? 4 : 1 };
  return { path, loader: new GrubBootloader(file, undefined, layout) };
}

describe('grub-editenv and kaon', () => {
  it('agree about what kaon wrote, byte layout included', async () => {
    const { path, loader } = await newLoader('ours', 'kaon');
    await loader.repair('a', false);
    await loader.activate('b', 3);
    expect((await editenv(path, 'list')).split('\n')).toEqual([
      'ORDER=B A',
      'A_OK=1',
      'A_LEFT=4',
      'B_OK=1',
      'B_LEFT=3',
      'kaon_trial=B',
      'kaon_tries=3',
      '',
    ]);
    const ours = await readFile(path);
    // Setting what is there already makes grub-editenv lay the block out anew.
    await editenv(path, 'set', 'B_LEFT=3');
    expect(await readFile(path)).toEqual(ours);
  });

  it('agree about what grub-editenv wrote, in RAUC’s dialect', async () => {
    const { path, loader } = await newLoader('theirs', 'rauc');
    await editenv(path, 'set', 'ORDER=A B', 'A_OK=1', 'A_TRY=0', 'B_OK=1', 'B_TRY=1', 'grub_theme=dark');
    expect(await loader.readStatus()).toEqual({
      primary: 'a',
      trial: undefined,
      trialTries: 0,
      slots: { a: { state: 'good', triesLeft: 1 }, b: { state: 'unrenewed', triesLeft: 0 } },
    });
    await loader.markBad('b');
    await editenv(path, 'unset', 'grub_theme');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });
});
