import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { run, shell } from '../vm/shell.ts';
import type { Content } from './content.ts';

/** What a block device did since it exists. */
export interface DeviceCounters {
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Writes and flushes that came back. */
  readonly writes: number;
}

/** A partition of a slot: a loop device with direct I/O over a file that was made for it. */
export class LoopSlot {
  readonly device: string;
  readonly sizeBytes: number;
  readonly #file: string;

  private constructor(device: string, sizeBytes: number, file: string) {
    this.device = device;
    this.sizeBytes = sizeBytes;
    this.#file = file;
  }

  /** A device of zeros that takes no room until it is written. */
  static async open(folder: string, name: string, sizeBytes: number): Promise<LoopSlot> {
    const file = join(folder, `${name}.img`);
    await run('truncate', '--size', String(sizeBytes), file);
    const device = await run('losetup', '--find', '--show', '--direct-io=on', file);
    return new LoopSlot(device.trim(), sizeBytes, file);
  }

  /** Puts the bytes of `file` onto the device, past the page cache. */
  async fill(file: string): Promise<void> {
    const count = `bs=4M iflag=direct,count_bytes count=${this.sizeBytes}`;
    await shell(`dd if=${file} of=${this.device} oflag=direct conv=fsync status=none ${count}`);
  }

  /** Whether the device begins with exactly `content`; read past the page cache. */
  async holds(content: Content): Promise<boolean> {
    const read = `dd if=${this.device} bs=4M iflag=direct,count_bytes count=${content.sizeBytes} status=none`;
    const found = await shell(`${read} | cmp -n ${content.sizeBytes} - ${content.file} >&2 && echo same || true`);
    return found.trim() === 'same';
  }

  /** Waits until everything written is on the device. */
  async flush(): Promise<void> {
    await shell(`dd if=/dev/null of=${this.device} conv=notrunc,fsync status=none`);
  }

  /** The kernel's counters of this device; see Documentation/block/stat.rst. */
  async counters(): Promise<DeviceCounters> {
    return parseCounters(await readFile(`/sys/block/${basename(this.device)}/stat`, 'utf8'));
  }

  /** Detaches the device and removes its file. */
  async close(): Promise<void> {
    await run('losetup', '--detach', this.device);
    await run('rm', '-f', this.#file);
  }
}

/** The fields of /sys/block/NAME/stat; sectors have 512 bytes on every device. */
export function parseCounters(stat: string): DeviceCounters {
  const fields = stat.trim().split(/\s+/).map(Number);
  const [readSectors = 0, writes = 0, writtenSectors = 0, flushes = 0] = [2, 4, 6, 15].map((at) => fields[at] ?? 0);
  return { readBytes: readSectors * 512, writtenBytes: writtenSectors * 512, writes: writes + flushes };
}
