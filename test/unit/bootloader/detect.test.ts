import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detectLoaders } from '../../../bootloader/detect.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import { renderDetected } from '../../../agent/cli/render-bootloader.ts';
import { globalGuid } from '../../../bootloader/efi-variables.ts';
import { encodeEnvironment } from '../../../bootloader/grubenv.ts';
import { readLoaderFacts } from '../../../bootloader/read-loader-facts.ts';
import { EfiFirmware } from '../../fakes/efi-firmware.ts';

const efivars = 'sys/firmware/efi/efivars';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kaon-detect-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

const detect = async () => detectLoaders(await readLoaderFacts(root));

const environment = (...names: readonly string[]) =>
  encodeEnvironment(
    names.map((name) => [name, '1']),
    [],
    1024,
  );

describe('the loader of a node', () => {
  it('is none where nothing shows one', async () => {
    expect(await detect()).toEqual([]);
  });

  it('is GRUB in kaon’s dialect where its block has our variables and the kernel was started by it', async () => {
    put('boot/grub/grubenv', environment('ORDER', 'A_OK', 'A_LEFT'));
    put('proc/cmdline', 'BOOT_IMAGE=/boot/vmlinuz root=PARTLABEL=a ro\n');
    expect(await detect()).toMatchObject([
      { type: 'grub', confidence: 'certain', settings: { environment: '/boot/grub/grubenv' } },
    ]);
  });

  it('is GRUB in RAUC’s dialect by its variables', async () => {
    put('efi/grub/grubenv', environment('ORDER', 'A_OK', 'A_TRY'));
    expect(await detect()).toMatchObject([{ type: 'grub', confidence: 'likely', settings: { dialect: 'rauc' } }]);
  });

  it('may be GRUB where its block has nothing of ours, and is not for a file that is none', async () => {
    put('boot/grub2/grubenv', environment('saved_entry'));
    put('boot/grub/grubenv', 'not an environment');
    const found = await detect();
    expect(found).toMatchObject([{ type: 'grub', confidence: 'possible' }]);
    expect(found[0]?.settings['environment']).toBe('/boot/grub2/grubenv');
  });

  it('is systemd-boot where it said so itself, though GRUB’s files lie about, too', async () => {
    const variable = Buffer.concat([Buffer.from([6, 0, 0, 0]), Buffer.from('systemd-boot 252.39\0', 'utf16le')]);
    put('sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f', variable);
    put('efi/loader/entries/kaon-a.conf', '');
    put('boot/grub/grubenv', environment('saved_entry'));
    expect(await detect()).toMatchObject([
      { type: 'systemd-boot', confidence: 'certain', settings: { esp: { path: '/efi' } } },
      { type: 'grub', confidence: 'possible' },
    ]);
    const partition = Buffer.concat([Buffer.from([6, 0, 0, 0]), Buffer.from('6B1D1C2E-01\0', 'utf16le')]);
    put('sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f', partition);
    expect((await detect())[0]?.settings).toEqual({ esp: { device: '/dev/disk/by-partuuid/6b1d1c2e-01' } });
  });

  it('is U-Boot where fw_env.config names its environment, and says whether it has two copies', async () => {
    put('etc/fw_env.config', '# device offset size\n/dev/mmcblk0 0x400000 0x4000\n/dev/mmcblk0 0x408000 0x4000\n');
    expect(await detect()).toMatchObject([
      { type: 'uboot', reasons: [expect.anything(), 'it has two copies, so that a change of it is safe'] },
    ]);
    put('etc/fw_env.config', '# nothing but comments\n');
    expect(await detect()).toEqual([]);
  });

  it('is the firmware of a Raspberry Pi where it selects the partition', async () => {
    put('proc/device-tree/model', 'Raspberry Pi 5 Model B Rev 1.0\0');
    put('boot/firmware/autoboot.txt', '[all]\ntryboot_a_b=1\n');
    expect((await detect())[0]?.settings).toEqual({ file: '/boot/firmware/autoboot.txt' });
    put('boot/firmware/autoboot.txt', '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n');
    expect((await detect())[0]?.settings).toMatchObject({ partitions: { a: '2', b: '3' } });
    put('boot/firmware/autoboot.txt', '[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n');
    expect((await detect())[0]?.settings).toEqual({ file: '/boot/firmware/autoboot.txt' });
    put('proc/device-tree/model', 'Another board\0');
    expect(await detect()).toEqual([]);
  });

  /** What udev and the kernel keep of two partitions of the disk sda. */
  function putPartitions(type: string): void {
    put('sys/dev/block/8:0/uevent', 'MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n');
    for (const [number, guid] of [
      [4, 'BBBBBBBB-0002-4000-8000-00000000000B'],
      [2, guidOfA],
    ] as const) {
      const entry = { SCHEME: 'gpt', UUID: guid, TYPE: type, NUMBER: String(number), DISK: '8:0', FLAGS: '0x1' };
      const lines = Object.entries(entry).map(([name, value]) => `E:ID_PART_ENTRY_${name}=${value}`);
      put(`run/udev/data/b8:${number}`, ['S:disk/by-uuid/1', ...lines, ''].join('\n'));
    }
  }
  const guidOfA = 'aaaaaaaa-0001-4000-8000-00000000000a';

  it('is what reads the bits of a GPT where two partitions are of such a type', async () => {
    putPartitions('5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6');
    expect(await detect()).toMatchObject([
      {
        type: 'gpt',
        confidence: 'possible',
        settings: { disk: '/dev/sda', partitions: { a: guidOfA, b: 'bbbbbbbb-0002-4000-8000-00000000000b' } },
      },
    ]);
    put('proc/cmdline', `mount.usr=PARTUUID=${guidOfA.toUpperCase()} ro\n`);
    expect(await detect()).toMatchObject([
      { confidence: 'likely', reasons: [expect.stringContaining('Flatcar'), expect.stringContaining(guidOfA)] },
    ]);
  });

  it('leaves to people which of three partitions are the slots, and ignores other types and damage', async () => {
    putPartitions('fe3a2a5d-4f32-41a7-b725-accc3285a309');
    put(
      'run/udev/data/b8:6',
      'E:ID_PART_ENTRY_SCHEME=gpt\nE:ID_PART_ENTRY_UUID=c\nE:ID_PART_ENTRY_TYPE=fe3a2a5d-4f32-41a7-b725-accc3285a309\nE:ID_PART_ENTRY_NUMBER=6\nE:ID_PART_ENTRY_DISK=8:0\n',
    );
    put('run/udev/data/b8:7', 'E:ID_PART_ENTRY_DISK=../../etc\nE:nonsense\n\0');
    expect((await detect())[0]?.settings).toEqual({ disk: '/dev/sda' });
    putPartitions('0fc63daf-8483-4772-8e79-3d69d8477de4');
    rmSync(join(root, 'run/udev/data/b8:6'));
    expect(await detect()).toEqual([]);
  });

  it('may be the firmware itself on UEFI where no loader named itself', async () => {
    put('sys/firmware/efi/fw_platform_size', '64\n');
    expect(await detect()).toMatchObject([{ type: 'efi', confidence: 'possible' }]);
  });

  it('is told of the firmware’s boot entries, whatever lies beside them', async () => {
    const firmware = new EfiFirmware();
    firmware.addEntry(4, 'kaon B');
    firmware.addEntry(3, 'kaon A');
    for (const name of ['Boot0003', 'Boot0004'])
      put(`${efivars}/${name}-${globalGuid}`, (await firmware.read(name, globalGuid))!);
    put(`${efivars}/Boot0005-${globalGuid}`, 'torn');
    put(`${efivars}/BootOrder-${globalGuid}`, Buffer.of(7, 0, 0, 0, 3, 0));
    expect((await detect())[0]?.reasons[1]).toContain('kaon A, kaon B:');
  });

  it('belongs into the configuration as it is said', async () => {
    put('proc/device-tree/model', 'Raspberry Pi 4\0');
    put('boot/firmware/autoboot.txt', '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n');
    put('boot/grub/grubenv', environment('ORDER', 'A_OK', 'A_TRY'));
    put('boot/loader/entries/kaon-a.conf', '');
    put('etc/fw_env.config', '/dev/mmcblk0 0x400000 0x4000\n');
    putPartitions('5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6');
    const found = await detect();
    expect(found.map(({ type }) => type).sort()).toEqual(['gpt', 'grub', 'systemd-boot', 'tryboot', 'uboot']);
    for (const line of renderDetected(found).match(/bootloader: \{.*\}/g) ?? []) {
      const options = line.includes('systemd-boot') ? 'bootOptions: ro, ' : '';
      const text = `formatVersion: 1
node: { compatible: acme }
slots:
  a: { bootName: A, ${options}partitions: { root: { device: /dev/a } } }
  b: { bootName: B, ${options}partitions: { root: { device: /dev/b } } }
${line}
`;
      const { bootloader } = parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] });
      expect(line).toContain(`type: ${bootloader.type}`);
    }
  });
});
