import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, shell } from './shell.ts';

const sectorBytes = 512;
const mebibyte = 1024 * 1024;

/**
 * Partitions in the order of their places on the disk; GRUB's core image has one of its own on BIOS machines. A slot has
 * its place, and at most that size.
 */
export const partitions = {
  core: { number: 5, firstMiB: 1, sizeMiB: 1, type: 'ef02' },
  esp: { number: 1, firstMiB: 2, sizeMiB: 64, type: 'ef00' },
  'slot-a': { number: 2, firstMiB: 66, sizeMiB: 212, type: '8304' },
  'slot-b': { number: 3, firstMiB: 278, sizeMiB: 224, type: '8304' },
  data: { number: 4, firstMiB: 502, sizeMiB: 128, type: '8300' },
  node: { number: 6, firstMiB: 630, sizeMiB: 120, type: '8300' },
} as const;

export type PartitionName = keyof typeof partitions;

export const diskMiB = 752;

/** Where a partition begins on the disk, in bytes. */
export function offsetOf(name: PartitionName): number {
  return partitions[name].firstMiB * mebibyte;
}

/** A disk with its partitions, slots of `slotMiB`, and nothing in them but the ESP's empty file system. */
export async function makeDisk(path: string, slotMiB: number): Promise<void> {
  const options = Object.entries(partitions).flatMap(([name, { number, firstMiB, sizeMiB, type }]) => {
    const first = (firstMiB * mebibyte) / sectorBytes;
    const usedMiB = name.startsWith('slot-') ? Math.min(slotMiB, sizeMiB) : sizeMiB;
    const last = first + (usedMiB * mebibyte) / sectorBytes - 1;
    return [`--new=${number}:${first}:${last}`, `--typecode=${number}:${type}`, `--change-name=${number}:${name}`];
  });
  await shell(`truncate -s ${diskMiB}M ${path}`);
  await run('sgdisk', '--clear', '--set-alignment=1', ...options, path);
  const esp = `${path}.esp`;
  await shell(`
    truncate -s ${partitions.esp.sizeMiB}M ${esp}
    mkfs.vfat -F 32 -s 1 -n ESP ${esp} >/dev/null
  `);
  await putPartition(path, 'esp', esp);
  await shell(`rm ${esp}`);
}

/** Writes a file's bytes over a partition. */
export async function putPartition(disk: string, name: PartitionName, file: string): Promise<void> {
  const dd = `dd if=${file} of=${disk} bs=1M seek=${offsetOf(name)} oflag=seek_bytes conv=notrunc,sparse status=none`;
  await shell(dd);
}

/** Copies a partition into a file. */
export async function getPartition(disk: string, name: PartitionName, file: string): Promise<void> {
  const { firstMiB, sizeMiB } = partitions[name];
  await shell(`dd if=${disk} of=${file} bs=1M skip=${firstMiB} count=${sizeMiB} conv=sparse status=none`);
}

/** An ext4 file system of a tree, as large as `sizeMiB`. One that is never written needs no journal of its own. */
export async function makeFileSystem(
  tree: string,
  file: string,
  sizeMiB: number,
  use: 'read-only' | 'written',
): Promise<void> {
  const options = use === 'read-only' ? '-O ^has_journal -m 0 -N 6144' : '';
  await shell(`rm -f ${file}; mke2fs -q -t ext4 ${options} -d ${tree} ${file} ${sizeMiB}M`);
}

/** Puts a file onto the ESP, its folders made where they are missing. */
export async function putOnEsp(disk: string, file: string, path: string): Promise<void> {
  const image = `${disk}@@${offsetOf('esp')}`;
  const folders = path.split('/').slice(0, -1);
  for (let count = 1; count <= folders.length; count += 1) {
    await shell(`mmd -i ${image} -D s ::/${folders.slice(0, count).join('/')} 2>/dev/null || true`);
  }
  await run('mcopy', '-o', '-i', image, file, `::/${path}`);
}

/** A file of the ESP. */
export async function readFromEsp(disk: string, path: string): Promise<string> {
  return run('mtype', '-i', `${disk}@@${offsetOf('esp')}`, `::/${path}`);
}

/**
 * The data partition with what the scenario's script needs, and the state directories of both daemons. `tree` is the
 * node's root file system, `folder` the node's own.
 */
export async function putData(
  disk: string,
  folder: string,
  tree: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const data = join(folder, 'data');
  await shell(`rm -rf ${data}`);
  for (const name of ['vm', 'kaon', 'kaon-slotd']) await mkdir(join(data, name), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(data, 'vm', name), text);
  // The id that systemd-sysusers gave to kaon in the tree.
  const passwd = await readFile(join(tree, 'etc/passwd'), 'utf8');
  const [, uid = '', gid = ''] = /^kaon:[^:]*:(\d+):(\d+):/m.exec(passwd) ?? [];
  await chown(join(data, 'kaon'), Number(uid), Number(gid));
  const file = join(folder, 'data.img');
  await makeFileSystem(data, file, partitions.data.sizeMiB, 'written');
  await putPartition(disk, 'data', file);
  await shell(`rm -rf ${data} ${file}`);
}
