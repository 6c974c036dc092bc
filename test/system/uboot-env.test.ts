import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseFwEnvConfig } from '../../bootloader/fw-env-config.ts';
import { RegionFile } from '../../bootloader/region-file.ts';
import { type EnvironmentCopies, UbootBootloader } from '../../bootloader/uboot.ts';
import type { UbootDialect } from '../../bootloader/uboot-variables.ts';
import { decodeCopy, encodeCopy, parseInitialEnvironment } from '../../bootloader/ubootenv.ts';

const run = promisify(execFile);
const initial = 'bootcmd=run kaon_boot\nBOOT_ORDER=A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=0\nethaddr=02:00:00:00:00:01\n';
const startBytes = 1536;
const copyBytes = 0x1000;
let folder = '';
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-fwenv-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const counting = 'bootcmd=run kaon_boot\nboot_slot=A\nupgrade_available=0\nbootcount=0\nbootlimit=3\nkaon_proven=A\n';

type Flags = 'redundant' | 'single';

/** A device with something before, between and behind the copies, and both programs' view of it. */
async function newNode(kind: Flags, dialect: UbootDialect = 'rauc') {
  const start = dialect === 'rauc' ? initial : counting;
  const device = join(folder, `device${(count += 1)}`);
  const starts = kind === 'redundant' ? [startBytes, startBytes + copyBytes + 512] : [startBytes];
  // fw_setenv pads a new copy with what lies there already.
  const bytes = Buffer.alloc(16 * 1024, 'x');
  for (const at of starts) bytes.fill(0, at, at + copyBytes);
  await writeFile(device, bytes);
  // Sizes are hexadecimal to fw_printenv, whether they say so or not.
  const text = starts.map((at, index) => `${device} ${at} ${index === 0 ? '1000' : '0x1000'}\n`).join('');
  const config = `${device}.config`;
  await writeFile(config, `# of the test\n${text}`);
  await writeFile(`${device}.initial`, start);
  const files = parseFwEnvConfig(text).map((region) => new RegionFile(region, `${device}.lock`));
  const [first, second] = files;
  if (first === undefined) throw new Error('no copy');
  const copies: EnvironmentCopies = second === undefined ? [first] : [first, second];
  const layout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: 3 };
  const defaults = parseInitialEnvironment(start);
  const loader = new UbootBootloader(copies, { sizeBytes: copyBytes, layout, defaults, allowSingleCopy: true });
  const set = (...args: readonly string[]) => run('fw_setenv', ['-c', config, '-f', `${device}.initial`, ...args]);
  const print = async () => {
    const { stdout, stderr } = await run('fw_printenv', ['-c', config]);
    expect(stderr).toBe('');
    return Object.fromEntries(parseInitialEnvironment(stdout));
  };
  const copy = async (index: number) => (await readFile(device)).subarray(starts[index]).subarray(0, copyBytes);
  return { device, starts, loader, set, print, copy };
}

describe.each<Flags>(['redundant', 'single'])('fw_printenv, fw_setenv and kaon over a %s environment', (kind) => {
  it('agree about what kaon wrote', async () => {
    const { loader, print } = await newNode(kind);
    expect(await loader.repair('a', false)).toBe(true);
    const sound = { bootcmd: 'run kaon_boot', ethaddr: '02:00:00:00:00:01', BOOT_ORDER: 'A', BOOT_A_LEFT: '3' };
    expect(await print()).toMatchObject({ ...sound, kaon_trial: '-', kaon_tries: '0' });
    for (let round = 0; round < 5; round += 1) {
      await loader.activate('b', 10);
      expect(await print()).toMatchObject({ BOOT_ORDER: 'B A', BOOT_B_LEFT: 'a', kaon_trial: 'B', kaon_tries: '10' });
      await loader.markBad('b');
      expect(await print()).toEqual({ ...sound, BOOT_B_LEFT: '0', kaon_trial: '-', kaon_tries: '0' });
    }
  });

  it('agree about what fw_setenv wrote', async () => {
    const { loader, set } = await newNode(kind);
    await set('BOOT_ORDER', 'B A');
    for (let round = 0; round < 4; round += 1) {
      for (const left of ['f', '1']) {
        await set('BOOT_B_LEFT', left);
        expect(await loader.readStatus()).toMatchObject({
          primary: 'b',
          slots: { a: { state: 'good', triesLeft: 3 }, b: { triesLeft: Number.parseInt(left, 16) } },
        });
      }
    }
    await set('BOOT_A_LEFT');
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
  });

  it('take turns', async () => {
    const { loader, set, print } = await newNode(kind);
    await loader.repair('a', false);
    for (const turn of ['1', '2', '3', '4', '5']) {
      await set('turn', turn);
      await loader.activate('b', 2);
      await set('BOOT_B_LEFT', '1');
      expect(await loader.readStatus()).toMatchObject({ trial: 'b', slots: { b: { triesLeft: 1 } } });
      await loader.markBad('b');
      expect(await print()).toMatchObject({ turn, BOOT_ORDER: 'A', BOOT_B_LEFT: '0' });
    }
  });

  it('write the same bytes, and none outside their copies', async () => {
    const { loader, set, copy, device, starts } = await newNode(kind);
    for (const write of [() => set('BOOT_ORDER', 'A'), () => loader.activate('b', 3), () => set('turn', '1')]) {
      await write();
      for (const at of starts.keys()) {
        const written = await copy(at);
        // A copy that nobody wrote yet.
        if (written.every((byte) => byte === 0)) continue;
        const { flags, variables } = decodeCopy(written, kind === 'redundant');
        expect(Buffer.from(encodeCopy(variables, copyBytes, flags))).toEqual(written);
      }
    }
    const bytes = await readFile(device);
    for (const [at, start] of starts.entries()) {
      const gapEnd = starts[at + 1] ?? bytes.byteLength;
      expect(bytes.subarray(start + copyBytes, gapEnd).every((byte) => byte === 0x78)).toBe(true);
    }
    expect(bytes.subarray(0, startBytes).every((byte) => byte === 0x78)).toBe(true);
  });
});

describe.each<Flags>(['redundant', 'single'])('U-Boot’s own counter in a %s environment', (kind) => {
  it('is armed, counted and ended in the same words by kaon and by fw_setenv', async () => {
    const { loader, set, print } = await newNode(kind, 'bootcount');
    await loader.repair('a', false);
    for (let round = 0; round < 3; round += 1) {
      await loader.activate('b', 12);
      const armed = { boot_slot: 'B', upgrade_available: '1', bootcount: '0', bootlimit: '12', kaon_proven: 'A' };
      expect(await print()).toEqual({ bootcmd: 'run kaon_boot', ...armed, kaon_trial: 'B', kaon_tries: '12' });
      // As U-Boot counts: decimal.
      await set('bootcount', '11');
      expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', slots: { b: { triesLeft: 1 } } });
      await set('bootcount', '12');
      expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { triesLeft: 0 } } });
      await loader.markBad('b');
      expect(await print()).toMatchObject({ boot_slot: 'A', upgrade_available: '0', bootcount: '0', kaon_trial: '-' });
    }
    await set('kaon_proven');
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
  });
});

describe('two environment files', () => {
  it('are each an environment of one copy to fw_printenv and mkenvimage', async () => {
    const files = ['1.env', '2.env'].map((name) => join(folder, name));
    const [first = '', second = ''] = files;
    const text = (sequence: number) => `${initial}kaon_sequence=${sequence.toString(16)}\n`;
    for (const [index, file] of files.entries()) {
      await writeFile(`${file}.text`, text(9 + index));
      await run('mkenvimage', ['-p', '0x00', '-s', String(copyBytes), '-o', file, `${file}.text`]);
      await writeFile(`${file}.config`, `${file} 0 0x1000\n`);
    }
    const print = async (file: string) => {
      const { stdout, stderr } = await run('fw_printenv', ['-c', `${file}.config`]);
      expect(stderr).toBe('');
      return Object.fromEntries(parseInitialEnvironment(stdout));
    };
    const lock = join(folder, 'files.lock');
    const region = (device: string) => new RegionFile({ device, offsetBytes: 0, sizeBytes: copyBytes }, lock);
    const layout = { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3 } as const;
    const options = { sizeBytes: copyBytes, layout, flags: 'sequence' } as const;
    const loader = new UbootBootloader([region(first), region(second)], options);
    await loader.activate('b', 3);
    expect(await print(first)).toMatchObject({ BOOT_ORDER: 'B A', kaon_trial: 'B', kaon_sequence: 'b' });
    expect(await print(second)).toMatchObject({ BOOT_ORDER: 'A', kaon_sequence: 'a' });
    // A file that fw_setenv changed keeps its number: it counts as it did.
    await run('fw_setenv', ['-c', `${first}.config`, 'BOOT_B_LEFT', '1']);
    expect(await loader.readStatus()).toMatchObject({ trial: 'b', slots: { b: { triesLeft: 1 } } });
    const entries = parseInitialEnvironment(text(0xa));
    expect(Buffer.from(encodeCopy(entries, copyBytes, undefined))).toEqual(await readFile(second));
  });
});

describe('two copies of which one is torn', () => {
  it('are read alike by fw_printenv and kaon', async () => {
    const { loader, print, device, starts } = await newNode('redundant');
    await loader.repair('a', false);
    await loader.activate('b', 3);
    const [first = 0, second = 0] = starts;
    for (const [start, order] of [
      [second, 'A'],
      [first, undefined],
    ] as const) {
      const handle = await open(device, 'r+');
      await handle.write(Buffer.from('torn'), 0, 4, start + 10).finally(() => handle.close());
      if (order === undefined) {
        await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
      } else {
        expect((await print()).BOOT_ORDER).toBe(order);
        expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
      }
    }
  });

  it('keep fw_printenv and kaon together where the flags wrap', async () => {
    const { loader, print, device, starts } = await newNode('redundant');
    const sound = parseInitialEnvironment(initial);
    const handle = await open(device, 'r+');
    await handle.write(encodeCopy([['stale', '1'], ...sound], copyBytes, 254), 0, copyBytes, starts[0] ?? 0);
    await handle.write(encodeCopy([['stale', '0'], ...sound], copyBytes, 255), 0, copyBytes, starts[1] ?? 0);
    await handle.close();
    for (const wanted of ['B A', 'A', 'B A']) {
      await (wanted === 'A' ? loader.markBad('b') : loader.activate('b', 3));
      expect(await print()).toMatchObject({ stale: '0', BOOT_ORDER: wanted });
    }
  });
});

describe('mkenvimage and kaon', () => {
  it.each([
    ['one copy', [], undefined],
    ['one of two copies', ['-r'], 1],
  ])('write the same bytes for %s', async (_name, args, flags) => {
    const input = join(folder, 'input');
    const output = join(folder, 'output');
    await writeFile(input, initial);
    await run('mkenvimage', [...args, '-p', '0x00', '-s', '4096', '-o', output, input]);
    expect(Buffer.from(encodeCopy(parseInitialEnvironment(initial), 4096, flags))).toEqual(await readFile(output));
  });
});

describe('a region of a block device', () => {
  it('is the one that fw_printenv reads', async ({ skip }) => {
    const file = join(folder, 'disk');
    await writeFile(file, Buffer.alloc(64 * 1024, 'x'));
    const device = await run('losetup', ['--show', '-f', file]).then(
      ({ stdout }) => stdout.trim(),
      () => '',
    );
    if (device === '') skip('no loop device here');
    try {
      const text = `${device} 0x1000 0x1000\n${device} -0x1000 0x1000\n`;
      const regions = parseFwEnvConfig(text);
      const [first, second] = regions.map((region) => new RegionFile(region, join(folder, 'loop.lock')));
      if (first === undefined || second === undefined) throw new Error('no copies');
      const layout = { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3 } as const;
      const defaults = parseInitialEnvironment(initial);
      const loader = new UbootBootloader([first, second], { sizeBytes: copyBytes, layout, defaults });
      await loader.repair('a', false);
      await loader.activate('b', 3);
      const config = join(folder, 'loop.config');
      await writeFile(config, `${device} 0x1000 0x1000\n${device} 0xf000 0x1000\n`);
      expect((await run('fw_printenv', ['-c', config, 'BOOT_ORDER'])).stdout).toBe('BOOT_ORDER=B A\n');
    } finally {
      await run('losetup', ['-d', device]);
    }
  });
});
