import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ourScript = join(import.meta.dirname, '../../bootloader/scripts/grub.cfg');

/** What GRUB chose, and the environment block as it left it. */
export interface RealBoot {
  readonly started: string;
  readonly block: Uint8Array;
}

/** Lets GRUB itself run our script against a disk with `environment` (and `shadow`), and reads the disk afterwards. */
export async function bootRealGrub(environment: Uint8Array, shadow?: Uint8Array): Promise<RealBoot> {
  const node = await mkdtemp(join(tmpdir(), 'kaon-grub-'));
  try {
    const grub = join(node, 'tree/boot/grub');
    await mkdir(grub, { recursive: true });
    await mkdir(join(node, 'prefix'));
    await copyFile(ourScript, join(grub, 'grub.cfg'));
    await writeFile(join(grub, 'grubenv'), environment);
    if (shadow !== undefined) await writeFile(join(grub, 'grubenv.kaon'), shadow);
    const disk = join(node, 'disk');
    await run('mke2fs', ['-q', '-t', 'ext2', '-d', join(node, 'tree'), disk, '4M']);
    await writeFile(join(node, 'device.map'), `(hd0) ${disk}\n`);
    await writeFile(
      join(node, 'prefix/grub.cfg'),
      'set prefix=(hd0)/boot/grub\nsource (hd0)/boot/grub/grub.cfg\necho "[chosen $kaon_slot]"\nexit\n',
    );
    // GRUB's emulator wants a terminal.
    const command = `grub-emu -r host -m ${join(node, 'device.map')} -d ${join(node, 'prefix')}`;
    const { stdout } = await run('script', ['-qc', command, '/dev/null'], {
      timeout: 30_000,
      env: { ...process.env, TERM: 'linux' },
    });
    const started = /\[chosen ([A-Z]*)\]/.exec(stdout)?.[1] ?? 'nothing';
    await run('debugfs', ['-R', `dump /boot/grub/grubenv ${join(node, 'after')}`, disk]);
    return { started, block: await readFile(join(node, 'after')) };
  } finally {
    await rm(node, { recursive: true });
  }
}
