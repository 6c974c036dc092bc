import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../bootloader/bootloader.ts';
import { offsetOf, putOnEsp, readFromEsp } from './disk.ts';
import { tries } from './images.ts';
import { kernelOptions } from './kernel-options.ts';
import type { LoaderState, VmLoader } from './loader.ts';
import { run, shell } from './shell.ts';
import { makeSlotInitrd } from './slot-initrd.ts';

const efiFolder = '/usr/lib/systemd/boot/efi';
const entriesFolder = 'loader/entries';
const ukiFolder = 'EFI/Linux';

/** What the images' own options are; the node, or the initrd, adds the root of the slot. systemd mounts no ESP that fstab does not name. */
const imageOptions = `${kernelOptions('ttyS0')} systemd.gpt_auto=0`;

const slotOptions = { a: 'root=PARTLABEL=slot-a', b: 'root=PARTLABEL=slot-b' } as const;

async function installLoader(disk: string, work: string): Promise<void> {
  await putOnEsp(disk, join(efiFolder, 'systemd-bootx64.efi'), 'EFI/BOOT/BOOTX64.EFI');
  await putText(disk, work, 'loader/loader.conf', 'timeout 0\n');
}

/** Kernels started by entries of Type 1, from an ESP that the system keeps mounted. */
export const systemdBootOnKernels: VmLoader = {
  kind: 'systemd-boot',
  isNodeInImage: false,
  configuration: `{ type: systemd-boot, esp: { path: /efi }, tries: ${tries} }`,
  slotSettings: { a: `bootOptions: "${slotOptions.a}"`, b: `bootOptions: "${slotOptions.b}"` },
  nodeFiles: {},
  install: async (disk, tree, work) => {
    await installLoader(disk, work);
    // As somebody would provision it who has never heard of kaon's names for kernels.
    await putOnEsp(disk, join(tree, 'boot/vmlinuz'), 'kaon/a/factory');
    const lines = [
      'title factory',
      'sort-key kaon',
      'version 1',
      'linux /kaon/a/factory',
      `options ${imageOptions} ${slotOptions.a} kaon.slot=A`,
    ];
    await putText(disk, work, `${entriesFolder}/kaon-a.conf`, `${lines.join('\n')}\n`);
  },
  imageArguments: async (tree) => ['--kernel', join(tree, 'boot/vmlinuz'), '--boot-options', imageOptions],
  readState: async (disk) =>
    readSystemdBootState(
      await listFolder(disk, entriesFolder),
      (file) => readEntry(disk, file),
      (path) => digestOnEsp(disk, path),
    ),
};

/** Unified kernel images in EFI/Linux (Type 2), from an ESP that is mounted around each use. */
export const systemdBootOnUkis: VmLoader = {
  kind: 'systemd-boot-uki',
  isNodeInImage: true,
  configuration: `{ type: systemd-boot, entries: type2, esp: { device: /dev/disk/by-partlabel/esp }, tries: ${tries} }`,
  nodeFiles: {
    // An empty unit is a masked one: it finds no mounted ESP, and fails.
    'etc/systemd/system/systemd-bless-boot.service': '',
    'etc/fstab': `PARTLABEL=data /data ext4 defaults 0 0
tmpfs /tmp tmpfs mode=1777 0 0
/data/kaon /var/lib/kaon none bind,x-systemd.requires-mounts-for=/data 0 0
/data/kaon-slotd /var/lib/kaon-slotd none bind,x-systemd.requires-mounts-for=/data 0 0
`,
  },
  install: async (disk, tree, work) => {
    await installLoader(disk, work);
    await putOnEsp(disk, await makeUki(tree, work), `${ukiFolder}/kaon-a.efi`);
  },
  imageArguments: async (tree, work) => ['--uki', await makeUki(tree, work)],
  readState: async (disk) =>
    readUkiState(await listFolder(disk, ukiFolder), (file) => digestOnEsp(disk, `${ukiFolder}/${file}`)),
};

/** A unified kernel image as systemd's documents have it made: the stub, with the rest of it in sections. */
async function makeUki(tree: string, work: string): Promise<string> {
  const file = join(work, 'linux.efi');
  const options = join(work, 'cmdline');
  await writeFile(options, imageOptions);
  const section = (name: string, path: string, address: string) => [
    `--add-section=.${name}=${path}`,
    `--change-section-vma=.${name}=${address}`,
  ];
  await run(
    'objcopy',
    ...section('osrel', join(tree, 'usr/lib/os-release'), '0x20000'),
    ...section('cmdline', options, '0x30000'),
    ...section('linux', join(tree, 'boot/vmlinuz'), '0x2000000'),
    ...section('initrd', await makeSlotInitrd(tree, work), '0x4000000'),
    join(efiFolder, 'linuxx64.efi.stub'),
    file,
  );
  return file;
}

/**
 * What systemd-boot would do with the entries of these names (Boot Loader Specification, "Boot counting" and "Sorting"):
 * a slot without an entry never boots; one with a counter is in trial, and boots while it has tries.
 */
export async function readSystemdBootState(
  files: readonly string[],
  read: (file: string) => Promise<string>,
  digest: (path: string) => Promise<string>,
): Promise<LoaderState> {
  const entries: { slot: SlotName; left: number | undefined; payload: string; text: string }[] = [];
  for (const file of files.toSorted()) {
    const match = /^kaon-([ab])(?:\+(\d+)(?:-\d+)?)?\.conf$/.exec(file);
    if (match === null) continue;
    const text = await read(file);
    const words = text.split('\n').filter((line) => /^(version|linux|efi) /.test(line));
    entries.push({
      slot: match[1] === 'a' ? 'a' : 'b',
      left: match[2] === undefined ? undefined : Number(match[2]),
      payload: await digest(/^(?:linux|efi) +\/?(\S+)/m.exec(text)?.[1] ?? 'nothing'),
      text: `${file} (${words.join(', ')})`,
    });
  }
  const trial = entries.find(({ left }) => left !== undefined);
  const canBoot = (wanted: SlotName) => entries.some(({ slot, left }) => slot === wanted && left !== 0);
  return {
    trial: trial?.slot,
    canBoot: { a: canBoot('a'), b: canBoot('b') },
    payloads: Object.fromEntries(entries.map(({ slot, payload }) => [slot, payload])),
    text: entries.map(({ text }) => text).join(', '),
  };
}

/**
 * What systemd-boot would do with the images of these names: a slot with a counter is in trial; a copy that stands behind
 * (`.1`, `.2`) is proven, whatever it counts.
 */
export async function readUkiState(
  files: readonly string[],
  digest: (file: string) => Promise<string>,
): Promise<LoaderState> {
  const images: { slot: SlotName; isProven: boolean; isUsedUp: boolean; payload: string; file: string }[] = [];
  for (const file of files.toSorted()) {
    const match = /^kaon-([ab])(\.[12])?(?:\+(\d+)(?:-\d+)?)?\.efi$/.exec(file);
    if (match === null) continue;
    const [, slot, copy, left] = match;
    const isProven = copy !== undefined || left === undefined;
    const isUsedUp = !isProven && Number(left) === 0;
    images.push({ slot: slot === 'a' ? 'a' : 'b', isProven, isUsedUp, payload: await digest(file), file });
  }
  const payloads: Partial<Record<SlotName, string>> = {};
  for (const { slot, payload } of images) {
    payloads[slot] = payloads[slot] === undefined || payloads[slot] === payload ? payload : 'images that differ';
  }
  const canBoot = (wanted: SlotName) => images.some(({ slot, isUsedUp }) => slot === wanted && !isUsedUp);
  return {
    trial: images.find(({ isProven }) => !isProven)?.slot,
    canBoot: { a: canBoot('a'), b: canBoot('b') },
    payloads,
    text: images.map(({ file }) => file).join(', '),
  };
}

async function listFolder(disk: string, folder: string): Promise<readonly string[]> {
  const listed = await run('mdir', '-b', '-i', `${disk}@@${offsetOf('esp')}`, `::/${folder}`);
  return listed
    .split('\n')
    .map((line) => line.trim().split('/').at(-1) ?? '')
    .filter((name) => name !== '');
}

/** The digest of a file of the ESP, of nothing where it is missing. */
async function digestOnEsp(disk: string, path: string): Promise<string> {
  return (await shell(`mtype -i ${disk}@@${offsetOf('esp')} "::/${path}" 2>/dev/null | sha256sum || true`)).slice(
    0,
    64,
  );
}

async function readEntry(disk: string, file: string): Promise<string> {
  return readFromEsp(disk, `${entriesFolder}/${file}`);
}

async function putText(disk: string, work: string, path: string, text: string): Promise<void> {
  const file = join(work, 'on-esp');
  await writeFile(file, text);
  await putOnEsp(disk, file, path);
  await shell(`rm ${file}`);
}
