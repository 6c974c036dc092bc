import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findBootedSlot } from '../../../partitions/booted-slot.ts';
import { findDeviceUser } from '../../../partitions/device-in-use.ts';
import { DeviceTree, formatDeviceNumber, identify } from '../../../partitions/device-tree.ts';
import { parseBootName, parseMountInfo, parseSwaps } from '../../../partitions/mount-info.ts';
import { codeOf } from './samples.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-proc-'));
  await put('proc/swaps', 'Filename\tType\tSize\tUsed\tPriority\n');
  await put('proc/cmdline', 'quiet root=PARTUUID=1 kaon.slot=A\n');
  await put('proc/self/mountinfo', rootOn('8:2', 'ext4', '/dev/sda2'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

function rootOn(deviceNumber: string, fileSystem: string, source: string): string {
  return [
    '1 1 0:2 / / rw - rootfs rootfs rw',
    `22 1 ${deviceNumber} / / rw,relatime shared:1 - ${fileSystem} ${source} rw`,
    '23 22 0:21 / /proc rw - proc proc rw',
    '',
  ].join('\n');
}

describe('parsing what the kernel tells', () => {
  it('reads mounts with and without optional fields, and with escaped names', () => {
    const text = [
      '22 1 8:2 / / rw shared:1 master:2 - ext4 /dev/sda2 rw',
      '30 22 0:40 /@ /mnt/my\\040disk rw - btrfs /dev/disk/by-label/a\\134b ro',
      'rubbish',
      '',
    ].join('\n');
    expect(parseMountInfo(text)).toEqual([
      { deviceNumber: '8:2', mountPoint: '/', fileSystem: 'ext4', source: '/dev/sda2', isReadOnly: false },
      {
        deviceNumber: '0:40',
        mountPoint: '/mnt/my disk',
        fileSystem: 'btrfs',
        source: '/dev/disk/by-label/a\\b',
        isReadOnly: true,
      },
    ]);
  });

  it('reads swaps', () => {
    const text = 'Filename\t\tType\t\tSize\n/dev/sda3    partition\t100\n/swap\\040file\tfile\t100\n';
    expect(parseSwaps(text)).toEqual(['/dev/sda3', '/swap file']);
    expect(parseSwaps('')).toEqual([]);
  });

  it('reads the boot name, the last one of ours first', () => {
    expect(parseBootName('quiet rauc.slot=B\n')).toBe('B');
    expect(parseBootName('rauc.slot=B kaon.slot=A kaon.slot=C')).toBe('C');
    expect(parseBootName('kaon.slot="A"')).toBe('A');
    expect(parseBootName('notkaon.slot=A quiet')).toBeUndefined();
    expect(parseBootName('quiet -- kaon.slot=A')).toBeUndefined();
    expect(parseBootName('kaon.slot= rauc.slot=B')).toBe('B');
  });

  it('writes device numbers as the kernel does, large ones too', () => {
    expect(formatDeviceNumber(0x0801)).toBe('8:1');
    expect(formatDeviceNumber(0x1_0305)).toBe('259:5');
    expect(formatDeviceNumber(0x10_0700)).toBe('7:256');
  });
});

describe('finding the booted slot', () => {
  const devices: Record<string, string> = { '/dev/sda2': '8:2', '/dev/sda3': '8:3', '/dev/sda1': '8:1' };
  const block = (device: string) => ({ device, kind: 'block' as const, keep: false });
  const find = (slots = { a: { root: block('/dev/sda2') }, b: { root: block('/dev/sda3') } }) =>
    findBootedSlot({
      slots,
      bootNames: { a: 'A', b: 'B' },
      procPath: join(folder, 'proc'),
      sysPath: join(folder, 'sys'),
      deviceNumberOf: async (path) => devices[path],
    });

  it('goes by the device of /', async () => {
    expect(await find()).toBe('a');
    await put('proc/self/mountinfo', rootOn('8:3', 'ext4', '/dev/sda3'));
    await put('proc/cmdline', 'quiet\n');
    expect(await find()).toBe('b');
  });

  it('goes down through what the device is built on, at any depth', async () => {
    await put('proc/self/mountinfo', rootOn('253:1', 'ext4', '/dev/mapper/verity'));
    await put('sys/dev/block/253:1/slaves/dm-0/dev', '253:0\n');
    await put('sys/dev/block/253:0/slaves/sda2/dev', '8:2\n');
    expect(await find()).toBe('a');
  });

  it('goes by the source of a file system with a number of its own', async () => {
    await put('proc/self/mountinfo', rootOn('0:27', 'btrfs', '/dev/sda2'));
    expect(await find()).toBe('a');
  });

  it('is unknown when the kernel was told another slot, or one that nobody knows', async () => {
    for (const name of ['B', 'recovery']) {
      await put('proc/cmdline', `kaon.slot=${name}`);
      expect(await codeOf(() => find())).toBe('booted-slot-unknown');
    }
  });

  it('is unknown when / is on no device of a slot, whatever the kernel was told', async () => {
    await put('proc/self/mountinfo', rootOn('8:9', 'ext4', '/dev/sda9'));
    expect(await codeOf(() => find())).toBe('booted-slot-unknown');
    await put('proc/self/mountinfo', rootOn('0:30', 'overlay', 'overlay'));
    expect(await codeOf(() => find())).toBe('booted-slot-unknown');
    await put('proc/self/mountinfo', '23 22 0:21 / /proc rw - proc proc rw\n');
    expect(await codeOf(() => find())).toBe('booted-slot-unknown');
  });

  it('is unknown when both slots name the device', async () => {
    const slots = { a: { root: block('/dev/sda2') }, b: { root: block('/dev/sda2') } };
    expect(await codeOf(() => find(slots))).toBe('booted-slot-unknown');
  });

  it('is unknown when /proc cannot be read', async () => {
    await rm(join(folder, 'proc/cmdline'));
    expect(await codeOf(() => find())).toBe('booted-slot-unknown');
  });
});

describe('finding who uses a device', () => {
  const userOf = (id: string) =>
    findDeviceUser({ kind: 'block', id, fileSizeBytes: 0 }, new DeviceTree(join(folder, 'sys')), join(folder, 'proc'));

  it('finds nobody', async () => {
    expect(await userOf('8:3')).toBeUndefined();
  });

  it('finds a mount, also of a partition of the disk', async () => {
    expect(await userOf('8:2')).toContain('mounted at /');
    await put('sys/dev/block/8:0/sda2/partition', '2\n');
    await put('sys/dev/block/8:0/sda2/dev', '8:2\n');
    await put('sys/dev/block/8:0/queue/logical_block_size', '512\n');
    expect(await userOf('8:0')).toContain('mounted at /');
  });

  it('finds a holder', async () => {
    await put('sys/dev/block/8:3/holders/dm-0/dev', '253:0\n');
    expect(await userOf('8:3')).toContain('dm-0');
  });

  it('finds a swap file', async () => {
    await put('swap', '');
    await put('proc/swaps', `Filename\n${join(folder, 'swap')} file 1 0 -2\n`);
    const user = await findDeviceUser(
      await identify(join(folder, 'swap')),
      new DeviceTree(join(folder, 'sys')),
      join(folder, 'proc'),
    );
    expect(user).toContain('swapped');
  });

  it('refuses to say nobody when the mounts cannot be read', async () => {
    await rm(join(folder, 'proc/self/mountinfo'));
    expect(await codeOf(() => userOf('8:3'))).toBe('slot-device-unreadable');
  });

  it('reads size and alignment of disks and of partitions', async () => {
    const tree = new DeviceTree(join(folder, 'sys'));
    await put('sys/dev/block/8:0/size', '2048\n');
    await put('sys/dev/block/8:0/queue/logical_block_size', '4096\n');
    expect([await tree.sizeBytes('8:0'), await tree.alignmentBytes('8:0')]).toEqual([1_048_576, 4096]);
    await put('sys/dev/block/8:0/size', 'many\n');
    expect(await codeOf(() => tree.sizeBytes('8:0'))).toBe('slot-device-unreadable');
    expect(await codeOf(() => tree.sizeBytes('8:7'))).toBe('slot-device-unreadable');
  });
});
