import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildBootloader } from '../../../agent/compose/build-bootloader.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import { encodeCopy } from '../../../bootloader/ubootenv.ts';

const sizeBytes = 4096;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-build-loader-'));
  const variables = [
    ['bootcmd', 'run distro'],
    ['BOOT_ORDER', 'A'],
    ['BOOT_A_LEFT', '3'],
    ['BOOT_B_LEFT', '0'],
  ] as const;
  const image = Buffer.alloc(4 * sizeBytes, 0xff);
  image.set(encodeCopy(variables, sizeBytes, 1), sizeBytes);
  image.set(encodeCopy(variables, sizeBytes, 0), 2 * sizeBytes);
  writeFileSync(join(folder, 'flash'), image);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** The adapter of a node whose fw_env.config has these lines. */
async function build(lines: readonly string[], more = '') {
  writeFileSync(join(folder, 'fw_env.config'), `# device offset size\n${lines.join('\n')}\n`);
  const { bootloader } = parseConfig({
    image: undefined,
    node: [
      {
        path: 'kaon.yaml',
        text: `formatVersion: 1
node: {compatible: acme}
slots:
  a: {bootName: A, partitions: {root: {device: /dev/a}}}
  b: {bootName: B, partitions: {root: {device: /dev/b}}}
bootloader: {type: uboot, environment: ${join(folder, 'fw_env.config')}${more}}
`,
      },
    ],
  });
  if (bootloader.type === 'systemd-boot') throw new Error('this is built elsewhere');
  return buildBootloader(bootloader, { a: 'A', b: 'B' }, folder);
}

const copy = (offset: number) => `${join(folder, 'flash')} 0x${offset.toString(16)} 0x${sizeBytes.toString(16)}`;

describe('the adapter of U-Boot', () => {
  it('drives both copies that fw_env.config names, and nothing around them', async () => {
    const loader = await build([copy(sizeBytes), copy(2 * sizeBytes)]);
    await loader.activate('b', 3);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', slots: { a: { state: 'good' } } });
    const image = readFileSync(join(folder, 'flash'));
    expect(image.subarray(0, sizeBytes).every((byte) => byte === 0xff)).toBe(true);
    expect(image.subarray(3 * sizeBytes).every((byte) => byte === 0xff)).toBe(true);
    expect(image.toString('latin1')).toContain('bootcmd=run distro');
  });

  it('drives two files by their sequence, and makes a torn one anew', async () => {
    const files = ['1.env', '2.env'].map((name) => join(folder, name));
    for (const file of files) writeFileSync(file, Buffer.alloc(sizeBytes));
    const lines = files.map((file) => `${file} 0 0x1000`);
    const loader = await build(lines, ', flags: sequence');
    expect(await loader.repair('a', false)).toBe(true);
    await loader.activate('b', 3);
    expect(await (await build(lines, ', flags: sequence')).readStatus()).toMatchObject({ primary: 'b', trial: 'b' });
    for (const file of files) expect(readFileSync(file)).toHaveLength(sizeBytes);
    await expect(build(lines.slice(1), ', flags: sequence')).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });

  it('arms nothing by a single copy unless the configuration allows it', async () => {
    const single = [`${join(folder, 'flash')} 0x1000 0x1000`];
    writeFileSync(
      join(folder, 'flash'),
      Buffer.concat([
        Buffer.alloc(sizeBytes),
        encodeCopy(
          [
            ['BOOT_ORDER', 'A'],
            ['BOOT_A_LEFT', '3'],
            ['BOOT_B_LEFT', '0'],
          ],
          sizeBytes,
          undefined,
        ),
      ]),
    );
    await expect((await build(single)).activate('b', 3)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    await (await build(single, ', allowSingleCopy: true')).activate('b', 3);
    expect(await (await build(single)).readStatus()).toMatchObject({ trial: 'b' });
  });

  it('repairs an environment of which no copy is valid only from the defaults of U-Boot', async () => {
    const copies = [copy(sizeBytes), copy(2 * sizeBytes)];
    writeFileSync(join(folder, 'flash'), Buffer.alloc(4 * sizeBytes));
    await expect((await build(copies)).repair('a', false)).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    writeFileSync(join(folder, 'initial-env'), 'bootcmd=run distro\nbootdelay=2\n');
    const loader = await build(copies, `, defaults: ${join(folder, 'initial-env')}`);
    expect(await loader.repair('a', false)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { a: { state: 'good' } } });
    expect(readFileSync(join(folder, 'flash'), 'latin1')).toContain('bootdelay=2');
  });

  it('names the file that cannot be read, and the line that is wrong', async () => {
    const loader = build([]);
    await expect(loader).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    await expect(build(['/dev/mtd0 nonsense'])).rejects.toMatchObject({ details: { line: 2 } });
    rmSync(join(folder, 'fw_env.config'));
    const config = {
      type: 'uboot',
      environment: join(folder, 'missing'),
      dialect: 'rauc',
      tries: 3,
      flags: 'incremental',
    } as const;
    const missing = buildBootloader(
      { ...config, slotVariable: undefined, isSingleCopyAllowed: false, defaults: undefined },
      { a: 'A', b: 'B' },
      folder,
    );
    await expect(missing).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });
});

describe('the configuration of U-Boot', () => {
  it.each([
    ['a dialect that it does not have', ', dialect: kaon', 'bootloader.dialect'],
    ['more tries than one digit counts', ', tries: 16', 'bootloader.tries'],
    ['a slot variable without its dialect', ', slotVariable: mender_boot_part', 'bootloader.slotVariable'],
    ['files that its own counter does not count in', ', dialect: bootcount, flags: sequence', 'bootloader.flags'],
    ['a setting of GRUB', ', shadow: /boot/grub/grubenv.kaon', 'bootloader.shadow'],
  ])('refuses %s', async (_what, more, path) => {
    await expect(build([copy(sizeBytes)], more)).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining(path) as string,
    });
  });
});

describe('the adapters of loaders without an environment', () => {
  const guids = { a: 'aaaaaaaa-0001-4000-8000-00000000000a', b: 'bbbbbbbb-0005-4000-8000-00000000000b' };

  it('drives the partition tables of the disk that is named', async () => {
    const disk = join(folder, 'disk');
    writeFileSync(disk, gunzipSync(readFileSync('test/unit/bootloader/fixtures/gpt-512.img.gz')));
    const config = { type: 'gpt', disk, partitions: guids, tries: 4 } as const;
    const loader = await buildBootloader(config, { a: 'A', b: 'B' }, folder);
    await loader.activate('b', 4);
    const again = await buildBootloader(config, { a: 'A', b: 'B' }, folder);
    expect(await again.readStatus()).toMatchObject({ primary: 'b', trial: 'b', trialTries: 4 });
    const missing = buildBootloader({ ...config, disk: join(folder, 'none') }, { a: 'A', b: 'B' }, folder);
    await expect(missing).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });

  it('drives the autoboot.txt that is named', async () => {
    const file = join(folder, 'autoboot.txt');
    writeFileSync(file, '[all]\ntryboot_a_b=1\nboot_partition=2\n'.padEnd(512, '\n'));
    const config = { type: 'tryboot', file, partitions: { a: 2, b: 3 }, tries: 1 } as const;
    const loader = await buildBootloader(config, { a: 'A', b: 'B' }, folder);
    await loader.activate('b', 1);
    expect(await loader.armReboot?.('b')).toBe('0 tryboot');
    expect(readFileSync(file, 'latin1')).toContain('[tryboot]\nboot_partition=3\n#kaon other=tried ');
  });

  it('asks for the boot entries that are named', async () => {
    const config = {
      type: 'efi',
      entries: { a: 'no such entry A', b: 'no such entry B' },
      loaders: undefined,
      tries: 1,
    } as const;
    const loader = await buildBootloader(config, { a: 'A', b: 'B' }, folder);
    const code = expect.stringMatching(/^boot-en(try-missing|v-unreadable)$/) as string;
    await expect(loader.readStatus()).rejects.toMatchObject({ code });
  });
});
