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
  /** Names of the scenarios that run without being asked for. */
  readonly usual: readonly string[];
}

/** What is asked of every machine; the life that has all three in it follows, with another failure on each. */
const short = ['upgrade', 'panic', 'failed health'];

/** Every row that a loader has a part in, most of them in lives that have several. */
const full = [
  ...['upgrade', 'panic', 'dies early', 'hangs', 'no agent', 'agent crashes', 'config refused', 'failed health'],
  ...['broken systems', 'broken agents', 'unsigned', 'cut in the write', 'cut in the trial', 'cut in every trial'],
  ...['cut before the reboot', 'cut again and again', 'after a rollback', 'plain reboots', 'newer agent'],
  'a long life',
];

/** Every machine that is booted, by the names that README.md has. */
export const machines: readonly VmMachine[] = [
  {
    name: 'GRUB on BIOS',
    firmware: seaBios,
    loader: grubOnBios,
    usual: [...short, 'good after a failed unit'],
  },
  {
    name: 'GRUB on UEFI',
    firmware: ovmf,
    loader: grubOnUefi,
    usual: full,
  },
  {
    name: 'systemd-boot with kernels',
    firmware: ovmf,
    loader: systemdBootOnKernels,
    usual: full,
  },
  {
    name: 'systemd-boot with UKIs',
    firmware: ovmf,
    loader: systemdBootOnUkis,
    usual: [...short, 'good after greenboot'],
  },
  {
    name: 'U-Boot on arm64',
    firmware: ubootOnArm64,
    loader: ubootWithFiles,
    usual: [...short, 'good after bad'],
  },
];
