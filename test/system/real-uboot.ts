import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeCopy, type UbootVariable } from '../../bootloader/ubootenv.ts';

const run = promisify(execFile);
const scripts = join(import.meta.dirname, '../../bootloader/scripts');
const firmware = '/usr/lib/u-boot/qemu_arm64/u-boot.bin';
const flashBytes = 64 * 1024 * 1024;
const firmwareEnvironmentBytes = 0x40000;
const partitionSectors = 8192;
/** The script's, those of the slots, and a FAT for environment files. */
const partitionStarts = [2048, 10240, 18432, 26624] as const;
const fatType = 0x0e;
const fileNames = ['kaon-1.env', 'kaon-2.env'] as const;

/** What U-Boot did in one boot. */
export interface RealUbootBoot {
  readonly console: string;
  /** The slots that it began to start, in order. */
  readonly begun: readonly string[];
  /** What the kernel was handed, or `undefined` when none started. */
  readonly bootargs: string | undefined;
  /** What was saved, if it was. */
  readonly saved: Readonly<Record<string, string>> | undefined;
  /** The environment files after the boot, `undefined` for one that is not there; none unless the node has some. */
  readonly files: readonly (Buffer | undefined)[];
}

export interface RealUbootNode {
  readonly script: 'boot.cmd' | 'bootcount.cmd';
  readonly variables: Readonly<Record<string, string>>;
  /** The slots that hold a kernel, an initrd and a device tree; the others are empty file systems. */
  readonly bootable: readonly ('A' | 'B')[];
  readonly canSave?: boolean;
  /** The environment lies in two files on FAT; `undefined` is one that is not there. */
  readonly files?: readonly [Uint8Array | undefined, Uint8Array | undefined];
}

/** A kernel that writes its device tree to the console and powers the machine off. */
function tinyKernel(): Buffer {
  const image = Buffer.alloc(4096);
  const header = [0x14000010, 0xd503201f, 0, 0, 4096, 0, 0xa];
  const code = [
    0xd2a12001, 0xb9400402, 0x5ac00842, 0x38401403, 0x39000023, 0x71000442, 0x54ffffa1, 0x52800100, 0x72b08000,
    0xd4000002, 0x14000000,
  ];
  header.forEach((word, index) => image.writeUInt32LE(word, index * 4));
  image.write('ARMd', 0x38, 'latin1');
  code.forEach((word, index) => image.writeUInt32LE(word, 0x40 + index * 4));
  return image;
}

/** What is read back from the console in place of a `saveenv`: QEMU's flash does not take what this U-Boot saves. */
const savedNames = ['BOOT_ORDER', 'BOOT_A_LEFT', 'BOOT_B_LEFT', 'boot_slot', 'upgrade_available', 'bootcount'];

async function makeScript(node: RealUbootNode, folder: string): Promise<string> {
  const names = savedNames.filter((name) => name in node.variables);
  const save = node.canSave === false ? 'false' : `printenv ${names.join(' ')}`;
  const files = node.files === undefined ? '' : fileNames.join(' ');
  const fileBytes = Math.max(...(node.files ?? []).map((bytes) => bytes?.byteLength ?? 0), 8);
  const text = (await readFile(join(scripts, node.script), 'utf8'))
    .replace(/^kaon_device=.*$/m, 'kaon_device="virtio 0"')
    .replace(/^kaon_files=.*$/m, `kaon_files="${files}"`)
    .replace(/^kaon_files_part=.*$/m, 'kaon_files_part=4')
    .replace(/^kaon_files_size=.*$/m, `kaon_files_size=${fileBytes.toString(16)}`)
    .replace('if fatwrite ', node.canSave === false ? 'if false ' : 'if fatwrite ')
    .replaceAll(/^( *)saveenv$/gm, `$1${save}`)
    .replaceAll('if saveenv;', `if ${save};`);
  await writeFile(join(folder, 'script'), text);
  const scr = join(folder, 'boot.scr');
  await run('mkimage', ['-A', 'arm64', '-T', 'script', '-C', 'none', '-n', 'kaon', '-d', join(folder, 'script'), scr]);
  return scr;
}

async function makeDisk(node: RealUbootNode, folder: string): Promise<string> {
  const trees = ['first', 'A', 'B'].map((name) => join(folder, name));
  for (const tree of trees) await mkdir(join(tree, 'boot'), { recursive: true });
  await writeFile(join(folder, 'first/boot.scr'), await readFile(await makeScript(node, folder)));
  for (const slot of node.bootable) {
    const boot = join(folder, slot, 'boot');
    await writeFile(join(boot, 'Image'), tinyKernel());
    await writeFile(join(boot, 'initrd.img'), 'an initrd');
    await run('qemu-system-aarch64', ['-M', `virt,dumpdtb=${join(boot, 'board.dtb')}`, '-m', '256']);
  }
  const disk = join(folder, 'disk');
  await writeFile(disk, '');
  await truncate(disk, 20 * 1024 * 1024);
  const record = Buffer.alloc(512);
  partitionStarts.forEach((start, index) => {
    record.writeUInt8(index < trees.length ? 0x83 : fatType, 446 + index * 16 + 4);
    record.writeUInt32LE(start, 446 + index * 16 + 8);
    record.writeUInt32LE(partitionSectors, 446 + index * 16 + 12);
  });
  record.writeUInt16LE(0xaa55, 510);
  const handle = await open(disk, 'r+');
  await handle.write(record, 0, 512, 0).finally(() => handle.close());
  for (const [index, tree] of trees.entries()) {
    const offset = String((partitionStarts[index] ?? 0) * 512);
    await run('mke2fs', ['-q', '-t', 'ext2', '-d', tree, '-E', `offset=${offset}`, disk, '4M']);
  }
  await putFiles(node, disk, folder);
  return disk;
}

const fatOffset = partitionStarts[3] * 512;

async function putFiles(node: RealUbootNode, disk: string, folder: string): Promise<void> {
  const sizeKiB = String(partitionSectors / 2);
  await run('mkfs.vfat', ['-F', '16', '-s', '1', '--offset', String(partitionStarts[3]), disk, sizeKiB]);
  for (const [index, bytes] of (node.files ?? []).entries()) {
    if (bytes === undefined) continue;
    const file = join(folder, 'environment');
    await writeFile(file, bytes);
    await run('mcopy', ['-i', `${disk}@@${fatOffset}`, file, `::/${fileNames[index] ?? ''}`]);
  }
}

async function readFiles(node: RealUbootNode, disk: string): Promise<readonly (Buffer | undefined)[]> {
  if (node.files === undefined) return [];
  // What the loader left must be a file system that Linux mounts without a complaint.
  const fat = `${disk}.fat`;
  await run('dd', [`if=${disk}`, `of=${fat}`, 'bs=512', `skip=${partitionStarts[3]}`, `count=${partitionSectors}`]);
  await run('fsck.vfat', ['-n', fat]);
  return Promise.all(
    fileNames.map((name) =>
      run('mtype', ['-i', `${disk}@@${fatOffset}`, `::/${name}`], { encoding: 'buffer' }).then(
        ({ stdout }) => stdout,
        () => undefined,
      ),
    ),
  );
}

async function makeFlash(node: RealUbootNode, folder: string): Promise<string> {
  const variables: readonly UbootVariable[] = [
    ['bootcmd', 'load virtio 0:1 ${scriptaddr} /boot.scr; source ${scriptaddr}; echo "kaon: recovery"; poweroff'],
    ['bootdelay', '0'],
    ['scriptaddr', '0x40200000'],
    ['kernel_addr_r', '0x40400000'],
    ['ramdisk_addr_r', '0x44000000'],
    ['fdt_addr_r', '0x43000000'],
    ...Object.entries(node.variables),
  ];
  const flash = join(folder, 'flash');
  await writeFile(flash, encodeCopy(variables, firmwareEnvironmentBytes, undefined));
  await truncate(flash, flashBytes);
  return flash;
}

/** Lets U-Boot itself, in QEMU, run our script over an environment of `variables`, up to its first reset or poweroff. */
export async function bootRealUboot(node: RealUbootNode): Promise<RealUbootBoot> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-uboot-'));
  try {
    const [disk, flash] = [await makeDisk(node, folder), await makeFlash(node, folder)];
    const machine = ['-M', 'virt', '-cpu', 'cortex-a57', '-m', '256', '-nographic', '-no-reboot', '-nic', 'none'];
    const drives = [
      ['-drive', `if=pflash,format=raw,index=1,file=${flash}`],
      ['-drive', `if=none,id=disk,format=raw,file=${disk}`, '-device', 'virtio-blk-device,drive=disk'],
    ].flat();
    const child = run('qemu-system-aarch64', [...machine, '-bios', firmware, ...drives], {
      timeout: 60_000,
      encoding: 'latin1',
    });
    child.child.stdin?.end();
    const { stdout } = await child;
    return { ...readConsole(stdout, node), files: await readFiles(node, disk) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function readConsole(console: string, node: RealUbootNode): Omit<RealUbootBoot, 'files'> {
  const text = console.replaceAll('\r', '');
  const found = savedNames.flatMap((name): [string, string][] => {
    const match = new RegExp(`^${name}=(.*)$`, 'm').exec(text);
    return match === null ? [] : [[name, match[1] ?? '']];
  });
  return {
    console: text,
    begun: [...text.matchAll(/^kaon: slot ([A-Z]+)$/gm)].map((match) => match[1] ?? ''),
    bootargs: /root=[^\0]*kaon\.slot=[^\0]*/.exec(text.slice(text.indexOf('Starting kernel')))?.[0],
    saved: found.length === 0 ? undefined : { ...node.variables, ...Object.fromEntries(found) },
  };
}
