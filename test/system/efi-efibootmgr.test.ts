import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EfiBootloader } from '../../bootloader/efi-boot.ts';
import { type CommandRunner, Efivarfs } from '../../bootloader/efivarfs.ts';

const run = promisify(execFile);
const guid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** Runs chattr, and empties the variable for the write that comes: efivarfs itself replaces a variable by each write. */
const commands: CommandRunner = {
  run: async ([program = '', ...args]) => {
    try {
      const { stdout } = await run(program, args);
      await truncate(args.at(-1) ?? '');
      return { exitCode: 0, output: stdout };
    } catch (error) {
      return { exitCode: 1, output: String(error) };
    }
  },
};
let folder = '';
let loop = '';

/** efibootmgr works on any folder that it is told to be efivarfs. */
async function efibootmgr(...args: readonly string[]): Promise<string> {
  return (await run('efibootmgr', args, { env: { ...process.env, EFIVARFS_PATH: `${folder}/vars/` } })).stdout;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-efi-'));
  await mkdir(join(folder, 'vars'));
  const image = join(folder, 'disk');
  const file = await open(image, 'w');
  await file.truncate(4 * 1024 * 1024).finally(() => file.close());
  await run('sgdisk', ['--clear', '-n', '1:0:+1M', '-t', '1:ef00', image]);
  loop = (await run('losetup', ['--show', '-f', image])).stdout.trim();
  for (const label of ['slot A', 'slot B', 'USB']) {
    await efibootmgr('-c', '-d', loop, '-p', '1', '-L', label, '-l', `\\EFI\\${label.at(-1)}.efi`);
  }
});
afterEach(async () => {
  await run('losetup', ['-d', loop]);
  await run('chattr', ['-R', '-i', join(folder, 'vars')]);
  await rm(folder, { recursive: true });
});

function newLoader(): EfiBootloader {
  const variables = new Efivarfs(commands, join(folder, 'lock'), join(folder, 'vars'));
  return new EfiBootloader(variables, { a: 'slot A', b: 'slot B' });
}

function linesOf(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(text.split('\n').map((line) => [line.split(': ')[0] ?? '', line.split(': ')[1] ?? '']));
}

describe('efibootmgr and kaon', () => {
  it('agree about what kaon wrote', async () => {
    const loader = newLoader();
    await loader.markGood('a');
    await loader.markBad('b');
    expect(linesOf(await efibootmgr())).toMatchObject({ BootOrder: '0000,0002' });
    await loader.activate('b', 1);
    expect(linesOf(await efibootmgr())).toMatchObject({ BootOrder: '0000,0002', BootNext: '0001' });
    await loader.markGood('b');
    const after = linesOf(await efibootmgr());
    expect(after).toMatchObject({ BootOrder: '0001,0000,0002' });
    expect(after).not.toHaveProperty('BootNext');
  });

  it('make the same entry of the same partition', async () => {
    const pathOf = (name: string) => join(folder, 'vars', `${name}-${guid}`);
    const made = await readFile(pathOf('Boot0001'));
    await run('chattr', ['-i', pathOf('Boot0001')]);
    await rm(pathOf('Boot0001'));
    const table = (await run('sgdisk', ['-i', '1', join(folder, 'disk')])).stdout;
    const [, unique = ''] = /unique GUID: (\S+)/.exec(table) ?? [];
    const [, start = ''] = /First sector: (\d+)/.exec(table) ?? [];
    const [, size = ''] = /Partition size: (\d+)/.exec(table) ?? [];
    const place = { number: 1, startBlock: BigInt(start), blockCount: BigInt(size), guid: unique };
    const variables = new Efivarfs(commands, join(folder, 'lock'), join(folder, 'vars'));
    const labels = { a: 'slot A', b: 'slot B' };
    const places = { placeOf: async () => ({ ...place, path: '/EFI/B.efi' }) };
    expect(await new EfiBootloader(variables, labels, places).repair('a', true)).toBe(true);
    // The number of before is still in the order: a new one is taken.
    expect(linesOf(await efibootmgr())['BootOrder']).toBe('0002,0001,0000,0003');
    expect((await readFile(pathOf('Boot0003'))).equals(made)).toBe(true);
  });

  it('agree about what efibootmgr wrote', async () => {
    const loader = newLoader();
    await efibootmgr('-o', '0002,0000');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: undefined, slots: { b: { state: 'bad' } } });
    await efibootmgr('-n', '0001');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', slots: { b: { triesLeft: 1 } } });
    await efibootmgr('-N');
    await efibootmgr('-o', '0001,0000');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { a: { state: 'good' } } });
  });

  it('gets past the immutable flag that the kernel sets', async () => {
    const loader = newLoader();
    await loader.markGood('a');
    await run('chattr', ['+i', join(folder, 'vars', `BootOrder-${guid}`)]);
    await loader.markBad('b');
    expect(linesOf(await efibootmgr())).toMatchObject({ BootOrder: '0000,0002' });
  });
});
