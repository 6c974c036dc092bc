import type { PowerLossDirectory } from './power-loss-directory.ts';

/**
 * systemd-boot at boot, in simulation: what it lists, sorts and counts, over the files of a boot partition. It shares no
 * code with the product, so that both can only be wrong separately.
 */

interface Listed {
  readonly file: string;
  readonly id: string;
  readonly left: number;
  readonly done: number;
  readonly keys: ReadonlyMap<string, string>;
}

const folder = 'loader/entries/';

/** One boot: the id that starts, or `undefined` with nothing to start. It counts by renaming, and flushes. */
export function bootSystemdBoot(partition: PowerLossDirectory): string | undefined {
  return startEntry(partition)?.id;
}

/** One boot, with all that the entry says which starts. */
export function startEntry(
  partition: PowerLossDirectory,
): { readonly id: string; readonly keys: ReadonlyMap<string, string> } | undefined {
  const chosen = listEntries(partition).sort(order)[0];
  if (chosen === undefined) return undefined;
  if (chosen.left !== -1) {
    const counted = `${chosen.id}+${Math.max(0, chosen.left - 1)}-${chosen.done + 1}.conf`;
    const text = partition.textOf(folder + chosen.file);
    partition.drop(folder + chosen.file);
    partition.put(folder + counted, text);
  }
  return chosen;
}

/** What systemd-bless-boot does with the entry that was booted: its name loses the counter, unless the name is taken. */
export function blessBoot(partition: PowerLossDirectory, id: string): void {
  const counted = listEntries(partition).find((entry) => entry.id === id && entry.left !== -1);
  if (counted === undefined || partition.paths.includes(`${folder}${id}.conf`)) return;
  partition.put(`${folder}${id}.conf`, partition.textOf(folder + counted.file));
  partition.drop(folder + counted.file);
}

function listEntries(partition: PowerLossDirectory): Listed[] {
  const listed: Listed[] = [];
  for (const path of partition.paths) {
    const file = path.startsWith(folder) ? path.slice(folder.length) : '';
    if (!file.endsWith('.conf')) continue;
    const keys = new Map<string, string>();
    for (const line of partition.textOf(path).split('\n')) {
      const words = line.trim().split(/\s+/);
      if (words.length > 1) keys.set(words[0] ?? '', words.slice(1).join(' '));
    }
    const kernel = keys.get('linux') ?? keys.get('efi');
    if (kernel === undefined || !partition.paths.includes(kernel.replace(/^\//, ''))) continue;
    const [id = '', counter] = file.slice(0, -'.conf'.length).split('+');
    const [left = '-1', done = '0'] = counter?.split('-') ?? [];
    listed.push({ file, id, left: Number(left), done: Number(done), keys });
  }
  return listed;
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
