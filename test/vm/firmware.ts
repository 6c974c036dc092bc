import { copyFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The emulator and all of its arguments but the disk, the network and the console. */
export interface Firmware {
  readonly program: string;
  /** `folder` is the node's own: its firmware's variables live there, from boot to boot. */
  readonly arguments: (folder: string) => Promise<readonly string[]>;
}

const pc = ['-machine', 'q35,smm=off', '-accel', 'tcg,thread=multi', '-cpu', 'qemu64', '-smp', '2', '-m', '1024'];

/** SeaBIOS, which QEMU brings along. */
export const seaBios: Firmware = {
  program: 'qemu-system-x86_64',
  arguments: async () => pc,
};

/** OVMF with a store of variables of its own for each node. */
export const ovmf: Firmware = {
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
