import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import type { SlotName } from '../../bootloader/bootloader.ts';
import { offsetOf, putOnEsp } from './disk.ts';
import { tries } from './images.ts';
import { kernelOptions } from './kernel-options.ts';
import type { LoaderState, VmLoader } from './loader.ts';
import { run, runForBytes } from './shell.ts';

const script = fileURLToPath(new URL('../../bootloader/scripts/boot.cmd', import.meta.url));

const bootNames = { a: 'A', b: 'B' } as const;
const environmentFiles = ['kaon/1.env', 'kaon/2.env'] as const;
const fileBytes = 0x1000;
const locations = 'etc/kaon/uboot-files.config';
const inGuest = environmentFiles.map((path) => `/efi/${path}`);

/** U-Boot with its environment in two files on the ESP: QEMU's flash does not take what it saves. */
export const ubootWithFiles: VmLoader = {
  kind: 'uboot',
  isNodeInImage: false,
  configuration: `{ type: uboot, environment: /${locations}, flags: sequence, tries: ${tries} }`,
  nodeFiles: {
    [locations]: inGuest.map((path) => `${path} 0 0x${fileBytes.toString(16)}\n`).join(''),
    'etc/kaon/units.env': `KAON_UBOOT_FILES="${inGuest.join(' ')}"\n`,
  },
  install: async (disk, _tree, work) => {
    await putScript(disk, work);
    await putEnvironments(disk, work);
  },
  // U-Boot reads the kernel from the slot itself.
  imageArguments: async () => [],
  readState: async (disk) => {
    const esp = `${disk}@@${offsetOf('esp')}`;
    return readUbootState(
      await Promise.all(environmentFiles.map((path) => runForBytes('mtype', '-i', esp, `::/${path}`))),
    );
  },
};

type Values = ReadonlyMap<string, string>;

/** The state that two environment files hold, by the rules at the head of boot.cmd. */
export function readUbootState(files: readonly Buffer[]): LoaderState {
  const [values] = files
    .filter((bytes) => bytes.byteLength === fileBytes && bytes.readUInt32LE(0) === crc32(bytes.subarray(4)))
    .map((bytes): Values => {
      const entries = bytes
        .toString('latin1', 4)
        .replace(/\0\0.*$/s, '')
        .split('\0');
      return new Map(entries.map((entry) => entry.split('=', 2) as [string, string]));
    })
    .filter((one) => one.has('kaon_sequence'))
    .sort((one, two) => sequenceOf(two) - sequenceOf(one));
  const valueOf = (name: string) => values?.get(name) ?? '';
  const isInTrial = (slot: SlotName) => valueOf('kaon_trial') === bootNames[slot];
  const canBoot = (slot: SlotName) => {
    const isListed = valueOf('BOOT_ORDER').split(' ').includes(bootNames[slot]);
    // A proven slot gets its boots back when none is left; a trial never does.
    return isListed && !(isInTrial(slot) && valueOf(`BOOT_${bootNames[slot]}_LEFT`) === '0');
  };
  return {
    trial: isInTrial('a') ? 'a' : isInTrial('b') ? 'b' : undefined,
    canBoot: { a: canBoot('a'), b: canBoot('b') },
    // The sequence tells how often it was written, not what it says.
    text: [...(values ?? [])]
      .filter(([name]) => name !== 'kaon_sequence')
      .map((entry) => entry.join('='))
      .sort()
      .join(' '),
  };
}

function sequenceOf(values: Values): number {
  return Number.parseInt(values.get('kaon_sequence') ?? '', 16);
}

/** boot.scr on the first partition: U-Boot's compiled-in environment finds it there by itself. */
async function putScript(disk: string, work: string): Promise<void> {
  const text = (await readFile(script, 'utf8'))
    .replace(/^kaon_device=.*$/m, 'kaon_device="nvme 0"')
    .replace(/^kaon_files=.*$/m, `kaon_files="${environmentFiles.join(' ')}"`)
    .replace(/^kaon_files_size=.*$/m, `kaon_files_size=${fileBytes.toString(16)}`)
    .replace(/^kaon_full=.*$/m, `kaon_full=${tries}`)
    .replace(/^kaon_args=.*$/m, `kaon_args="${kernelOptions('ttyAMA0')}"`);
  const [source, built] = [join(work, 'boot.cmd'), join(work, 'boot.scr')];
  await writeFile(source, text);
  await run('mkimage', '-A', 'arm64', '-T', 'script', '-C', 'none', '-n', 'kaon', '-d', source, built);
  await putOnEsp(disk, built, 'boot.scr');
}

async function putEnvironments(disk: string, work: string): Promise<void> {
  const values = ['BOOT_ORDER=A', `BOOT_A_LEFT=${tries}`, 'BOOT_B_LEFT=0', 'kaon_trial=-', 'kaon_tries=0'];
  for (const [index, path] of environmentFiles.entries()) {
    const [text, file] = [join(work, 'environment.text'), join(work, 'environment')];
    await writeFile(text, `${[...values, `kaon_sequence=${index}`].join('\n')}\n`);
    await run('mkenvimage', '-p', '0x00', '-s', String(fileBytes), '-o', file, text);
    await putOnEsp(disk, file, path);
  }
}
