import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAutoboot } from './autoboot-txt.ts';
import type { LoaderFacts } from './detect.ts';
import { parseLoadOption, parseVariable } from './efi-variables.ts';
import { decodeEnvironment } from './grubenv.ts';

const limitBytes = 64 * 1024;
const efivars = 'sys/firmware/efi/efivars';
/** A variable of systemd's vendor GUID (The Boot Loader Interface). */
const loaderVariable = (name: string) => `${efivars}/${name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f`;
const bootDirectories = ['boot', 'boot/efi', 'boot/firmware', 'efi'];
const grubFiles = ['grub/grubenv', 'grub2/grubenv'];

/** Reads what the system below `root` shows of its loader; what is not there or can't be read is no evidence. */
export async function readLoaderFacts(root = '/'): Promise<LoaderFacts> {
  const text = async (path: string) => (await bytesOf(join(root, path)))?.toString('utf8');
  const isThere = async (path: string) => (await readdir(join(root, path)).catch(() => undefined)) !== undefined;
  const candidates = bootDirectories.flatMap((directory) => grubFiles.map((file) => join(directory, file)));
  const environments = await Promise.all(candidates.map((path) => environmentAt(root, path)));
  const withEntries = await filter(bootDirectories, async (directory) => isThere(join(directory, 'loader/entries')));
  const autobootFiles = await Promise.all(
    bootDirectories.map((directory) => autobootAt(root, join(directory, 'autoboot.txt'))),
  );
  return {
    isUefi: await isThere('sys/firmware/efi'),
    loaderInfo: efiText(await bytesOf(join(root, loaderVariable('LoaderInfo')))),
    loaderPartition: efiText(await bytesOf(join(root, loaderVariable('LoaderDevicePartUUID')))),
    grubEnvironments: environments.filter((found) => found !== undefined),
    loaderDirectories: withEntries.map((path) => `/${path}`),
    fwEnvConfig: await text('etc/fw_env.config'),
    autobootFiles: autobootFiles.filter((found) => found !== undefined),
    bootEntries: await bootEntriesOf(root),
    partitions: await partitionsOf(root),
    model: (await text('proc/device-tree/model'))?.replace(/\0+$/, ''),
    commandLine: (await text('proc/cmdline')) ?? '',
  };
}

/** What udev read of the tables (`ID_PART_ENTRY_…`); anybody may read it, where a disk is root's alone. */
async function partitionsOf(root: string): Promise<LoaderFacts['partitions']> {
  const folder = join(root, 'run/udev/data');
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^b\d+:\d+$/.test(name)).slice(0, 512);
  const records = new Map<string, ReadonlyMap<string, string>>();
  for (const name of names) {
    const lines = (await bytesOf(join(folder, name)))?.toString('utf8').split('\n') ?? [];
    const pairs = lines.filter((line) => line.startsWith('E:') && line.includes('=')).map((line) => line.slice(2));
    records.set(
      name.slice(1),
      new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])),
    );
  }
  const found = await Promise.all(
    [...records.values()].map(async (record) => {
      const number = record.get('ID_PART_ENTRY_DISK') ?? '';
      const [guid, typeGuid] = [record.get('ID_PART_ENTRY_UUID'), record.get('ID_PART_ENTRY_TYPE')];
      const disk = await diskName(root, number);
      if (record.get('ID_PART_ENTRY_SCHEME') !== 'gpt' || !guid || !typeGuid || disk === undefined) return undefined;
      const order = Number(record.get('ID_PART_ENTRY_NUMBER') ?? 0);
      return { order, partition: { disk, guid: guid.toLowerCase(), typeGuid: typeGuid.toLowerCase() } };
    }),
  );
  return found
    .filter((one) => one !== undefined)
    .sort((one, other) => one.order - other.order)
    .map(({ partition }) => partition);
}

async function diskName(root: string, number: string): Promise<string | undefined> {
  if (!/^\d+:\d+$/.test(number)) return undefined;
  const text = (await bytesOf(join(root, 'sys/dev/block', number, 'uevent')))?.toString('utf8');
  const name = /^DEVNAME=(\S+)$/m.exec(text ?? '')?.[1];
  return name === undefined ? undefined : `/dev/${name}`;
}

async function autobootAt(root: string, path: string): Promise<LoaderFacts['autobootFiles'][number] | undefined> {
  const bytes = await bytesOf(join(root, path));
  if (bytes === undefined) return undefined;
  try {
    const { partition, trybootPartition } = parseAutoboot(bytes);
    return { path: `/${path}`, partition, trybootPartition };
  } catch {
    // A file that selects no partitions yet is one all the same.
    return { path: `/${path}`, partition: undefined, trybootPartition: undefined };
  }
}

async function bootEntriesOf(root: string): Promise<readonly string[]> {
  const folder = join(root, efivars);
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^Boot[0-9A-F]{4}-/.test(name)).slice(0, 64);
  const found = await Promise.all(
    names.sort().map(async (name) => {
      try {
        const bytes = await bytesOf(join(folder, name));
        return bytes === undefined ? undefined : parseLoadOption(parseVariable(bytes).data).description;
      } catch {
        // An entry of somebody else's may be broken.
        return undefined;
      }
    }),
  );
  return found.filter((description) => description !== undefined);
}

async function environmentAt(root: string, path: string): Promise<LoaderFacts['grubEnvironments'][number] | undefined> {
  const block = await bytesOf(join(root, path));
  if (block === undefined) return undefined;
  try {
    return { path: `/${path}`, variables: decodeEnvironment(block).map(([name]) => name) };
  } catch {
    // A file of that name which is no environment block shows nothing.
    return undefined;
  }
}

async function filter<T>(items: readonly T[], isWanted: (item: T) => Promise<boolean>): Promise<readonly T[]> {
  const wanted = await Promise.all(items.map(isWanted));
  return items.filter((_, index) => wanted[index]);
}

async function bytesOf(path: string): Promise<Buffer | undefined> {
  const bytes = await readFile(path).catch(() => undefined);
  return bytes === undefined || bytes.byteLength > limitBytes ? undefined : bytes;
}

/** The text of an EFI variable: four bytes of attributes, then UTF-16 with a NUL at its end (efivarfs). */
function efiText(bytes: Buffer | undefined): string | undefined {
  return bytes === undefined || bytes.byteLength < 6 ? undefined : bytes.toString('utf16le', 4).replace(/\0+$/, '');
}
