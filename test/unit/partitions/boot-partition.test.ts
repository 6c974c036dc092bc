import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BootAccess } from '../../../partitions/boot-partition.ts';
import { DemandMountedPartition } from '../../../partitions/demand-mounted-partition.ts';
import { fatOffsetOf, parseFatState } from '../../../partitions/fat-state.ts';
import { KeptBootPartition } from '../../../partitions/kept-boot-partition.ts';
import { systemdUnitPath } from '../../../partitions/systemd-unit-path.ts';

let folder: string;
const at = (name: string) => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-mount-'));
  await mkdir(at('self'));
  await writeFile(at('self/mountinfo'), '');
  await writeFile(at('device'), fat32());
});
afterEach(() => rm(folder, { recursive: true }));

/** The beginning of a FAT32 file system of 200 000 sectors, as mkfs.vfat -F 32 -s 1 lays it out. */
function fat32(change: (bytes: Buffer) => void = () => undefined): Buffer {
  const bytes = Buffer.alloc(40 * 512);
  bytes.writeUInt16LE(512, 11);
  bytes.writeUInt8(1, 13);
  bytes.writeUInt16LE(32, 14);
  bytes.writeUInt8(2, 16);
  bytes.writeUInt32LE(200_000, 32);
  bytes.writeUInt32LE(1540, 36);
  bytes.writeUInt16LE(0xaa55, 510);
  bytes.writeUInt32LE(0x0fff_fff8, 32 * 512);
  bytes.writeUInt32LE(0x0fff_ffff, 32 * 512 + 4);
  change(bytes);
  return bytes;
}

const stateOf = (bytes: Buffer) => {
  const offset = fatOffsetOf(bytes.subarray(0, 512)) ?? 0;
  return parseFatState({ bootSector: bytes.subarray(0, 512), fatStart: bytes.subarray(offset, offset + 8) });
};

describe('the state of a FAT file system', () => {
  it('is clean after an orderly end, and dirty by the byte of Linux or the bit of Windows', () => {
    expect(stateOf(fat32())).toBe('clean');
    expect(stateOf(fat32((bytes) => bytes.writeUInt8(1, 65)))).toBe('dirty');
    expect(stateOf(fat32((bytes) => bytes.writeUInt32LE(0x07ff_ffff, 32 * 512 + 4)))).toBe('dirty');
  });

  it('is read from a FAT16 at its own places', () => {
    const fat16 = (change: (bytes: Buffer) => void) =>
      fat32((bytes) => {
        bytes.writeUInt8(4, 13);
        bytes.writeUInt16LE(1, 14);
        bytes.writeUInt16LE(512, 17);
        bytes.writeUInt32LE(80_000, 32);
        bytes.writeUInt16LE(78, 22);
        bytes.writeUInt16LE(0xfff8, 512);
        bytes.writeUInt16LE(0xffff, 514);
        change(bytes);
      });
    expect(stateOf(fat16(() => undefined))).toBe('clean');
    expect(stateOf(fat16((bytes) => bytes.writeUInt8(1, 37)))).toBe('dirty');
    expect(stateOf(fat16((bytes) => bytes.writeUInt16LE(0x7fff, 514)))).toBe('dirty');
  });

  it('is unknown for anything else, whatever it is', () => {
    expect(stateOf(Buffer.alloc(40 * 512))).toBeUndefined();
    for (const place of [11, 13, 14, 16, 510]) {
      expect(stateOf(fat32((bytes) => bytes.writeUInt16LE(0, place)))).toBeUndefined();
    }
    expect(stateOf(fat32().subarray(0, 300))).toBeUndefined();
  });
});

describe('a path in the name of a unit', () => {
  it.each([
    ['/dev/disk/by-partuuid/6b1d-2c', 'dev-disk-by\\x2dpartuuid-6b1d\\x2d2c'],
    ['/efi', 'efi'],
    ['/', '-'],
    ['/a b/ü', 'a\\x20b-\\xc3\\xbc'],
    ['/.hidden', '\\x2ehidden'],
  ])('%s is %s', (path, name) => {
    expect(systemdUnitPath(path)).toBe(name);
  });
});

const mountPoint = '/run/kaon-boot/esp';

/** systemd and the kernel, as far as a mount shows: commands change the mounts that the process sees. */
class MountingSystem {
  readonly calls: string[] = [];
  /** Called in place of the check by fsck. */
  onFsck: () => Promise<void> = async () => undefined;
  isDeviceReadOnly = false;
  #others = '';

  async run(argv: readonly string[]): Promise<{ readonly exitCode: number; readonly output: string }> {
    const [program = ''] = argv;
    if (program === 'systemd-mount') {
      const options = argv.find((word) => word.startsWith('--options=')) ?? '';
      const mode = this.isDeviceReadOnly || options.includes('=ro,') ? 'ro' : 'rw';
      this.calls.push(`mount ${mode}`);
      await this.show(mode);
    } else if (program === 'systemd-umount') {
      this.calls.push('unmount');
      await this.show(undefined);
    } else {
      this.calls.push(argv.slice(0, 2).join(' '));
      await this.onFsck();
    }
    return { exitCode: 0, output: '' };
  }

  async mountElsewhere(mode: 'ro' | 'rw'): Promise<void> {
    this.#others = await this.#line('/boot', mode);
    await this.show(undefined);
  }

  async show(mode: 'ro' | 'rw' | undefined): Promise<void> {
    const own = mode === undefined ? '' : await this.#line(mountPoint, mode);
    await writeFile(at('self/mountinfo'), `22 1 8:2 / / rw - ext4 /dev/sda2 rw\n${this.#others}${own}`);
  }

  async #line(path: string, mode: 'ro' | 'rw'): Promise<string> {
    const { dev, ino } = await stat(at('device'));
    // A file stands for the device; its identity stands where a device's number is.
    return `30 22 ${dev}:${ino} / ${path} ${mode},relatime - vfat ${at('device')} ${mode}\n`;
  }
}

function newPartition() {
  const system = new MountingSystem();
  const faults: unknown[] = [];
  const partition = new DemandMountedPartition({
    device: at('device'),
    mountPoint,
    commands: system,
    onFault: (error) => faults.push(error),
    procPath: folder,
    identityOf: async (path) => {
      const { dev, ino } = await stat(path);
      return `${dev}:${ino}`;
    },
  });
  return { system, faults, partition };
}

const rootOf = (partition: { use: DemandMountedPartition['use'] }, access: BootAccess) =>
  partition.use(access, async (root) => root);

describe('a partition that is mounted on demand', () => {
  it('is mounted read-only to be read, writable to be written, and not at all in between', async () => {
    const { system, partition } = newPartition();
    expect(await rootOf(partition, 'read')).toBe(mountPoint);
    expect(await rootOf(partition, 'write')).toBe(mountPoint);
    expect(system.calls).toEqual(['mount ro', 'unmount', 'mount rw', 'unmount']);
  });

  it('is unmounted after a use that failed', async () => {
    const { system, partition } = newPartition();
    const failing = partition.use('write', async () => {
      throw new RangeError('no');
    });
    await expect(failing).rejects.toThrow(new RangeError('no'));
    expect(system.calls).toEqual(['mount rw', 'unmount']);
  });

  it('is shared by readers, waits for them before it is written, and lets readers in beside a writer', async () => {
    const { system, partition } = newPartition();
    let endReading: () => void = () => undefined;
    const reading = partition.use('read', () => new Promise<void>((resolve) => (endReading = resolve)));
    await rootOf(partition, 'read');
    const writing = partition.use('write', () => rootOf(partition, 'read'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(system.calls).toEqual(['mount ro']);
    endReading();
    await Promise.all([reading, writing]);
    expect(system.calls).toEqual(['mount ro', 'unmount', 'mount rw', 'unmount']);
  });

  it('is unmounted first where a process that was killed left it mounted', async () => {
    const { system, partition } = newPartition();
    await system.show('rw');
    await rootOf(partition, 'read');
    expect(system.calls).toEqual(['unmount', 'mount ro', 'unmount']);
  });

  it('is used where the system has mounted it, and left there', async () => {
    const { system, partition } = newPartition();
    await system.mountElsewhere('rw');
    expect(await rootOf(partition, 'write')).toBe('/boot');
    expect(system.calls).toEqual([]);
    await system.mountElsewhere('ro');
    await expect(rootOf(partition, 'write')).rejects.toMatchObject({ code: 'boot-partition-read-only' });
    await expect(rootOf(partition, 'plan')).rejects.toMatchObject({ code: 'boot-partition-read-only' });
    expect(await rootOf(partition, 'read')).toBe('/boot');
  });

  it('is checked before it is written when it was not left in order', async () => {
    await writeFile(
      at('device'),
      fat32((bytes) => bytes.writeUInt8(1, 65)),
    );
    const { system, partition } = newPartition();
    system.onFsck = () => writeFile(at('device'), fat32());
    await rootOf(partition, 'plan');
    await rootOf(partition, 'write');
    const unit = `systemctl restart`;
    expect(system.calls).toEqual(['mount ro', 'unmount', unit, 'mount rw', 'unmount']);
  });

  it('refuses something new on one that stays dirty, and still keeps the node on its slot', async () => {
    await writeFile(
      at('device'),
      fat32((bytes) => bytes.writeUInt8(1, 65)),
    );
    const { partition } = newPartition();
    await expect(rootOf(partition, 'write')).rejects.toMatchObject({
      code: 'boot-partition-dirty',
      message: expect.stringContaining(`fsck.vfat -a ${at('device')}`) as string,
    });
    expect(await rootOf(partition, 'rescue')).toBe(mountPoint);
  });

  it('refuses one that the kernel mounted read-only though it was to be written', async () => {
    const { system, partition } = newPartition();
    system.isDeviceReadOnly = true;
    await expect(rootOf(partition, 'rescue')).rejects.toMatchObject({ code: 'boot-partition-read-only' });
  });

  it('tells why it could not be mounted, and keeps what was done when it could not be unmounted', async () => {
    const { system, faults, partition } = newPartition();
    const run = system.run.bind(system);
    system.run = async (argv) => {
      if (argv[0] === 'systemd-umount') return { exitCode: 32, output: 'target is busy' };
      return run(argv);
    };
    expect(await rootOf(partition, 'write')).toBe(mountPoint);
    expect(faults).toMatchObject([{ code: 'boot-partition-unmountable' }]);
    system.run = async () => ({ exitCode: 1, output: 'no such device' });
    await expect(rootOf(partition, 'read')).rejects.toMatchObject({
      code: 'boot-partition-unmountable',
      message: expect.stringContaining('no such device') as string,
    });
  });
});

describe('a partition that the system keeps mounted', () => {
  const line = (mode: string, fileSystem = 'vfat') =>
    writeFile(at('self/mountinfo'), `30 22 8:1 / ${folder} ${mode},relatime - ${fileSystem} /dev/sda1 ${mode}\n`);

  it('is used where it is', async () => {
    await line('rw');
    expect(await rootOf(new KeptBootPartition(folder, false, folder), 'write')).toBe(folder);
  });

  it('is refused when nothing is mounted there, or for a write when it is read-only', async () => {
    const partition = new KeptBootPartition(folder, false, folder);
    await expect(rootOf(partition, 'read')).rejects.toMatchObject({ code: 'boot-partition-unmountable' });
    await line('rw', 'autofs');
    await expect(rootOf(partition, 'read')).rejects.toMatchObject({ code: 'boot-partition-unmountable' });
    await line('ro');
    expect(await rootOf(partition, 'read')).toBe(folder);
    for (const access of ['plan', 'write', 'rescue'] as const) {
      await expect(rootOf(partition, access)).rejects.toMatchObject({ code: 'boot-partition-read-only' });
    }
    const missing = new KeptBootPartition(at('none'), false, folder);
    await expect(rootOf(missing, 'read')).rejects.toMatchObject({ code: 'boot-partition-unmountable' });
  });
});
