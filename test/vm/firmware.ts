import { copyFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Debian's name of a processor. */
export type Architecture = 'amd64' | 'arm64';

/** The emulator and all of its arguments but the disk, the network and the console. */
export interface Firmware {
  readonly architecture: Architecture;
  readonly program: string;
  /** `folder` is the node's own: its firmware's variables live there, from boot to boot. */
  readonly arguments: (folder: string) => Promise<readonly string[]>;
}

// One processor: QEMU then translates atomic instructions as plain ones, and cells beside each other use the other cores.
const guest = ['-accel', 'tcg,thread=multi', '-smp', '1', '-m', '1024'];
const pc = ['-machine', 'q35,smm=off', '-cpu', 'qemu64', ...guest];

/** SeaBIOS, which QEMU brings along. */
export const seaBios: Firmware = {
  architecture: 'amd64',
  program: 'qemu-system-x86_64',
  arguments: async () => pc,
};

/** OVMF with a store of variables of its own for each node. */
export const ovmf: Firmware = {
  architecture: 'amd64',
  program: 'qemu-system-x86_64',
  arguments: async (folder) => {
    const variables = join(folder, 'OVMF_VARS.fd');
    if (!existsSync(variables)) await copyFile('/usr/share/OVMF/OVMF_VARS_4M.fd', variables);
    return [
      ...pc,
      ...['-drive', 'if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd'],
      ...['-drive', `if=pflash,unit=1,format=raw,file=${variables}`],
    ];
  },
};

/** U-Boot in place of a firmware, with its compiled-in environment. */
export const ubootOnArm64: Firmware = {
  architecture: 'arm64',
  program: 'qemu-system-aarch64',
  arguments: async () => [
    ...['-machine', 'virt', '-cpu', 'cortex-a57', ...guest],
    ...['-bios', '/usr/lib/u-boot/qemu_arm64/u-boot.bin'],
  ],
};
