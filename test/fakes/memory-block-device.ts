import type { BlockDevice, SlotDevices } from '../../partitions/block-device.ts';
import { PartitionError } from '../../partitions/errors.ts';
import { ReadOnlyDevice } from '../../partitions/read-only-device.ts';

const sectorBytes = 512;

/** What a device operation is called in `beforeStep` and in faults. */
export type DeviceOperation = 'write' | 'zero' | 'flush' | 'read';

/** One failure to come: the `nth` (from 1) operation of this kind on this partition. */
export interface DeviceFault {
  readonly partition: string;
  readonly operation: DeviceOperation;
  readonly nth: number;
  readonly errno: 'EIO' | 'ENOSPC';
}

/**
 * Called before each write, zero and flush as `write root 4096+512`, `zero root 0+4096`, `flush root`. When it throws,
 * nothing of that step happened. A promise holds the step back, as a slow device does.
 */
export type BeforeStep = (name: string) => void | Promise<void>;

interface UnflushedSector {
  readonly sectorIndex: number;
  readonly bytes: Uint8Array;
}

/** Buffers that direct I/O would take; the fake refuses others, as the kernel does. */
const alignedBuffers = new WeakSet<ArrayBufferLike>();

/** What a power cut does to one unflushed sector. */
export type SectorFate = 'lost' | 'written';

/** The medium: what survives closing and power cuts, and the unflushed sectors above it. */
export class MemoryDisk {
  readonly name: string;
  readonly alignmentBytes: number;
  readonly faults: readonly DeviceFault[];
  readonly beforeStep: BeforeStep;
  readonly counts: Record<DeviceOperation, number> = { write: 0, zero: 0, flush: 0, read: 0 };
  holder: MemoryBlockDevice | undefined;
  readonly #durable: Uint8Array;
  #unflushed: UnflushedSector[] = [];

  constructor(options: {
    name: string;
    sizeBytes: number;
    alignmentBytes?: number;
    beforeStep?: BeforeStep;
    faults?: readonly DeviceFault[];
  }) {
    this.name = options.name;
    this.alignmentBytes = options.alignmentBytes ?? sectorBytes;
    // What was there before is never zero, so that a test sees what was not written.
    this.#durable = new Uint8Array(options.sizeBytes).fill(0xa5);
    this.beforeStep = options.beforeStep ?? (() => undefined);
    this.faults = (options.faults ?? []).filter(({ partition }) => partition === options.name);
  }

  get sizeBytes(): number {
    return this.#durable.byteLength;
  }

  /** What would be read after a power cut that loses every unflushed sector. */
  durableBytes(): Uint8Array {
    return this.#durable.slice();
  }

  /** What a read sees now. */
  visibleBytes(): Uint8Array {
    const bytes = this.#durable.slice();
    for (const sector of this.#unflushed) bytes.set(sector.bytes, sector.sectorIndex * sectorBytes);
    return bytes;
  }

  /** Puts `bytes` on the medium behind everybody's back, as bad flash does. */
  corrupt(offset: number, bytes: Uint8Array): void {
    this.#durable.set(bytes, offset);
  }

  put(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.byteLength; at += sectorBytes) {
      const sectorIndex = (offset + at) / sectorBytes;
      this.#unflushed.push({ sectorIndex, bytes: bytes.slice(at, at + sectorBytes) });
    }
  }

  sync(): void {
    this.#apply(() => 'written');
  }

  /** Cuts the power: each unflushed sector is lost or written, in order; whoever holds the device has lost it. */
  powerCut(choose: (sectorIndex: number) => SectorFate): void {
    this.#apply(choose);
    this.holder = undefined;
  }

  #apply(choose: (sectorIndex: number) => SectorFate): void {
    for (const { sectorIndex, bytes } of this.#unflushed) {
      if (choose(sectorIndex) === 'written') this.#durable.set(bytes, sectorIndex * sectorBytes);
    }
    this.#unflushed = [];
  }
}

/** An opened `MemoryDisk`. */
export class MemoryBlockDevice implements BlockDevice {
  readonly disk: MemoryDisk;

  /** Opens `disk`, or throws `slot-busy` while another holds it. */
  constructor(disk: MemoryDisk) {
    if (disk.holder !== undefined) {
      throw new PartitionError('slot-busy', `cannot open partition ${disk.name}: it is already open`);
    }
    this.disk = disk;
    disk.holder = this;
  }

  get sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  get alignmentBytes(): number {
    return this.disk.alignmentBytes;
  }

  allocate(sizeBytes: number): Uint8Array<SharedArrayBuffer> {
    const bytes = new Uint8Array(new SharedArrayBuffer(sizeBytes));
    alignedBuffers.add(bytes.buffer);
    return bytes;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#check('write', offset, bytes.byteLength);
    this.#checkBuffer('write', bytes);
    await this.disk.beforeStep(`write ${this.disk.name} ${offset}+${bytes.byteLength}`);
    this.#fail('write');
    // Only now: a device reads the buffer while the write is in flight, so reusing it early must show.
    this.disk.put(bytes, offset);
  }

  async read(into: Uint8Array, offset: number): Promise<void> {
    this.#check('read', offset, into.byteLength);
    this.#checkBuffer('read', into);
    this.#fail('read');
    into.set(this.disk.visibleBytes().subarray(offset, offset + into.byteLength));
  }

  async zero(offset: number, sizeBytes: number): Promise<void> {
    this.#check('zero', offset, sizeBytes);
    await this.disk.beforeStep(`zero ${this.disk.name} ${offset}+${sizeBytes}`);
    this.#fail('zero');
    this.disk.put(new Uint8Array(sizeBytes), offset);
  }

  async flush(): Promise<void> {
    this.#check('flush', 0, 0);
    await this.disk.beforeStep(`flush ${this.disk.name}`);
    this.#fail('flush');
    this.disk.sync();
  }

  async close(): Promise<void> {
    if (this.disk.holder === this) this.disk.holder = undefined;
  }

  /** See `MemoryDisk.powerCut`. */
  powerCut(choose: (sectorIndex: number) => SectorFate): void {
    this.disk.powerCut(choose);
  }

  #check(operation: DeviceOperation, offset: number, sizeBytes: number): void {
    if (this.disk.holder !== this) throw this.#error(operation, 'EBADF', 'the device is closed');
    const isAligned = offset % this.alignmentBytes === 0 && sizeBytes % this.alignmentBytes === 0;
    if (!isAligned) throw this.#error(operation, 'EINVAL', 'offset or length is not aligned');
    if (offset < 0 || offset + sizeBytes > this.sizeBytes) {
      throw this.#error(operation, 'ENOSPC', 'the range is beyond the end of the device');
    }
  }

  #checkBuffer(operation: DeviceOperation, bytes: Uint8Array): void {
    if (!alignedBuffers.has(bytes.buffer) || bytes.byteOffset % this.alignmentBytes !== 0) {
      throw this.#error(operation, 'EINVAL', 'the buffer is not aligned');
    }
  }

  #fail(operation: DeviceOperation): void {
    // A power cut may have come while the step was held back.
    if (this.disk.holder !== this) throw this.#error(operation, 'EIO', 'the device is gone');
    this.disk.counts[operation] += 1;
    const fault = this.disk.faults.find(
      (candidate) => candidate.operation === operation && candidate.nth === this.disk.counts[operation],
    );
    if (fault !== undefined) throw this.#error(operation, fault.errno, fault.errno);
  }

  #error(operation: DeviceOperation, errno: string, reason: string): PartitionError {
    return new PartitionError('slot-write-failed', `cannot ${operation} partition ${this.disk.name}: ${reason}`, {
      details: { partition: this.disk.name, errno },
    });
  }
}

/** A partition of the fake node. */
export interface MemoryPartition {
  readonly sizeBytes: number;
  readonly keep?: boolean;
  readonly alignmentBytes?: number;
}

/** The slots of a node in memory. */
export class MemorySlotDevices implements SlotDevices {
  readonly #booted: 'a' | 'b' | undefined;
  readonly #partitions: Record<'a' | 'b', Readonly<Record<string, MemoryPartition>>>;
  readonly #disks = new Map<string, MemoryDisk>();

  constructor(options: {
    slots: Record<'a' | 'b', Readonly<Record<string, MemoryPartition>>>;
    /** This slot is refused, as the running one is. */
    booted?: 'a' | 'b';
    beforeStep?: BeforeStep;
    /** For the disks of both slots. */
    faults?: readonly DeviceFault[];
  }) {
    this.#booted = options.booted;
    this.#partitions = options.slots;
    for (const slot of ['a', 'b'] as const) {
      for (const [name, partition] of Object.entries(options.slots[slot])) {
        this.#disks.set(
          `${slot}/${name}`,
          new MemoryDisk({
            name,
            sizeBytes: partition.sizeBytes,
            alignmentBytes: partition.alignmentBytes ?? sectorBytes,
            faults: options.faults ?? [],
            ...(options.beforeStep && { beforeStep: options.beforeStep }),
          }),
        );
      }
    }
  }

  /** The medium of a partition, for tests to look at. */
  disk(slot: 'a' | 'b', partition: string): MemoryDisk {
    const disk = this.#disks.get(`${slot}/${partition}`);
    if (disk === undefined) {
      throw new PartitionError(
        'slot-device-refused',
        `cannot open partition ${partition} of slot ${slot}: not configured`,
      );
    }
    return disk;
  }

  async open(slot: 'a' | 'b', partition: string): Promise<BlockDevice> {
    const disk = this.disk(slot, partition);
    if (slot === this.#booted) {
      throw new PartitionError('slot-busy', `cannot open partition ${partition} of slot ${slot}: the slot is booted`);
    }
    return new MemoryBlockDevice(disk);
  }

  async openBooted(partition: string): Promise<BlockDevice> {
    if (this.#booted === undefined) {
      throw new PartitionError('slot-device-refused', `cannot open partition ${partition}: no slot is booted`);
    }
    const disk = this.disk(this.#booted, partition);
    // Whoever reads a mounted device does not hold it.
    disk.holder = undefined;
    return new ReadOnlyDevice(new MemoryBlockDevice(disk));
  }

  async sizes(slot: 'a' | 'b'): Promise<ReadonlyMap<string, number>> {
    const covered = Object.entries(this.#partitions[slot]).filter(([, partition]) => partition.keep !== true);
    return new Map(covered.map(([name, partition]) => [name, partition.sizeBytes]));
  }

  /** Cuts the power of every disk. */
  powerCut(choose: (sectorIndex: number) => SectorFate): void {
    for (const disk of this.#disks.values()) disk.powerCut(choose);
  }
}
