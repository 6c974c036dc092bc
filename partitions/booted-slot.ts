import { readFile } from 'node:fs/promises';
import type { PartitionConfig } from './block-device.ts';
import { DeviceTree, identify } from './device-tree.ts';
import { PartitionError } from './errors.ts';
import { parseBootName, parseMountInfo } from './mount-info.ts';

const slotNames = ['a', 'b'] as const;

function unknown(reason: string, details: Record<string, unknown>, cause?: unknown): PartitionError {
  return new PartitionError('booted-slot-unknown', `cannot tell the booted slot: ${reason}`, {
    details,
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Decides which slot runs: the one with a device among `rootDevices` (what `/` is on, and what that is built on), as
 * long as the boot name of the kernel's command line does not contradict. Throws `booted-slot-unknown`.
 */
export function decideBootedSlot(facts: {
  readonly rootDevices: ReadonlySet<string>;
  readonly slotDevices: Readonly<Record<'a' | 'b', ReadonlySet<string>>>;
  readonly bootNames: Readonly<Record<'a' | 'b', string>>;
  /** What the kernel was told, or `undefined` when it was told nothing. */
  readonly bootName: string | undefined;
}): 'a' | 'b' {
  const { rootDevices, slotDevices, bootNames, bootName } = facts;
  const details = { rootDevices: [...rootDevices], a: [...slotDevices.a], b: [...slotDevices.b], bootName };
  const [found, other] = slotNames.filter((slot) => [...slotDevices[slot]].some((id) => rootDevices.has(id)));
  if (found === undefined) {
    throw unknown(`/ is on ${[...rootDevices].join(', ')}, which is no device of a slot`, details);
  }
  if (other !== undefined) throw unknown('/ is on a device that both slots name', details);
  if (bootName !== undefined && bootName !== bootNames[found]) {
    throw unknown(
      `/ is on a device of slot ${found} (${bootNames[found]}), and the kernel was told ${bootName.slice(0, 64)}`,
      details,
    );
  }
  return found;
}

/**
 * Finds the slot that runs now by the device of `/`, never by a label alone, and cross-checks it with `kaon.slot=` or
 * `rauc.slot=` of the kernel's command line. Throws `booted-slot-unknown`.
 */
export async function findBootedSlot(options: {
  readonly slots: Readonly<Record<'a' | 'b', Readonly<Record<string, PartitionConfig>>>>;
  /** What the loader calls each slot. */
  readonly bootNames: Readonly<Record<'a' | 'b', string>>;
  readonly procPath?: string;
  readonly sysPath?: string;
  /** Device number of a block device, `undefined` where there is none. */
  readonly deviceNumberOf?: (path: string) => Promise<string | undefined>;
}): Promise<'a' | 'b'> {
  const procPath = options.procPath ?? '/proc';
  const deviceNumberOf = options.deviceNumberOf ?? blockDeviceNumber;
  const [mounts, cmdline] = await Promise.all([
    readProc(`${procPath}/self/mountinfo`),
    readProc(`${procPath}/cmdline`),
  ]);
  // Later mounts cover earlier ones.
  const root = parseMountInfo(mounts).findLast(({ mountPoint }) => mountPoint === '/');
  if (root === undefined) throw unknown('nothing is mounted at /', {});
  // btrfs has a device number of its own; its source is the device.
  const isAnonymous = root.deviceNumber.startsWith('0:');
  const deviceNumber = isAnonymous ? await deviceNumberOf(root.source) : root.deviceNumber;
  if (deviceNumber === undefined) {
    throw unknown(`/ is a ${root.fileSystem} on ${root.source}, which is no block device`, { source: root.source });
  }
  const below = await new DeviceTree(options.sysPath ?? '/sys').slaves(deviceNumber);
  const devicesOf = async (slot: 'a' | 'b'): Promise<ReadonlySet<string>> => {
    const blocks = Object.values(options.slots[slot]).filter(({ kind }) => kind === 'block');
    const numbers = await Promise.all(blocks.map(({ device }) => deviceNumberOf(device)));
    return new Set(numbers.filter((number) => number !== undefined));
  };
  return decideBootedSlot({
    rootDevices: new Set([deviceNumber, ...below]),
    slotDevices: { a: await devicesOf('a'), b: await devicesOf('b') },
    bootNames: options.bootNames,
    bootName: parseBootName(cmdline),
  });
}

/** A device that is missing cannot be the one of `/`: it is left out here and named when it is opened. */
async function blockDeviceNumber(path: string): Promise<string | undefined> {
  try {
    const { kind, id } = await identify(path);
    return kind === 'block' ? id : undefined;
  } catch (error) {
    if (error instanceof PartitionError && error.code === 'slot-device-unreadable') return undefined;
    throw error;
  }
}

async function readProc(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unknown(`${path} cannot be read`, { path }, cause);
  }
}
