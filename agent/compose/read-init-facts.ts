import { open, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DeviceTree, formatDeviceNumber } from '../../partitions/device-tree.ts';
import { parseMountInfo } from '../../partitions/mount-info.ts';
import type { DetectedLoader } from '../../bootloader/detect.ts';
import type { PartitionFacts } from '../cli/find-slots.ts';
import type { InitFacts } from '../cli/init-config.ts';

const limitBytes = 64 * 1024;
const recordLimit = 512;
/** Where tools of containers keep credentials that a service may use. */
const authFiles = [
  '/etc/kaon/auth.json',
  '/etc/ostree/auth.json',
  '/run/ostree/auth.json',
  '/root/.docker/config.json',
];

/** Reads what the system below `root` shows; what is not there or can't be read is no evidence. */
export async function readInitFacts(loaders: readonly DetectedLoader[], root = '/'): Promise<InitFacts> {
  const keyFolder = '/etc/kaon/keys';
  const keys = await readdir(join(root, keyFolder)).catch(() => []);
  return {
    partitions: await readPartitions(root),
    rootDevices: await rootDevices(root),
    stateDevice: await deviceBelow(root, '/var/lib/kaon'),
    loaders,
    machine: await machineOf(root),
    registries: await registriesOf(root),
    keys: keys
      .filter((name) => /\.(pub|pem)$/.test(name))
      .sort()
      .map((name) => `${keyFolder}/${name}`),
  };
}

/** What udev read of the tables (`ID_PART_ENTRY_…`), in the order of disks and partitions. */
async function readPartitions(root: string): Promise<readonly PartitionFacts[]> {
  const folder = join(root, 'run/udev/data');
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^b\d+:\d+$/.test(name)).slice(0, recordLimit);
  const found = await Promise.all(names.map((name) => readPartition(root, folder, name)));
  return found
    .filter((partition) => partition !== undefined)
    .sort((one, other) => one.disk.localeCompare(other.disk) || one.number - other.number);
}

async function readPartition(root: string, folder: string, name: string): Promise<PartitionFacts | undefined> {
  const deviceNumber = name.slice(1);
  const lines = ((await textOf(join(folder, name))) ?? '').split('\n').filter((line) => line.startsWith('E:'));
  const record = new Map(lines.map((line) => [line.slice(2, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const uevent = (await textOf(join(root, 'sys/dev/block', deviceNumber, 'uevent'))) ?? '';
  const device = /^DEVNAME=(\S+)$/m.exec(uevent)?.[1];
  const partUuid = record.get('ID_PART_ENTRY_UUID');
  if (device === undefined || partUuid === undefined || !/^[0-9a-f-]+$/i.test(partUuid)) return undefined;
  const label = record.get('ID_PART_ENTRY_NAME');
  return {
    device: `/dev/${device}`,
    deviceNumber,
    disk: record.get('ID_PART_ENTRY_DISK') ?? '',
    number: Number(record.get('ID_PART_ENTRY_NUMBER') ?? 0),
    partUuid: partUuid.toLowerCase(),
    label: label === undefined || label === '' ? undefined : unescapeUdev(label),
    typeGuid: (record.get('ID_PART_ENTRY_TYPE') ?? '').toLowerCase(),
    sizeBytes: Number(record.get('ID_PART_ENTRY_SIZE') ?? 0) * 512,
  };
}

/** udev writes what is no plain character as `\xNN`, in UTF-8. */
function unescapeUdev(text: string): string {
  const bytes = text.replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Device numbers of what `/` is on, and of all that it is built on (verity, encryption). */
async function rootDevices(root: string): Promise<ReadonlySet<string>> {
  const number = await mountedAt(root, '/');
  if (number === undefined) return new Set();
  const below = await new DeviceTree(join(root, 'sys')).slaves(number).catch(() => new Set<string>());
  return new Set([number, ...below]);
}

/** The device that `path` is on, or will be on once it is made. */
async function deviceBelow(root: string, path: string): Promise<string | undefined> {
  const mounts = (await mountsOf(root)).map(({ mountPoint }) => mountPoint);
  for (let at = path; ; at = dirname(at)) {
    if (mounts.includes(at)) return mountedAt(root, at);
    if (at === '/') return undefined;
  }
}

async function mountedAt(root: string, path: string): Promise<string | undefined> {
  // Later mounts cover earlier ones.
  const mount = (await mountsOf(root)).findLast(({ mountPoint }) => mountPoint === path);
  if (mount === undefined || !mount.deviceNumber.startsWith('0:')) return mount?.deviceNumber;
  // btrfs has a device number of its own; its source is the device.
  return stat(join(root, mount.source)).then(
    (found) => (found.isBlockDevice() ? formatDeviceNumber(found.rdev) : undefined),
    () => undefined,
  );
}

async function mountsOf(root: string) {
  return parseMountInfo(await readFile(join(root, 'proc/self/mountinfo'), 'utf8').catch(() => ''));
}

async function machineOf(root: string): Promise<InitFacts['machine']> {
  const model = ((await textOf(join(root, 'proc/device-tree/model'))) ?? '').replace(/\0+$/, '').trim();
  if (model !== '') return { text: model, source: 'the model in the device tree' };
  const product = ((await textOf(join(root, 'sys/class/dmi/id/product_name'))) ?? '').trim();
  return product === '' ? undefined : { text: product, source: 'the product name of the firmware' };
}

/** Hosts that an auth.json (containers-auth.json(5)) has an entry for; nothing else of it is looked at. */
async function registriesOf(root: string): Promise<InitFacts['registries']> {
  const found: { host: string; authFile: string }[] = [];
  for (const authFile of authFiles) {
    for (const host of hostsIn((await textOf(join(root, authFile))) ?? '')) {
      if (!found.some((one) => one.host === host)) found.push({ host, authFile });
    }
  }
  return found;
}

function hostsIn(text: string): readonly string[] {
  try {
    const value: unknown = JSON.parse(text);
    const auths = typeof value === 'object' && value !== null && 'auths' in value ? value.auths : undefined;
    const names = typeof auths === 'object' && auths !== null ? Object.keys(auths) : [];
    const hosts = names.map(
      (name) =>
        name
          .replace(/^https?:\/\//, '')
          .split('/')[0]
          ?.toLowerCase() ?? '',
    );
    return [...new Set(hosts.filter((host) => /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/.test(host)))].slice(0, 16);
  } catch {
    // A file of another shape names no registry.
    return [];
  }
}

async function textOf(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(limitBytes), 0, limitBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}
