import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { PartitionConfig, SlotDevices } from '../../partitions/block-device.ts';
import { LinuxSlotDevices } from '../../partitions/linux-slot-devices.ts';
import { MemorySlotDevices } from '../fakes/memory-block-device.ts';

const sizeBytes = 64 * 1024;
let cleanUp: () => Promise<void> = () => Promise.resolve();

afterEach(async () => {
  await cleanUp();
  cleanUp = () => Promise.resolve();
});

async function onFiles(): Promise<SlotDevices> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-devices-'));
  cleanUp = () => rm(folder, { recursive: true });
  const partition = async (name: string, keep = false): Promise<PartitionConfig> => {
    const device = join(folder, name);
    await writeFile(device, Buffer.alloc(sizeBytes, 0xa5));
    return { device, kind: 'file', keep };
  };
  return new LinuxSlotDevices({
    slots: {
      a: { root: await partition('root-a') },
      b: { root: await partition('root-b'), boot: await partition('boot-b'), data: await partition('data-b', true) },
    },
    booted: 'a',
    areFilesAllowed: true,
  });
}

async function inMemory(): Promise<SlotDevices> {
  const partition = { sizeBytes, alignmentBytes: 4096 };
  return new MemorySlotDevices({
    slots: { a: { root: partition }, b: { root: partition, boot: partition, data: { ...partition, keep: true } } },
    booted: 'a',
  });
}

const failure = (code: string) => expect.objectContaining({ name: 'PartitionError', code }) as Error;

describe.each([
  { what: 'slots in memory', make: inMemory },
  { what: 'slots on files', make: onFiles },
])('$what', ({ make }) => {
  it('tell the sizes of the partitions that an image has to cover', async () => {
    const devices = await make();
    expect([...(await devices.sizes('b'))].sort()).toEqual([
      ['boot', sizeBytes],
      ['root', sizeBytes],
    ]);
  });

  it('refuse what is not configured', async () => {
    const devices = await make();
    await expect(devices.open('b', 'home')).rejects.toEqual(failure('slot-device-refused'));
    await expect(devices.open('b', 'constructor')).rejects.toEqual(failure('slot-device-refused'));
  });

  it('refuse the booted slot', async () => {
    await expect((await make()).open('a', 'root')).rejects.toEqual(failure('slot-busy'));
  });

  it('open the booted slot for reading alone, by any number at a time', async () => {
    const devices = await make();
    const device = await devices.openBooted('root');
    const into = device.allocate(sizeBytes);
    await device.read(into, 0);
    expect(into.every((byte) => byte === 0xa5)).toBe(true);
    for (const action of [() => device.write(into, 0), () => device.zero(0, 4096), () => device.flush()]) {
      await expect(action()).rejects.toEqual(failure('slot-device-refused'));
    }
    await device.close();
    await (await devices.openBooted('root')).close();
    await expect(devices.openBooted('boot')).rejects.toEqual(failure('slot-device-refused'));
  });

  it('open a partition for one at a time', async () => {
    const devices = await make();
    const first = await devices.open('b', 'root');
    await expect(devices.open('b', 'root')).rejects.toEqual(failure('slot-busy'));
    const other = await devices.open('b', 'boot');
    await first.close();
    await (await devices.open('b', 'root')).close();
    await other.close();
  });

  it('give back what was written, after flush and after closing', async () => {
    const devices = await make();
    const device = await devices.open('b', 'root');
    expect(device.sizeBytes).toBe(sizeBytes);
    expect([512, 4096]).toContain(device.alignmentBytes);
    const buffer = device.allocate(12_288);
    expect(buffer.byteLength).toBeGreaterThanOrEqual(12_288);
    buffer.fill(0x11, 0, 12_288);
    await Promise.all([
      device.write(buffer.subarray(0, 8192), 4096),
      device.write(buffer.subarray(8192, 12_288), sizeBytes - 4096),
    ]);
    await device.flush();
    const into = device.allocate(8192);
    await device.read(into.subarray(0, 8192), 4096);
    expect(into.every((byte) => byte === 0x11)).toBe(true);
    await device.close();
    const again = await devices.open('b', 'root');
    const whole = again.allocate(sizeBytes);
    await again.read(whole, 0);
    const want = Buffer.alloc(sizeBytes, 0xa5)
      .fill(0x11, 4096, 12_288)
      .fill(0x11, sizeBytes - 4096);
    expect(want.equals(whole)).toBe(true);
    await again.close();
  });

  it('zero a range and nothing else', async () => {
    const device = await (await make()).open('b', 'root');
    await device.zero(8192, 16_384);
    await device.flush();
    const whole = device.allocate(sizeBytes);
    await device.read(whole, 0);
    expect(Buffer.alloc(sizeBytes, 0xa5).fill(0, 8192, 24_576).equals(whole)).toBe(true);
    await device.close();
  });

  it('refuse ranges beyond the end, and leave the size as it is', async () => {
    const devices = await make();
    const device = await devices.open('b', 'root');
    const buffer = device.allocate(8192);
    for (const action of [
      () => device.write(buffer, sizeBytes),
      () => device.write(buffer, sizeBytes - 4096),
      () => device.read(buffer, sizeBytes - 4096),
      () => device.zero(sizeBytes - 4096, 8192),
      () => device.write(buffer, -4096),
    ]) {
      await expect(action()).rejects.toEqual(failure('slot-write-failed'));
    }
    await device.close();
    expect((await devices.sizes('b')).get('root')).toBe(sizeBytes);
  });

  it('refuse offsets and lengths that are not aligned', async () => {
    const device = await (await make()).open('b', 'root');
    const buffer = device.allocate(4096);
    for (const action of [
      () => device.write(buffer, 100),
      () => device.write(buffer.subarray(0, 100), 0),
      () => device.read(buffer.subarray(0, 100), 0),
      () => device.zero(0, 100),
    ]) {
      await expect(action()).rejects.toEqual(failure('slot-write-failed'));
    }
    await device.close();
  });

  it('reject every call after close, and close twice in peace', async () => {
    const device = await (await make()).open('b', 'root');
    const buffer = device.allocate(4096);
    await device.close();
    await device.close();
    for (const action of [
      () => device.write(buffer, 0),
      () => device.read(buffer, 0),
      () => device.zero(0, 4096),
      () => device.flush(),
    ]) {
      await expect(action()).rejects.toEqual(failure('slot-write-failed'));
    }
  });
});
