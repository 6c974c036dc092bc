import { type Firmware, ovmf, seaBios, ubootOnArm64 } from './firmware.ts';
import { grubOnBios, grubOnUefi } from './grub-disk.ts';
import type { VmLoader } from './loader.ts';
import { systemdBootOnKernels, systemdBootOnUkis } from './systemd-boot-disk.ts';
import { ubootWithFiles } from './uboot-disk.ts';

/** A column of the matrix. */
export interface VmMachine {
  readonly name: string;
  readonly firmware: Firmware;
  readonly loader: VmLoader;
  /** Names of the scenarios that run without being asked for; `all` is every one. */
  readonly usual: readonly string[] | 'all';
}

/** Every machine that is booted, by the names that README.md has. */
export const machines: readonly VmMachine[] = [
  {
    name: 'GRUB on BIOS',
    firmware: seaBios,
    loader: grubOnBios,
    usual: ['upgrade', 'panic', 'failed health'],
  },
  {
    name: 'GRUB on UEFI',
    firmware: ovmf,
    loader: grubOnUefi,
    usual: [
      'upgrade',
      'panic',
      'failed health',
      'dies early',
      'no agent',
      'agent crashes',
      'config refused',
      'cut in the write',
    ],
  },
  {
    name: 'systemd-boot with kernels',
    firmware: ovmf,
    loader: systemdBootOnKernels,
    usual: ['upgrade', 'panic', 'failed health', 'no agent'],
  },
  {
    name: 'systemd-boot with UKIs',
    firmware: ovmf,
    loader: systemdBootOnUkis,
    usual: ['upgrade', 'panic', 'failed health'],
  },
  {
    name: 'U-Boot on arm64',
    firmware: ubootOnArm64,
    loader: ubootWithFiles,
    usual: ['upgrade', 'panic', 'failed health'],
  },
];
