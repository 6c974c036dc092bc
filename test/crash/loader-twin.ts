import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { SlotName } from '../../agent/core/update-state.ts';
import type { Bootloader } from '../../bootloader/bootloader.ts';
import { type BootPayloads, LoaderPayloads } from '../../agent/slotd/boot-payloads.ts';
import { EfiBootloader } from '../../bootloader/efi-boot.ts';
import { GptBootloader } from '../../bootloader/gpt.ts';
import { GrubBootloader } from '../../bootloader/grub.ts';
import type { GrubLayout } from '../../bootloader/grub-dialect.ts';
import { encodeEnvironment } from '../../bootloader/grubenv.ts';
import { SystemdBootBootloader } from '../../bootloader/systemd-boot.ts';
import { ukiOwnerOfFile } from '../../bootloader/systemd-boot-uki-state.ts';
import { SystemdBootUkis } from '../../bootloader/systemd-boot-ukis.ts';
import { TrybootBootloader } from '../../bootloader/tryboot.ts';
import { PayloadStore } from '../../partitions/payload-store.ts';
import { EfiFirmware } from '../fakes/efi-firmware.ts';
import { bootGpt } from '../fakes/gpt-firmware.ts';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';
import { PowerLossDisk } from '../fakes/power-loss-disk.ts';
import { PowerLossFile, type SectorFate } from '../fakes/power-loss-file.ts';
import { PowerLossPayloads } from '../fakes/power-loss-payloads.ts';
import { startEntry } from '../fakes/systemd-boot-firmware.ts';
import { TrybootBoard } from '../fakes/tryboot-firmware.ts';

/** A loader whose state survives the boots of a life: its adapter, and itself in simulation. */
export interface LoaderTwin {
  /** The adapter, as each boot's agent makes it anew. */
  adapter(): Bootloader;
  /** One start of the firmware. */
  boot(): SlotName | 'rescue';
  /** The node reboots in order, with what the reboot carries. */
  reboot(argument: string | undefined): void;
  losePower(fate: () => SectorFate): void;
  /** Where kernels are put for it; absent where it reads the slots. */
  payloads?(): BootPayloads;
  /** The kernel that the last boot started; absent where it lies in the slot. */
  startedKernel?(): Uint8Array;
  /** Takes what was staged of a slot, as fsck does with files that it finds damaged. */
  dropStaged?(slot: SlotName): void;
}

/**
 * The loaders of the crash suite: two dialects of GRUB, three that count or arm otherwise, and one that starts kernels
 * from its own partition, by entries of either type.
 */
export type LoaderName = 'kaon' | 'rauc' | 'gpt' | 'tryboot' | 'efi' | 'systemd-boot' | 'systemd-boot-uki';

type BeforeStep = (name: string) => void;

/** A loader with nothing provisioned yet; `kernel` is what slot a starts, where it lies on the loader's partition. */
export function makeLoaderTwin(name: LoaderName, kernel: Uint8Array, beforeStep: BeforeStep): LoaderTwin {
  switch (name) {
    case 'kaon':
    case 'rauc':
      return grubTwin(name, beforeStep);
    case 'gpt':
      return gptTwin(beforeStep);
    case 'tryboot':
      return trybootTwin(beforeStep);
    case 'efi':
      return efiTwin(beforeStep);
    case 'systemd-boot':
      return systemdBootTwin(kernel, beforeStep);
    case 'systemd-boot-uki':
      return systemdBootUkiTwin(kernel, beforeStep);
  }
}

const nothing = () => undefined;

function grubTwin(dialect: 'kaon' | 'rauc', beforeStep: BeforeStep): LoaderTwin {
  const environment = new PowerLossFile(encodeEnvironment([], [], 1024), 'environment', beforeStep);
  const shadow = new PowerLossFile(encodeEnvironment([], [], 1024), 'shadow', beforeStep);
  const layout: GrubLayout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: dialect === 'kaon' ? 4 : 1 };
  return {
    adapter: () => new GrubBootloader(environment, shadow, layout),
    boot: () => {
      const { started, block } = bootGrub({ dialect, names: ['A', 'B'], full: 4 }, environment.disk, shadow.disk);
      environment.put(block);
      return started === 'A' ? 'a' : started === 'B' ? 'b' : 'rescue';
    },
    reboot: nothing,
    losePower: (fate) => {
      environment.losePower(fate);
      shadow.losePower(fate);
    },
  };
}

function gptTwin(beforeStep: BeforeStep): LoaderTwin {
  const guids = { a: 'aaaaaaaa-0001-4000-8000-00000000000a', b: 'bbbbbbbb-0005-4000-8000-00000000000b' };
  const fixture = join(import.meta.dirname, '../unit/bootloader/fixtures/gpt-512.img.gz');
  const disk = new PowerLossDisk(gunzipSync(readFileSync(fixture)), 512, beforeStep);
  const firmware = { rules: 'gptprio', blockBytes: 512, type: '5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6' } as const;
  return {
    adapter: () => new GptBootloader(disk, guids),
    boot: () => {
      const booted = bootGpt(firmware, disk.disk);
      disk.put(booted.disk);
      if (booted.started === 'rescue') return 'rescue';
      return booted.started === guids.a.toUpperCase() ? 'a' : 'b';
    },
    reboot: nothing,
    losePower: (fate) => disk.losePower(fate),
  };
}

function trybootTwin(beforeStep: BeforeStep): LoaderTwin {
  const file = new PowerLossFile(Buffer.alloc(512, '\n'), 'autoboot', beforeStep);
  const board = new TrybootBoard();
  return {
    adapter: () => new TrybootBootloader(file, board, { a: 2, b: 3 }),
    boot: () => {
      const started = board.boot(file.disk);
      return started === 2 ? 'a' : started === 3 ? 'b' : 'rescue';
    },
    reboot: (argument) => board.reboot(argument),
    losePower: (fate) => {
      file.losePower(fate);
      board.losePower();
    },
  };
}

function efiTwin(beforeStep: BeforeStep): LoaderTwin {
  const firmware = new EfiFirmware(beforeStep);
  firmware.addEntry(1, 'slot A');
  firmware.addEntry(2, 'slot B');
  return {
    adapter: () => new EfiBootloader(firmware, { a: 'slot A', b: 'slot B' }),
    boot: () => {
      const started = firmware.boot();
      return started === 'slot A' ? 'a' : started === 'slot B' ? 'b' : 'rescue';
    },
    reboot: nothing,
    losePower: () => firmware.losePower(),
  };
}

function systemdBootTwin(kernel: Uint8Array, beforeStep: BeforeStep): LoaderTwin {
  const partition = new PowerLossDirectory(
    {
      'loader/entries/kaon-a.conf': 'sort-key kaon\nversion 1\nlinux /kaon/a/factory\n',
      'kaon/a/factory': Buffer.from(kernel).toString('latin1'),
    },
    beforeStep,
  );
  const adapter = () => new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
  const store = () => new PayloadStore(new PowerLossPayloads(partition), 'kaon');
  let started = '';
  return {
    adapter,
    boot: () => {
      const entry = startEntry(partition);
      const kernel = (entry?.keys.get('linux') ?? '').replace(/^\//, '');
      started = partition.textOf(kernel);
      return kernel.startsWith('kaon/a/') ? 'a' : kernel.startsWith('kaon/b/') ? 'b' : 'rescue';
    },
    reboot: nothing,
    losePower: (fate) => partition.losePower(fate),
    payloads: () => new LoaderPayloads((_access, act) => act({ store: store(), loader: adapter() }), { a: '', b: '' }),
    startedKernel: () => Buffer.from(started, 'latin1'),
    dropStaged: (slot) => dropFolder(partition, `kaon/${slot}/`),
  };
}

function systemdBootUkiTwin(kernel: Uint8Array, beforeStep: BeforeStep): LoaderTwin {
  const factory = Buffer.from(kernel).toString('latin1');
  const partition = new PowerLossDirectory({ 'EFI/Linux/kaon-a.efi': factory }, beforeStep);
  const adapter = () => new SystemdBootUkis(partition, { entryPrefix: 'kaon' });
  const isOf = (slot: SlotName, name: string) => ukiOwnerOfFile('kaon', name) === slot;
  const use = { copies: 2, listed: { folder: 'EFI/Linux', isOf } };
  const store = () => new PayloadStore(new PowerLossPayloads(partition), 'kaon', use);
  let started = '';
  return {
    adapter,
    boot: () => {
      const { path = '' } = startEntry(partition) ?? {};
      started = partition.textOf(path);
      const [, slot] = /^EFI\/Linux\/kaon-([ab])/.exec(path) ?? [];
      return slot === 'a' || slot === 'b' ? slot : 'rescue';
    },
    reboot: nothing,
    losePower: (fate) => partition.losePower(fate),
    payloads: () => new LoaderPayloads((_access, act) => act({ store: store(), loader: adapter() }), { a: '', b: '' }),
    startedKernel: () => Buffer.from(started, 'latin1'),
    dropStaged: (slot) => dropFolder(partition, `kaon/${slot}/`),
  };
}

function dropFolder(partition: PowerLossDirectory, folder: string): void {
  partition.paths.filter((path) => path.startsWith(folder)).forEach((path) => partition.drop(path));
}
