import { besidePathsOf, type BlsEntry, type EntryName, loaderPathOf, parseEntry, parseEntryName } from './bls-entry.ts';
import type { BootDirectory } from './boot-directory.ts';
import {
  choosingVariables,
  type ChoosingVariable,
  type EfiVariables,
  findOverrides,
  type Override,
} from './systemd-boot-overrides.ts';
import { readUki } from './read-uki.ts';
import type { Menu, MenuEntry } from './systemd-boot-state.ts';

/** Where the loader looks, below the root of the partition. */
export const entriesFolder = 'loader/entries';
/** Where the loader looks for unified kernel images. */
export const ukiFolder = 'EFI/Linux';
const configFolder = 'loader';

/** Far more than an entry has; the parser's time grows with the square of a line. */
export const entryLimitBytes = 16 * 1024;

export interface MenuPlaces {
  /** The partition that our entries are on. */
  readonly directory: BootDirectory;
  /** The ESP, when our entries are on XBOOTLDR: the loader reads both, and its settings from here. */
  readonly esp: BootDirectory | undefined;
  readonly variables: EfiVariables | undefined;
  /** Whose entry a name is, and whether it stands behind; `undefined` for one that is not ours. */
  readonly ownerOf: (name: EntryName) => Pick<MenuEntry, 'slot' | 'isBehind' | 'isTorn'>;
}

/** Reads all that the loader chooses from, and by. Rejects with `boot-env-unreadable`. */
export async function readMenu({ directory, esp, variables, ownerOf }: MenuPlaces): Promise<Menu> {
  const ours = await readEntries(directory, ownerOf);
  // An entry of our name on the other partition is not the one that we write.
  const foreign = esp === undefined ? [] : await readEntries(esp, () => ({ slot: undefined }));
  return { entries: [...ours, ...foreign], overrides: await readOverrides(esp ?? directory, variables) };
}

async function readEntries(directory: BootDirectory, ownerOf: MenuPlaces['ownerOf']): Promise<readonly MenuEntry[]> {
  const entries: MenuEntry[] = [];
  for (const file of await directory.list(entriesFolder)) {
    const name = parseEntryName(file);
    if (name?.suffix !== '.conf') continue;
    const entry = parseEntry(await directory.read(`${entriesFolder}/${file}`, entryLimitBytes));
    entries.push({ file, name, entry, ...ownerOf(name), isListed: await canStart(directory, entry) });
  }
  for (const file of await directory.list(ukiFolder)) {
    const name = parseEntryName(file);
    if (name?.suffix !== '.efi') continue;
    const uki = await readUki(directory, `${ukiFolder}/${file}`);
    const entry = uki?.entry ?? { lines: [] };
    entries.push({ file, name, entry, ...ownerOf(name), isListed: uki !== undefined });
  }
  return entries;
}

/** Whether an entry names a file to start that is there: the loader lists no other. */
export async function canStart(directory: BootDirectory, entry: BlsEntry): Promise<boolean> {
  const path = loaderPathOf(entry);
  // An image from the network needs no file here.
  if (path === undefined) return entry.lines.some(({ key }) => key === 'uki-url');
  return isThere(directory, path);
}

/** Whether all files that an entry names are there. */
export async function hasAllFiles(directory: BootDirectory, entry: BlsEntry): Promise<boolean> {
  for (const path of besidePathsOf(entry)) if (!(await isThere(directory, path))) return false;
  return canStart(directory, entry);
}

async function isThere(directory: BootDirectory, path: string): Promise<boolean> {
  const names = path.split('/');
  if (path === '' || names.includes('.') || names.includes('..')) return false;
  const file = names.at(-1)?.toLowerCase();
  const folder = names.slice(0, -1).join('/');
  return (await directory.list(folder)).some((name) => name.toLowerCase() === file);
}

async function readOverrides(
  directory: BootDirectory,
  variables: EfiVariables | undefined,
): Promise<readonly Override[]> {
  const names = await directory.list(configFolder);
  const config = names.find((name) => name.toLowerCase() === 'loader.conf');
  const text = config === undefined ? undefined : await directory.read(`${configFolder}/${config}`, entryLimitBytes);
  const values: Partial<Record<ChoosingVariable, string | undefined>> = {};
  for (const name of variables === undefined ? [] : choosingVariables) values[name] = await variables?.read(name);
  return findOverrides(text, values);
}
