/**
 * systemd-boot at boot, in simulation: what it lists, sorts and counts, over the files of a boot partition. It shares no
 * code with the product, so that both can only be wrong separately.
 */

/** The files of a boot partition, by their paths. */
export interface BootFiles {
  readonly paths: readonly string[];
  /** A file's bytes as Latin-1, or nothing where there is no file. */
  textOf(path: string): string;
  put(path: string, text: string): void;
  drop(path: string): void;
}

interface Listed {
  readonly folder: string;
  readonly file: string;
  readonly suffix: string;
  readonly id: string;
  readonly left: number;
  readonly done: number;
  readonly keys: ReadonlyMap<string, string>;
}

const folders = [
  ['loader/entries/', '.conf', keysOfEntry],
  ['EFI/Linux/', '.efi', keysOfImage],
] as const;

/** One boot: the id that starts, or `undefined` with nothing to start. It counts by renaming, and flushes. */
export function bootSystemdBoot(partition: BootFiles): string | undefined {
  return startEntry(partition)?.id;
}

/** One boot, with all that the entry says which starts, and the path that it has from then on. */
export function startEntry(
  partition: BootFiles,
): { readonly id: string; readonly path: string; readonly keys: ReadonlyMap<string, string> } | undefined {
  const chosen = listEntries(partition).sort(order)[0];
  if (chosen === undefined) return undefined;
  const path = chosen.folder + chosen.file;
  if (chosen.left === -1) return { ...chosen, path };
  const counted = `${chosen.folder}${chosen.id}+${Math.max(0, chosen.left - 1)}-${chosen.done + 1}${chosen.suffix}`;
  const text = partition.textOf(path);
  partition.drop(path);
  partition.put(counted, text);
  return { ...chosen, path: counted };
}

/** What systemd-bless-boot does with the entry that was booted: its name loses the counter, unless the name is taken. */
export function blessBoot(partition: BootFiles, id: string): void {
  const counted = listEntries(partition).find((entry) => entry.id === id && entry.left !== -1);
  if (counted === undefined) return;
  const good = counted.folder + id + counted.suffix;
  if (partition.paths.includes(good)) return;
  partition.put(good, partition.textOf(counted.folder + counted.file));
  partition.drop(counted.folder + counted.file);
}

function listEntries(partition: BootFiles): Listed[] {
  const listed: Listed[] = [];
  for (const [folder, suffix, keysOf] of folders) {
    for (const path of partition.paths) {
      const file = path.startsWith(folder) ? path.slice(folder.length) : '';
      const keys = file.toLowerCase().endsWith(suffix) ? keysOf(partition, path) : undefined;
      if (keys === undefined) continue;
      // It reads names in any case, and has ids in small letters.
      const [id = '', counter] = file.toLowerCase().slice(0, -suffix.length).split('+');
      const [left = '-1', done = '0'] = counter?.split('-') ?? [];
      listed.push({ folder, file, suffix, id, left: Number(left), done: Number(done), keys });
    }
  }
  return listed;
}

/** What an entry says; nothing when its kernel is not there. */
function keysOfEntry(partition: BootFiles, path: string): ReadonlyMap<string, string> | undefined {
  const keys = new Map<string, string>();
  for (const line of partition.textOf(path).split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words.length > 1) keys.set(words[0] ?? '', words.slice(1).join(' '));
  }
  const kernel = keys.get('linux') ?? keys.get('efi');
  return kernel !== undefined && partition.paths.includes(kernel.replace(/^\//, '')) ? keys : undefined;
}

/** What an image says of itself; nothing when it is no whole image. */
function keysOfImage(partition: BootFiles, path: string): ReadonlyMap<string, string> | undefined {
  const image = Buffer.from(partition.textOf(path), 'latin1');
  if (image.byteLength < 300 || image.toString('latin1', 0, 2) !== 'MZ') return undefined;
  const pe = image.readUInt32LE(60);
  const table = pe + 24 + image.readUInt16LE(pe + 20);
  const values = new Map<string, string>();
  for (let index = 0; index < image.readUInt16LE(pe + 6); index += 1) {
    const at = table + index * 40;
    if (image.toString('latin1', at, at + 7) !== '.osrel\0') continue;
    const from = image.readUInt32LE(at + 20);
    for (const line of image.toString('latin1', from, from + image.readUInt32LE(at + 8)).split('\n')) {
      const [key = '', value] = line.split('=');
      if (value !== undefined) values.set(key, value.replaceAll('"', ''));
    }
  }
  const [id, version] = [
    values.get('IMAGE_ID') ?? values.get('ID'),
    values.get('IMAGE_VERSION') ?? values.get('VERSION_ID'),
  ];
  const keys = [
    ['sort-key', id],
    ['version', version],
  ] as const;
  return id === undefined
    ? undefined
    : new Map(keys.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}

function order(x: Listed, y: Listed): number {
  if ((x.left === 0) !== (y.left === 0)) return x.left === 0 ? 1 : -1;
  const sortKeys = [x.keys.get('sort-key'), y.keys.get('sort-key')];
  if (sortKeys[0] !== undefined && sortKeys[1] === undefined) return -1;
  if (sortKeys[0] === undefined && sortKeys[1] !== undefined) return 1;
  if (sortKeys[0] !== undefined && sortKeys[1] !== undefined) {
    if (sortKeys[0] !== sortKeys[1]) return sortKeys[0] < sortKeys[1] ? -1 : 1;
    const newer = natural(y.keys.get('version') ?? '', x.keys.get('version') ?? '');
    if (newer !== 0) return newer;
  }
  return natural(y.id, x.id);
}

/** Words and numbers in their own order; enough for the versions and names of a node. */
function natural(x: string, y: string): number {
  return new Intl.Collator('en', { numeric: true }).compare(x, y);
}
