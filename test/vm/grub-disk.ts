import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { offsetOf, putOnEsp } from './disk.ts';
import { run } from './shell.ts';

const script = fileURLToPath(new URL('../../bootloader/scripts/grub.cfg', import.meta.url));
const modules = ['part_gpt', 'fat', 'ext2', 'normal', 'linux', 'test', 'loadenv', 'regexp', 'echo', 'reboot'];

/** Puts GRUB, its script and its environment onto a disk, for a BIOS or for UEFI. */
export async function installGrub(disk: string, work: string, firmware: 'bios' | 'uefi'): Promise<void> {
  if (firmware === 'bios') await installBios(disk, work);
  else await installUefi(disk, work);
  const cfg = (await readFile(script, 'utf8'))
    .replace(/^set kaon_args=.*$/m, 'set kaon_args="rootwait ro quiet panic=5 console=ttyS0 mitigations=off nokaslr"')
    .replace(/^set kaon_full=.*$/m, 'set kaon_full=2')
    .replace(/^set timeout=0$/m, 'set timeout=0\nserial --unit=0 --speed=115200\nterminal_output serial');
  await putText(disk, work, 'grub/grub.cfg', cfg);
  const environment = join(work, 'grubenv');
  await writeFile(environment, '');
  await run('grub-editenv', environment, 'create');
  const values = ['ORDER=A B', 'A_OK=1', 'A_LEFT=2', 'B_OK=0', 'B_LEFT=0', 'kaon_trial=-', 'kaon_tries=0'];
  await run('grub-editenv', environment, 'set', ...values);
  await putOnEsp(disk, environment, 'grub/grubenv');
  await run('grub-editenv', environment, 'create');
  await putOnEsp(disk, environment, 'grub/grubenv.kaon');
}

async function putText(disk: string, work: string, path: string, text: string): Promise<void> {
  const file = join(work, 'on-esp');
  await writeFile(file, text);
  await putOnEsp(disk, file, path);
}

async function installUefi(disk: string, work: string): Promise<void> {
  const image = join(work, 'BOOTX64.EFI');
  await run('grub-mkimage', '-O', 'x86_64-efi', '-p', '(hd0,gpt1)/grub', '-o', image, ...modules, 'serial', 'terminal');
  await putOnEsp(disk, image, 'EFI/BOOT/BOOTX64.EFI');
}

/** Boot sector and core image, patched with where the core lies (GRUB manual, "BIOS installation", blocklists). */
async function installBios(disk: string, work: string): Promise<void> {
  const core = join(work, 'core.img');
  await run(
    'grub-mkimage',
    ...['-O', 'i386-pc', '-p', '(hd0,gpt1)/grub', '-o', core, 'biosdisk', ...modules, 'serial', 'terminal'],
  );
  const boot = await readFile('/usr/lib/grub/i386-pc/boot.img');
  const coreBytes = await readFile(core);
  const firstSector = offsetOf('core') / 512;
  boot.writeBigUInt64LE(BigInt(firstSector), 0x5c);
  boot.writeUInt16LE(0x9090, 0x66);
  const sectors = Math.ceil(coreBytes.byteLength / 512);
  coreBytes.writeBigUInt64LE(BigInt(firstSector + 1), 0x1f4);
  coreBytes.writeUInt16LE(sectors - 1, 0x1fc);
  coreBytes.writeUInt16LE(0x820, 0x1fe);
  const handle = await open(disk, 'r+');
  try {
    await handle.write(boot, 0, 440, 0);
    await handle.write(coreBytes, 0, coreBytes.byteLength, offsetOf('core'));
  } finally {
    await handle.close();
  }
}
