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

/** What is asked of every machine. */
const short = ['upgrade', 'panic', 'failed health'];

/** What depends on how a loader counts, falls back, and takes a power cut. */
const loaderBound = [
  ...[...short, 'dies early', 'no agent', 'cut in the write', 'cut in the trial', 'cut in every trial'],
  ...['cut before the reboot', 'after a rollback', 'plain reboots'],
];

/** The above, and what depends on the agent alone: once is enough. */
const full = [...loaderBound, 'hangs', 'agent crashes', 'config refused', 'unsigned', 'newer agent'];

/** Every machine that is booted, by the names that README.md has. */
export const machines: readonly VmMachine[] = [
  {
    name: 'GRUB on BIOS',
    firmware: seaBios,
    loader: grubOnBios,
    usual: short,
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
    usual: loaderBound,
  },
  {
    name: 'systemd-boot with UKIs',
    firmware: ovmf,
    loader: systemdBootOnUkis,
    usual: short,
  },
  {
    name: 'U-Boot on arm64',
    firmware: ubootOnArm64,
    loader: ubootWithFiles,
    usual: short,
  },
];
