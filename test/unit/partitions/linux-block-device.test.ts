import { describe, expect, it } from 'vitest';
import { allocateAligned, type BlockHandle, LinuxBlockDevice } from '../../../partitions/linux-block-device.ts';
import { codeOf, sampleBytes } from './samples.ts';

/** A handle over memory that takes at most `mostBytes` at a time, and fails when told. */
class ShortHandle implements BlockHandle {
  readonly bytes = new Uint8Array(64 * 1024);
  readonly #mostBytes: number;
  errno: string | undefined;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  async read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    const bytesRead = this.#take(length);
    into.set(this.bytes.subarray(position, position + bytesRead), offset);
    return { bytesRead };
  }

  async write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    const bytesWritten = this.#take(length);
    this.bytes.set(bytes.subarray(offset, offset + bytesWritten), position);
    return { bytesWritten };
  }

  async datasync(): Promise<void> {
    this.#take(0);
  }

  async close(): Promise<void> {
    this.#take(0);
  }

  #take(length: number): number {
    if (this.errno !== undefined) throw Object.assign(new Error(this.errno), { code: this.errno });
    return Math.min(length, this.#mostBytes);
  }
}

function deviceOn(handle: BlockHandle): LinuxBlockDevice {
  const facts = { sizeBytes: 64 * 1024, alignmentBytes: 512, isDirect: true };
  return new LinuxBlockDevice({ path: '/dev/sample', handle, ...facts });
}

describe('a block device of this machine', () => {
  it('goes on where the kernel took or gave only a part', async () => {
    const handle = new ShortHandle(1536);
    const device = deviceOn(handle);
    const buffer = device.allocate(16_384);
    buffer.set(sampleBytes(16_384));
    await device.write(buffer, 4096);
    expect(Buffer.from(handle.bytes.subarray(4096, 20_480)).equals(sampleBytes(16_384))).toBe(true);
    const into = device.allocate(16_384);
    await device.read(into, 4096);
    expect(Buffer.from(into).equals(sampleBytes(16_384))).toBe(true);
  });

  it('fails where the kernel takes or gives nothing', async () => {
    const device = deviceOn(new ShortHandle(0));
    expect(await codeOf(() => device.write(device.allocate(512), 0))).toBe('slot-write-failed');
    expect(await codeOf(() => device.read(device.allocate(512), 0))).toBe('slot-write-failed');
  });

  it.each(['EIO', 'ENOSPC', 'EREMOTEIO'])('names %s in the details of its error', async (errno) => {
    const handle = new ShortHandle(512);
    const device = deviceOn(handle);
    const buffer = device.allocate(512);
    handle.errno = errno;
    for (const action of [
      () => device.write(buffer, 1024),
      () => device.read(buffer, 1024),
      () => device.zero(1024, 512),
      () => device.flush(),
    ]) {
      await expect(action()).rejects.toMatchObject({
        code: 'slot-write-failed',
        details: { errno, device: '/dev/sample' },
      });
    }
  });

  it('zeroes more than one buffer of zeros', async () => {
    const handle = new ShortHandle(1 << 20);
    handle.bytes.fill(1);
    await deviceOn(handle).zero(512, 63 * 1024);
    expect(handle.bytes.findIndex((byte) => byte === 0)).toBe(512);
    expect(handle.bytes.lastIndexOf(0)).toBe(512 + 63 * 1024 - 1);
  });

  it('gives the lock back even when closing fails', async () => {
    const handle = new ShortHandle(512);
    let released = 0;
    const device = new LinuxBlockDevice({
      path: '/dev/sample',
      handle,
      sizeBytes: 512,
      alignmentBytes: 512,
      isDirect: false,
      afterClose: async () => {
        released += 1;
      },
    });
    expect(device.readsBypassCache).toBe(false);
    handle.errno = 'EIO';
    await expect(device.close()).rejects.toThrow('EIO');
    await device.close();
    expect(released).toBe(1);
  });

  it('allocates exactly what is asked, at the start of a page of its own', () => {
    for (const sizeBytes of [512, 65_536, 65_537]) {
      const buffer = allocateAligned(sizeBytes);
      expect([buffer.byteLength, buffer.byteOffset]).toEqual([sizeBytes, 0]);
    }
  });
});
