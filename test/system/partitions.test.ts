import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, readFile, rm, symlink, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PartitionConfig } from '../../partitions/block-device.ts';
import { findBootedSlot } from '../../partitions/booted-slot.ts';
import { encodeFrames } from '../../partitions/frames/encode-frames.ts';
import { LinuxSlotDevices } from '../../partitions/linux-slot-devices.ts';
import { StreamingSlotWriter } from '../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import { codeOf, collect, inPieces, sampleBytes, sha256Of } from '../unit/partitions/samples.ts';
import { writerParts } from '../fakes/writer-parts.ts';

const deviceBytes = 32 * 1024 * 1024;
let folder = '';
let cleanUps: (() => void | Promise<void>)[] = [];

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** A loop device over a new file, detached at the end of the test. */
async function loopDevice(name: string, sizeBytes = deviceBytes): Promise<string> {
  const path = join(folder, `${name}.img`);
  await (await open(path, 'w')).close();
  await truncate(path, sizeBytes);
  const device = run('losetup', '--find', '--show', '--direct-io=on', path);
  cleanUps.push(() => void run('losetup', '--detach', device));
  return device;
}

const block = (device: string): PartitionConfig => ({ device, kind: 'block', keep: false });

function devicesWith(a: string, b: string): LinuxSlotDevices {
  return new LinuxSlotDevices({
    slots: { a: { root: block(a) }, b: { root: block(b) } },
    booted: 'a',
    areFilesAllowed: false,
  });
}

const codeOfOpening = (devices: LinuxSlotDevices) => codeOf(async () => (await devices.open('b', 'root')).close());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-system-'));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
  cleanUps = [];
  await rm(folder, { recursive: true });
});

describe('slots on block devices', () => {
  it('refuse a mounted device, and take it when it is unmounted', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    run('mkfs.ext4', '-q', b);
    const mountPoint = await mkdtemp(join(folder, 'mount-'));
    run('mount', b, mountPoint);
    try {
      expect(await codeOfOpening(devicesWith(a, b))).toBe('slot-busy');
      const link = join(folder, 'innocent');
      await symlink(b, link);
      expect(await codeOfOpening(devicesWith(a, link))).toBe('slot-busy');
    } finally {
      run('umount', mountPoint);
    }
    expect(await codeOfOpening(devicesWith(a, b))).toBe('no error');
  });

  it('let the kernel refuse a mounted device even when /proc says nothing', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    run('mkfs.ext4', '-q', b);
    const mountPoint = await mkdtemp(join(folder, 'mount-'));
    run('mount', b, mountPoint);
    const procPath = await mkdtemp(join(folder, 'proc-'));
    run('mkdir', join(procPath, 'self'));
    run('touch', join(procPath, 'self/mountinfo'), join(procPath, 'swaps'));
    const slots = { a: { root: block(a) }, b: { root: block(b) } };
    try {
      const devices = new LinuxSlotDevices({ slots, booted: 'a', areFilesAllowed: false, procPath });
      expect(await codeOfOpening(devices)).toBe('slot-busy');
    } finally {
      run('umount', mountPoint);
    }
  });

  it('open the booted slot’s device for reading while it is mounted, by direct I/O, and never for writing', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    run('mkfs.ext4', '-q', a);
    const mountPoint = await mkdtemp(join(folder, 'mount-'));
    run('mount', '-o', 'ro', a, mountPoint);
    try {
      const device = await devicesWith(a, b).openBooted('root');
      const into = device.allocate(4096);
      await device.read(into, 0);
      expect(into.subarray(1024 + 56, 1024 + 58)).toEqual(new Uint8Array([0x53, 0xef]));
      await expect(device.write(into, 0)).rejects.toMatchObject({ code: 'slot-device-refused' });
      await device.close();
    } finally {
      run('umount', mountPoint);
    }
  });

  it('refuse a device that another claims, and one that is open already', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    const claim = await open(b, constants.O_RDWR | constants.O_EXCL);
    expect(await codeOfOpening(devicesWith(a, b))).toBe('slot-busy');
    await claim.close();
    const devices = devicesWith(a, b);
    const device = await devices.open('b', 'root');
    expect(await codeOfOpening(devices)).toBe('slot-busy');
    await device.close();
    expect(await codeOfOpening(devices)).toBe('no error');
  });

  it('refuse the booted slot’s device under another name, and a file that is said to be a device', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    const link = join(folder, 'innocent');
    await symlink(a, link);
    expect(await codeOfOpening(devicesWith(a, link))).toBe('slot-busy');
    expect(await codeOfOpening(devicesWith(a, join(folder, 'b.img')))).toBe('slot-device-refused');
    expect(await codeOfOpening(devicesWith(a, b))).toBe('no error');
  });

  it('tell the size and alignment that the device has', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b', deviceBytes + 512)];
    const devices = devicesWith(a, b);
    expect((await devices.sizes('b')).get('root')).toBe(deviceBytes + 512);
    const device = await devices.open('b', 'root');
    expect([device.sizeBytes, device.alignmentBytes]).toEqual([deviceBytes + 512, 512]);
    await device.close();
  });

  it('take a whole image by direct I/O, leave nothing behind it, and give it back from the device', async () => {
    const [a, b] = [await loopDevice('a'), await loopDevice('b')];
    run('dd', 'if=/dev/urandom', `of=${b}`, 'bs=1M', `count=${deviceBytes / 1024 / 1024}`, 'conv=fsync');
    const content = sampleBytes(20_000_001);
    const layer = await collect(encodeFrames(inPieces(content), 1024 * 1024, 1));
    const image = TrustedDescriptor.mintAfterVerification({
      manifestDigest: `sha256:${'0'.repeat(64)}`,
      partitions: [
        {
          name: 'root',
          encoding: 'zstd',
          layerDigest: sha256Of(layer),
          layerSizeBytes: layer.byteLength,
          contentDigest: sha256Of(content),
          contentSizeBytes: content.byteLength,
        },
      ],
    });
    const devices = devicesWith(a, b);
    const probe = await devices.open('b', 'root');
    expect(probe).toMatchObject({ readsBypassCache: true });
    await probe.close();
    const writer = new StreamingSlotWriter({ ...writerParts, devices });
    const written = await writer.write(
      'b',
      image,
      () => inPieces(layer),
      () => undefined,
      new AbortController().signal,
    );
    expect(written.partitions).toEqual([{ name: 'root', sizeBytes: content.byteLength, digest: sha256Of(content) }]);
    const onDevice = await readFile(b);
    expect(onDevice.subarray(0, content.byteLength).equals(content)).toBe(true);
    expect(onDevice.subarray(content.byteLength).every((byte) => byte === 0)).toBe(true);
    expect(onDevice.byteLength).toBe(deviceBytes);
  });

  it('find the slot that / is on', async () => {
    const root = run('findmnt', '--noheadings', '--output', 'SOURCE', '/');
    const b = await loopDevice('b');
    const bootNames = { a: 'A', b: 'B' };
    expect(await findBootedSlot({ slots: { a: { root: block(root) }, b: { root: block(b) } }, bootNames })).toBe('a');
    const none = { a: { root: block(b) }, b: { root: block('/dev/missing') } };
    expect(await codeOf(() => findBootedSlot({ slots: none, bootNames }))).toBe('booted-slot-unknown');
    expect(await codeOfOpening(devicesWith(b, root))).toBe('slot-busy');
  });
});
