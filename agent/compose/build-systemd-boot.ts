import { join } from 'node:path';
import type { StagingBootloader } from '../../bootloader/bootloader.ts';
import { Efivarfs } from '../../bootloader/efivarfs.ts';
import { MountedBootDirectory } from '../../bootloader/mounted-directory.ts';
import { MountedBootloader, type WithLoader } from '../../bootloader/mounted-bootloader.ts';
import { SystemdBootBootloader } from '../../bootloader/systemd-boot.ts';
import { ukiFolder } from '../../bootloader/systemd-boot-menu.ts';
import { systemdBootCapabilities } from '../../bootloader/systemd-boot-state.ts';
import { ukiOwnerOfFile } from '../../bootloader/systemd-boot-uki-state.ts';
import { SystemdBootUkis } from '../../bootloader/systemd-boot-ukis.ts';
import { LoaderVariables } from '../../bootloader/systemd-boot-variables.ts';
import type { BootAccess, BootPartition } from '../../partitions/boot-partition.ts';
import { DemandMountedPartition } from '../../partitions/demand-mounted-partition.ts';
import { KeptBootPartition } from '../../partitions/kept-boot-partition.ts';
import { MountedPayloadDirectory } from '../../partitions/mounted-payload-directory.ts';
import { PayloadStore, type PayloadUse } from '../../partitions/payload-store.ts';
import type { BootPartitionConfig, SlotConfig, SystemdBootConfig } from '../config/config.ts';
import type { SlotName } from '../core/update-state.ts';
import { ProcessCommandRunner } from '../host/process-command-runner.ts';
import { withoutServiceVariables } from '../host/service-environment.ts';
import { type BootPayloads, LoaderPayloads, type WithBootPartition } from '../slotd/boot-payloads.ts';

/** Our own mounts lie here: outside of what systemd removes with a service. */
const mountFolder = '/run/kaon-boot';

/** What the composition needs to know of where it runs. */
export interface SystemdBootPlace {
  /** Where locks lie. */
  readonly runtimeDir: string;
  /** Takes a folder for a partition, as tests and the demo have it; the firmware's variables are then left alone. */
  readonly areFoldersAllowed: boolean;
  /** Hears of a partition that could not be unmounted after its use. */
  readonly onFault: (error: unknown) => void;
}

/** systemd-boot and the payloads that it starts, both on partitions that are mounted around each use. */
export function buildSystemdBoot(
  config: SystemdBootConfig,
  slots: Readonly<Record<SlotName, SlotConfig>>,
  place: SystemdBootPlace,
): { readonly bootloader: StagingBootloader; readonly payloads: BootPayloads } {
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env));
  const partition = (name: string, { device, path }: BootPartitionConfig): BootPartition =>
    device === undefined
      ? new KeptBootPartition(path ?? '', place.areFoldersAllowed)
      : new DemandMountedPartition({ device, mountPoint: join(mountFolder, name), commands, onFault: place.onFault });
  const esp = partition('esp', config.esp);
  const xbootldr = config.xbootldr && partition('xbootldr', config.xbootldr);
  const efivars = new Efivarfs(commands, join(place.runtimeDir, 'efivars.lock'));
  const variables = place.areFoldersAllowed ? {} : { variables: new LoaderVariables(efivars) };

  const open = (root: string, espRoot: string | undefined) => {
    const directory = (at: string) => new MountedBootDirectory(at, join(place.runtimeDir, 'boot-partition.lock'));
    const { entryPrefix } = config;
    const Loader = config.entries === 'type2' ? SystemdBootUkis : SystemdBootBootloader;
    const loader = new Loader(directory(root), {
      entryPrefix,
      ...variables,
      ...(espRoot === undefined ? {} : { esp: directory(espRoot) }),
    });
    return { loader, store: new PayloadStore(new MountedPayloadDirectory(root), entryPrefix, useOf(config)) };
  };
  const mounted = <T>(access: BootAccess, act: (opened: ReturnType<typeof open>) => Promise<T>): Promise<T> =>
    xbootldr === undefined
      ? esp.use(access, (root) => act(open(root, undefined)))
      : // What is written lies on XBOOTLDR; of the ESP only the loader's settings are read.
        esp.use('read', (espRoot) => xbootldr.use(access, (root) => act(open(root, espRoot))));

  const withLoader: WithLoader = (access, act) => mounted(access, ({ loader }) => act(loader));
  const withPartition: WithBootPartition = mounted;
  const optionsOf = ({ bootOptions, bootName }: SlotConfig) =>
    // An entry of Type 2 has the options inside its image, and no others.
    config.entries === 'type2' ? '' : [bootOptions ?? '', `kaon.slot=${bootName}`].join(' ').trim();
  return {
    bootloader: new MountedBootloader(systemdBootCapabilities, config.entries === 'type1', withLoader),
    payloads: new LoaderPayloads(withPartition, { a: optionsOf(slots.a), b: optionsOf(slots.b) }),
  };
}

/** What becomes of a staged payload: an entry of Type 1 names it where it is, an image of Type 2 is moved and copied. */
function useOf({ entries, entryPrefix }: SystemdBootConfig): PayloadUse {
  if (entries === 'type1') return { copies: 1, listed: undefined };
  const isOf = (slot: SlotName, name: string) => ukiOwnerOfFile(entryPrefix, name) === slot;
  return { copies: 2, listed: { folder: ukiFolder, isOf } };
}
