import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../bootloader/bootloader.ts';
import { offsetOf, putOnEsp, readFromEsp } from './disk.ts';
import { tries } from './images.ts';
import type { LoaderState, VmLoader } from './loader.ts';
import { run, shell } from './shell.ts';

const efiFolder = '/usr/lib/systemd/boot/efi';
const entriesFolder = 'loader/entries';

/** What the images' own options are; the node adds the root of the slot. systemd mounts no ESP that fstab does not name. */
const imageOptions = 'rootwait ro quiet panic=5 console=ttyS0 mitigations=off nokaslr systemd.gpt_auto=0';

const slotOptions = { a: 'root=PARTLABEL=slot-a', b: 'root=PARTLABEL=slot-b' } as const;

/** How a slot is started, and how its partition is mounted. */
interface Variety {
  readonly kind: string;
  readonly esp: string;
  readonly nodeFiles: Readonly<Record<string, string>>;
  /** Makes the file that the loader starts of `tree`; resolves to its path. */
  readonly makePayload: (tree: string, work: string) => Promise<string>;
  readonly role: 'kernel' | 'uki';
}

function systemdBoot({ kind, esp, nodeFiles, makePayload, role }: Variety): VmLoader {
  return {
    kind,
    configuration: `{ type: systemd-boot, esp: ${esp}, tries: ${tries} }`,
    slotSettings: { a: `bootOptions: "${slotOptions.a}"`, b: `bootOptions: "${slotOptions.b}"` },
    nodeFiles,
    install: async (disk, tree, work) => {
      await putOnEsp(disk, join(efiFolder, 'systemd-bootx64.efi'), 'EFI/BOOT/BOOTX64.EFI');
      await putText(disk, work, 'loader/loader.conf', 'timeout 0\n');
      // As somebody would provision it who has never heard of kaon's names for kernels.
      const kernel = role === 'uki' ? 'kaon/a/factory.efi' : 'kaon/a/factory';
      await putOnEsp(disk, await makePayload(tree, work), kernel);
      const lines = [
        'title factory',
        'sort-key kaon',
        'version 1',
        `${role === 'uki' ? 'efi' : 'linux'} /${kernel}`,
        `options ${imageOptions} ${slotOptions.a} kaon.slot=A`,
      ];
      await putText(disk, work, `${entriesFolder}/kaon-a.conf`, `${lines.join('\n')}\n`);
    },
    imageArguments: async (tree, work) => [
      ...[`--${role}`, await makePayload(tree, work)],
      ...['--boot-options', imageOptions],
    ],
    readState: async (disk) =>
      readSystemdBootState(
        await listEntries(disk),
        (file) => readEntry(disk, file),
        (path) => digestOnEsp(disk, path),
      ),
  };
}

/** Kernels started by entries of Type 1, from an ESP that the system keeps mounted. */
export const systemdBootOnKernels: VmLoader = systemdBoot({
  kind: 'systemd-boot',
  esp: '{ path: /efi }',
  nodeFiles: {},
  makePayload: async (tree) => join(tree, 'boot/vmlinuz'),
  role: 'kernel',
});

/** Unified kernel images, from an ESP that is mounted around each use. */
export const systemdBootOnUkis: VmLoader = systemdBoot({
  kind: 'systemd-boot-uki',
  esp: '{ device: /dev/disk/by-partlabel/esp }',
  nodeFiles: {
    // An empty unit is a masked one: it finds no mounted ESP, and fails.
    'etc/systemd/system/systemd-bless-boot.service': '',
    'etc/fstab': `PARTLABEL=data /data ext4 defaults 0 0
tmpfs /tmp tmpfs mode=1777 0 0
/data/kaon /var/lib/kaon none bind,x-systemd.requires-mounts-for=/data 0 0
/data/kaon-slotd /var/lib/kaon-slotd none bind,x-systemd.requires-mounts-for=/data 0 0
`,
  },
  makePayload: makeUki,
  role: 'uki',
});

/** A unified kernel image as systemd's documents have it made: the stub, with the rest of it in sections. */
async function makeUki(tree: string, work: string): Promise<string> {
  const file = join(work, 'linux.efi');
  const options = join(work, 'cmdline');
  await writeFile(options, 'quiet');
  const section = (name: string, path: string, address: string) => [
    `--add-section=.${name}=${path}`,
    `--change-section-vma=.${name}=${address}`,
  ];
  await run(
    'objcopy',
    ...section('osrel', join(tree, 'usr/lib/os-release'), '0x20000'),
    ...section('cmdline', options, '0x30000'),
    ...section('linux', join(tree, 'boot/vmlinuz'), '0x2000000'),
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

async function listEntries(disk: string): Promise<readonly string[]> {
  const listed = await run('mdir', '-b', '-i', `${disk}@@${offsetOf('esp')}`, `::/${entriesFolder}`);
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
