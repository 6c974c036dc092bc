import type { BlockDevice, PartitionConfig, SlotDevices } from './block-device.ts';
import { findDeviceUser } from './device-in-use.ts';
import { type DeviceIdentity, DeviceTree, identify } from './device-tree.ts';
import { PartitionError } from './errors.ts';
import { lockFile } from './file-lock.ts';
import { LinuxBlockDevice, type LinuxBlockDeviceOptions } from './linux-block-device.ts';
import { openExclusively, openForReading } from './open-device.ts';
import { ReadOnlyDevice } from './read-only-device.ts';
import type { ZeroRange } from './zero-range.ts';

type SlotConfigs = Readonly<Record<'a' | 'b', Readonly<Record<string, PartitionConfig>>>>;

/** A configured partition that was looked at. */
interface FoundPartition {
  readonly config: PartitionConfig;
  readonly identity: DeviceIdentity;
}

// Direct I/O on a file may want the block size of the disk below.
const fileAlignmentBytes = 4096;

/** The slots of this machine. Only configured devices are opened, and one of the booted slot for nothing but reading. */
export class LinuxSlotDevices implements SlotDevices {
  readonly #slots: SlotConfigs;
  readonly #booted: 'a' | 'b';
  readonly #areFilesAllowed: boolean;
  readonly #procPath: string;
  readonly #tree: DeviceTree;
  readonly #isRoot: boolean;
  readonly #zeroRange: ZeroRange | undefined;

  /** `areFilesAllowed` lets root write to `kind: file`; `isRoot` is asked of the process unless told. */
  constructor(options: {
    slots: SlotConfigs;
    booted: 'a' | 'b';
    areFilesAllowed: boolean;
    procPath?: string;
    sysPath?: string;
    isRoot?: boolean;
    /** Without it zeros are written. */
    zeroRange?: ZeroRange;
  }) {
    this.#slots = options.slots;
    this.#booted = options.booted;
    this.#areFilesAllowed = options.areFilesAllowed;
    this.#procPath = options.procPath ?? '/proc';
    this.#tree = new DeviceTree(options.sysPath ?? '/sys');
    this.#zeroRange = options.zeroRange;
    this.#isRoot = options.isRoot ?? process.geteuid?.() === 0;
  }

  /** See `SlotDevices`. */
  async open(slot: 'a' | 'b', partition: string): Promise<BlockDevice> {
    const config = this.#configOf(slot, partition);
    if (slot === this.#booted) throw busy(config, 'its slot is the booted one');
    this.#refuseFile(config);
    const found = await inspect(config);
    await this.#refuseShared(slot, partition, found);
    const user = await findDeviceUser(found.identity, this.#tree, this.#procPath);
    if (user !== undefined) throw busy(config, user);
    return config.kind === 'file' ? this.#openFile(found) : this.#openBlock(found);
  }

  /** See `SlotDevices`. The kernel opens it read-only, so that no error of ours can write to it. */
  async openBooted(partition: string): Promise<BlockDevice> {
    const config = this.#configOf(this.#booted, partition);
    this.#refuseFile(config);
    const { identity } = await inspect(config);
    const isBlock = identity.kind === 'block';
    const [sizeBytes, alignmentBytes] = isBlock
      ? await Promise.all([this.#tree.sizeBytes(identity.id), this.#tree.alignmentBytes(identity.id)])
      : [identity.fileSizeBytes, fileAlignmentBytes];
    const opened = await openForReading(config.device, { kind: config.kind, id: identity.id }, alignmentBytes);
    return new ReadOnlyDevice(new LinuxBlockDevice({ path: config.device, ...opened, sizeBytes, alignmentBytes }));
  }

  /** See `SlotDevices`. Throws `slot-device-refused` or `slot-device-unreadable`. */
  async sizes(slot: 'a' | 'b'): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for (const [name, config] of Object.entries(this.#slots[slot])) {
      if (config.keep) continue;
      const { identity } = await inspect(config);
      sizes.set(name, identity.kind === 'block' ? await this.#tree.sizeBytes(identity.id) : identity.fileSizeBytes);
    }
    return sizes;
  }

  #refuseFile(config: PartitionConfig): void {
    if (config.kind !== 'file' || !this.#isRoot || this.#areFilesAllowed) return;
    throw refused(config, 'kind file is for demos and tests, and this process is root');
  }

  #configOf(slot: 'a' | 'b', partition: string): PartitionConfig {
    // Names come from outside: `constructor` must not find what every object has.
    const config = Object.hasOwn(this.#slots[slot], partition) ? this.#slots[slot][partition] : undefined;
    if (config !== undefined) return config;
    throw new PartitionError(
      'slot-device-refused',
      `cannot open partition ${partition} of slot ${slot}: it is not configured; see slots.${slot}.partitions`,
      { details: { slot, partition } },
    );
  }

  /** Throws when another configured partition is the same thing, or the booted slot stands on it or below it. */
  async #refuseShared(slot: 'a' | 'b', partition: string, found: FoundPartition): Promise<void> {
    const own = found.identity;
    const ownBelow = own.kind === 'block' ? await this.#tree.slaves(own.id) : new Set<string>();
    for (const otherSlot of ['a', 'b'] as const) {
      for (const [name, config] of Object.entries(this.#slots[otherSlot])) {
        if (otherSlot === slot && name === partition) continue;
        const isBooted = otherSlot === this.#booted;
        const other = await this.#identifyOther(config, isBooted);
        if (other === undefined) continue;
        const where = `slots.${otherSlot}.partitions.${name}`;
        if (other.id === own.id) {
          if (isBooted) throw busy(found.config, `it is the device of the booted slot, ${where}`);
          throw refused(found.config, `it is the same device as ${where}`);
        }
        if (!isBooted || other.kind !== 'block') continue;
        const otherBelow = await this.#tree.slaves(other.id);
        if (ownBelow.has(other.id) || otherBelow.has(own.id)) {
          throw busy(found.config, `it shares a device with the booted slot, ${where}`);
        }
      }
    }
  }

  /** A missing device of the other slot is no reason to refuse; one of the booted slot is: it cannot be compared. */
  async #identifyOther(config: PartitionConfig, isBooted: boolean): Promise<DeviceIdentity | undefined> {
    try {
      return await identify(config.device);
    } catch (error) {
      const isMissing = error instanceof PartitionError && error.code === 'slot-device-unreadable';
      if (isMissing && !isBooted) return undefined;
      throw error;
    }
  }

  #zeroingOf(descriptor: number, kind: 'block' | 'file'): Pick<LinuxBlockDeviceOptions, 'zeroRange'> {
    const zeroRange = this.#zeroRange;
    if (zeroRange === undefined) return {};
    return {
      zeroRange: (offset, sizeBytes, signal) => zeroRange({ descriptor, kind }, offset, sizeBytes, signal),
    };
  }

  async #openBlock({ config, identity }: FoundPartition): Promise<BlockDevice> {
    const [sizeBytes, alignmentBytes] = await Promise.all([
      this.#tree.sizeBytes(identity.id),
      this.#tree.alignmentBytes(identity.id),
    ]);
    const opened = await openExclusively(config.device, { kind: 'block', id: identity.id }, alignmentBytes);
    return new LinuxBlockDevice({
      path: config.device,
      ...opened,
      ...this.#zeroingOf(opened.handle.fd, 'block'),
      sizeBytes,
      alignmentBytes,
    });
  }

  async #openFile({ config, identity }: FoundPartition): Promise<BlockDevice> {
    const release = await lockFile(config.device);
    try {
      const expected = { kind: 'file', id: identity.id } as const;
      const opened = await openExclusively(config.device, expected, fileAlignmentBytes);
      return new LinuxBlockDevice({
        path: config.device,
        ...opened,
        ...this.#zeroingOf(opened.handle.fd, 'file'),
        sizeBytes: identity.fileSizeBytes,
        alignmentBytes: fileAlignmentBytes,
        afterClose: release,
      });
    } catch (error) {
      await release();
      throw error;
    }
  }
}

async function inspect(config: PartitionConfig): Promise<FoundPartition> {
  const identity = await identify(config.device);
  if (identity.kind === config.kind) return { config, identity };
  const what = { block: 'a block device', file: 'a file', other: 'neither a block device nor a file' }[identity.kind];
  throw refused(config, `it is ${what}, and configured as kind: ${config.kind}`);
}

function refused(config: PartitionConfig, reason: string): PartitionError {
  return new PartitionError('slot-device-refused', `cannot open ${config.device}: ${reason}`, {
    details: { device: config.device },
  });
}

function busy(config: PartitionConfig, reason: string): PartitionError {
  return new PartitionError('slot-busy', `cannot open ${config.device}: ${reason}`, {
    details: { device: config.device },
  });
}
