import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const loader = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
const firmware = '/usr/share/OVMF';
const entriesFolder = 'loader/entries';
const ukiFolder = 'EFI/Linux';
const bootLimitMs = 90_000;

/** An entry as `bootctl list` tells of it. */
export interface ToldEntry {
  readonly id: string;
  readonly version?: string;
  readonly sortKey?: string;
  readonly triesLeft?: number;
  readonly triesDone?: number;
}

/** A folder that stands for the ESP, with systemd-boot on it and a program for each slot in place of its kernel. */
export class RealSystemdBoot {
  readonly esp: string;
  readonly #work: string;

  private constructor(work: string) {
    this.#work = work;
    this.esp = join(work, 'esp');
  }

  static async make(): Promise<RealSystemdBoot> {
    const work = await mkdtemp(join(tmpdir(), 'kaon-sdboot-'));
    const node = new RealSystemdBoot(work);
    for (const folder of ['EFI/BOOT', 'kaon-a', 'kaon-b', 'kaon/a', 'kaon/b', entriesFolder, ukiFolder]) {
      await mkdir(join(node.esp, folder), { recursive: true });
    }
    await cp(loader, join(node.esp, 'EFI/BOOT/BOOTX64.EFI'));
    await cp(join(firmware, 'OVMF_VARS_4M.fd'), join(work, 'variables'));
    for (const slot of ['a', 'b']) {
      await writeFile(join(work, 'grub.cfg'), `echo "[started ${slot}]"\nhalt\n`);
      const program = join(node.esp, `kaon-${slot}/vmlinuz`);
      await run('grub-mkimage', [
        '-O',
        'x86_64-efi',
        '-p',
        '/',
        '-c',
        join(work, 'grub.cfg'),
        '-o',
        program,
        'echo',
        'halt',
      ]);
    }
    return node;
  }

  async remove(): Promise<void> {
    await rm(this.#work, { recursive: true });
  }

  async put(path: string, text: string): Promise<void> {
    await writeFile(join(this.esp, path), text);
  }

  /** Puts the program of a slot under a path, as the loader knows a unified kernel image: with a release inside it. */
  async putImage(path: string, slot: 'a' | 'b', release: string): Promise<void> {
    const section = join(this.#work, 'osrel');
    await writeFile(section, release);
    await run('objcopy', [
      `--add-section=.osrel=${section}`,
      '--change-section-vma=.osrel=0x100000',
      join(this.esp, `kaon-${slot}/vmlinuz`),
      join(this.esp, path),
    ]);
  }

  async drop(path: string): Promise<void> {
    await rm(join(this.esp, path));
  }

  /** The names in `loader/entries`, or in another folder. */
  async names(folder = entriesFolder): Promise<readonly string[]> {
    return (await readdir(join(this.esp, folder))).toSorted();
  }

  async read(name: string): Promise<string> {
    return readFile(join(this.esp, entriesFolder, name), 'utf8');
  }

  /** One boot of firmware and loader from a FAT file system: the slot that started. The entries are as the loader left them. */
  async boot(): Promise<string | undefined> {
    const disk = join(this.#work, 'disk');
    await rm(disk, { force: true });
    await run('truncate', ['-s', '40M', disk]);
    await run('mkfs.vfat', ['-F', '32', '-s', '1', disk]);
    for (const name of await readdir(this.esp)) await run('mcopy', ['-s', '-i', disk, join(this.esp, name), '::/']);
    const console = await this.#start(disk);
    for (const folder of [entriesFolder, ukiFolder]) {
      await rm(join(this.esp, folder), { recursive: true });
      await run('mcopy', ['-s', '-i', disk, `::/${folder}`, join(this.esp, dirname(folder))]);
    }
    return /\[started ([ab])\]/.exec(console)?.[1];
  }

  async #start(disk: string): Promise<string> {
    const flash = (file: string, more: string) => ['-drive', `if=pflash,format=raw,file=${file}${more}`];
    const qemu = spawn(
      'qemu-system-x86_64',
      [
        ...['-machine', 'q35', '-m', '256', '-nographic', '-no-reboot', '-net', 'none'],
        ...flash(join(firmware, 'OVMF_CODE_4M.fd'), ',readonly=on'),
        ...flash(join(this.#work, 'variables'), ''),
        ...['-drive', `file=${disk},format=raw,if=virtio`],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], timeout: bootLimitMs },
    );
    let console = '';
    qemu.stdout.setEncoding('utf8').on('data', (text: string) => (console += text));
    const code = await new Promise<number | null>((resolve, reject) => qemu.on('close', resolve).on('error', reject));
    if (code !== 0) throw new Error(`the machine ended with ${String(code)}: ${console.slice(-2000)}`);
    return console;
  }

  /** The entries in the loader's order, by bootctl. */
  async bootctlList(): Promise<readonly ToldEntry[]> {
    const list = await this.#withMount('bootctl list --json=short --esp-path="$1"');
    // Version 252 prints one object after the other, later ones print an array.
    return list.startsWith('[')
      ? (JSON.parse(list) as readonly ToldEntry[])
      : list
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as ToldEntry);
  }

  /** Runs systemd-bless-boot in a root where the loader has told that it booted `path`. The entries are as it left them. */
  async bless(path: string, verb: 'good' | 'bad' | 'status'): Promise<string> {
    const variable = join(this.#work, 'LoaderBootCountPath');
    const text = Buffer.from(`\\${path.replaceAll('/', '\\')}\0`, 'utf16le');
    await writeFile(variable, Buffer.concat([Buffer.from([6, 0, 0, 0]), text]));
    // A root of its own: the tool refuses in containers, and reads the variables from /sys.
    const told = await this.#withMount(`
      root=${this.#work}/root; vars=$root/sys/firmware/efi/efivars
      mkdir -p $root; mount -t tmpfs none $root; mkdir $root/usr $root/proc $root/sys $root/esp $root/run $root/tmp
      mount --bind /usr $root/usr; mount --bind "$1" $root/esp; mount --bind /proc $root/proc
      for name in bin lib lib64 sbin; do ln -s usr/$name $root/$name; done
      mount -t tmpfs none $root/sys; mkdir -p $vars; mount -t tmpfs none $vars
      cp ${variable} $vars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
      chroot $root /usr/lib/systemd/systemd-bless-boot --path=/esp ${verb}
      for folder in ${entriesFolder} ${ukiFolder}; do
        rm -rf ${this.esp}/$folder; cp -r "$1"/$folder ${this.esp}/$folder
      done
    `);
    return told.trim();
  }

  /** Runs a script with the ESP copied to a file system of its own, in mount and process namespaces of their own. */
  async #withMount(script: string): Promise<string> {
    const mounted = join(this.#work, 'mounted');
    await mkdir(mounted, { recursive: true });
    const prelude = `set -e; mount -t tmpfs none "$1"; cp -r ${this.esp}/. "$1"/\n`;
    const { stdout } = await run(
      'unshare',
      ['--mount', '--pid', '--fork', 'sh', '-c', prelude + script, 'sh', mounted],
      {
        env: { ...process.env, SYSTEMD_RELAX_ESP_CHECKS: '1', SYSTEMD_RELAX_XBOOTLDR_CHECKS: '1' },
      },
    );
    return stdout;
  }
}
