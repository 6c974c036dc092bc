import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LoaderFacts } from './detect.ts';
import { decodeEnvironment } from './grubenv.ts';

const limitBytes = 64 * 1024;
/** systemd's vendor GUID (The Boot Loader Interface). */
const loaderInfoFile = 'sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
const bootDirectories = ['boot', 'boot/efi', 'boot/firmware', 'efi'];
const grubFiles = ['grub/grubenv', 'grub2/grubenv'];

/** Reads what the system below `root` shows of its loader; what is not there or can't be read is no evidence. */
export async function readLoaderFacts(root = '/'): Promise<LoaderFacts> {
  const text = async (path: string) => (await bytesOf(join(root, path)))?.toString('utf8');
  const isThere = async (path: string) => (await readdir(join(root, path)).catch(() => undefined)) !== undefined;
  const candidates = bootDirectories.flatMap((directory) => grubFiles.map((file) => join(directory, file)));
  const environments = await Promise.all(candidates.map((path) => environmentAt(root, path)));
  const withEntries = await filter(bootDirectories, async (directory) => isThere(join(directory, 'loader/entries')));
  const withAutoboot = await filter(
    bootDirectories.map((directory) => join(directory, 'autoboot.txt')),
    async (path) => (await bytesOf(join(root, path))) !== undefined,
  );
  return {
    isUefi: await isThere('sys/firmware/efi'),
    loaderInfo: efiText(await bytesOf(join(root, loaderInfoFile))),
    grubEnvironments: environments.filter((found) => found !== undefined),
    loaderDirectories: withEntries.map((path) => `/${path}`),
    fwEnvConfig: await text('etc/fw_env.config'),
    autobootFiles: withAutoboot.map((path) => `/${path}`),
    model: (await text('proc/device-tree/model'))?.replace(/\0+$/, ''),
    commandLine: (await text('proc/cmdline')) ?? '',
  };
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
