import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SlotName } from '../../bootloader/bootloader.ts';
import { offsetOf, putOnEsp, readFromEsp } from './disk.ts';
import { tries } from './images.ts';
import { kernelOptions } from './kernel-options.ts';
import type { LoaderState, VmLoader } from './loader.ts';
import { run } from './shell.ts';

const script = fileURLToPath(new URL('../../bootloader/scripts/grub.cfg', import.meta.url));
const modules = ['part_gpt', 'fat', 'ext2', 'normal', 'linux', 'test', 'loadenv', 'regexp', 'echo', 'reboot'];

const bootNames = { a: 'A', b: 'B' } as const;
const environmentPath = 'grub/grubenv';

function grub(installFirmware: (disk: string, work: string) => Promise<void>): VmLoader {
  return {
    kind: 'grub',
    isNodeInImage: false,
    configuration: `{ type: grub, environment: /efi/${environmentPath}, tries: ${tries} }`,
    nodeFiles: { 'etc/kaon/units.env': `KAON_GRUB_ENVIRONMENT=/efi/${environmentPath}\n` },
    install: async (disk, _tree, work) => {
      await installFirmware(disk, work);
      await putScript(disk, work);
      await putEnvironments(disk, work);
    },
    // GRUB reads the kernel from the slot itself.
    imageArguments: async () => [],
    readState: async (disk) =>
      readGrubState(await readFromEsp(disk, environmentPath), await readFromEsp(disk, `${environmentPath}.kaon`)),
  };
}

/** GRUB in a partition of its own and in the boot sector. */
export const grubOnBios: VmLoader = grub(installBios);

/** GRUB as the ESP's fallback program. */
export const grubOnUefi: VmLoader = grub(installUefi);

/**
 * The state that an environment block holds (GRUB manual, "Environment block"), or its shadow where the block has no
 * ORDER, as `scripts/grub.cfg` reads them.
 */
export function readGrubState(environment: string, shadow = ''): LoaderState {
  const used = /^ORDER=./m.test(environment) ? environment : shadow;
  const lines = used.split('\n').filter((line) => /^\w+=/.test(line));
  const values = new Map(lines.map((line) => line.split('=', 2) as [string, string]));
  const isInTrial = (slot: SlotName) => values.get('kaon_trial') === bootNames[slot];
  const canBoot = (slot: SlotName) => {
    const isListed = (values.get('ORDER') ?? '').split(' ').includes(bootNames[slot]);
    // A proven slot gets its boots back when none is left; a trial never does.
    const isUsedUp = isInTrial(slot) && values.get(`${bootNames[slot]}_LEFT`) === '0';
    return isListed && values.get(`${bootNames[slot]}_OK`) === '1' && !isUsedUp;
  };
  return {
    trial: isInTrial('a') ? 'a' : isInTrial('b') ? 'b' : undefined,
    canBoot: { a: canBoot('a'), b: canBoot('b') },
    text: `${used === environment ? '' : 'by the shadow: '}${lines.join(' ')}`,
  };
}

async function putScript(disk: string, work: string): Promise<void> {
  const cfg = (await readFile(script, 'utf8'))
    .replace(/^set kaon_args=.*$/m, `set kaon_args="${kernelOptions('ttyS0')}"`)
    .replace(/^set kaon_full=.*$/m, `set kaon_full=${tries}`)
    .replace(/^set timeout=0$/m, 'set timeout=0\nserial --unit=0 --speed=115200\nterminal_output serial');
  await putText(disk, work, 'grub/grub.cfg', cfg);
}

async function putEnvironments(disk: string, work: string): Promise<void> {
  const environment = join(work, 'grubenv');
  await writeFile(environment, '');
  await run('grub-editenv', environment, 'create');
  const values = ['ORDER=A B', 'A_OK=1', `A_LEFT=${tries}`, 'B_OK=0', 'B_LEFT=0', 'kaon_trial=-', 'kaon_tries=0'];
  await run('grub-editenv', environment, 'set', ...values);
  await putOnEsp(disk, environment, environmentPath);
  await run('grub-editenv', environment, 'create');
  await putOnEsp(disk, environment, `${environmentPath}.kaon`);
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
