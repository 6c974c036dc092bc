import type { StagingBootloader } from '../../bootloader/bootloader.ts';
import type { SlotEntry } from '../../bootloader/slot-entry.ts';
import { neededBytes, type PayloadRoom } from '../../partitions/payload-plan.ts';
import type { PayloadStore, StagedPayload } from '../../partitions/payload-store.ts';
import type { LayerSource, WriteProgress, WrittenSlot } from '../../partitions/slot-writer.ts';
import type { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import type { PayloadBudget, TrustedImage } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';

/** Puts an image's kernel where a loader reads it that cannot read a slot. */
export interface BootPayloads {
  /**
   * What payloads of `slot` may take. Changes nothing; rejects when the partition takes no writes, and with `write` also
   * when it was not left in order and can't be brought into it.
   */
  budget(slot: SlotName, access: 'plan' | 'write'): Promise<PayloadBudget>;
  /**
   * Stages the payloads of `image`, which has some, and the entry that starts them; the loader lists neither. `slot` is
   * bad at the loader. Durable when it resolves. Rejects with the codes of `PayloadStore` and `StagingBootloader`.
   */
  stage(
    slot: SlotName,
    image: TrustedImage,
    descriptor: TrustedDescriptor,
    layers: LayerSource,
    onBytes: (role: string, stagedBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

/** What is behind a boot partition while it is mounted. */
export interface OpenBootPartition {
  readonly store: PayloadStore;
  readonly loader: StagingBootloader;
}

/** Runs something while the boot partition is mounted. */
export type WithBootPartition = <T>(
  access: 'plan' | 'write',
  act: (open: OpenBootPartition) => Promise<T>,
) => Promise<T>;

/** Payloads on the partition of the loader. */
export class LoaderPayloads implements BootPayloads {
  readonly #withPartition: WithBootPartition;
  readonly #options: Readonly<Record<SlotName, string>>;

  /** `options` are the kernel options of the node for each slot; they come behind the image's. */
  constructor(withPartition: WithBootPartition, options: Readonly<Record<SlotName, string>>) {
    this.#withPartition = withPartition;
    this.#options = options;
  }

  async budget(slot: SlotName, access: 'plan' | 'write'): Promise<PayloadBudget> {
    return this.#withPartition(access, async ({ store }) => budgetOf(await store.room(slot)));
  }

  async stage(
    slot: SlotName,
    image: TrustedImage,
    descriptor: TrustedDescriptor,
    layers: LayerSource,
    onBytes: (role: string, stagedBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#withPartition('write', async ({ store, loader }) => {
      const staged = await store.stage(slot, descriptor, layers, onBytes, signal);
      // Power lost here: files that no entry names. The slot is written again.
      await loader.stageEntry(slot, entryOf(image, staged, this.#options[slot]));
    });
  }
}

function budgetOf(room: PayloadRoom): PayloadBudget {
  const { freeBytes, reclaimableBytes, clusterBytes, copies, otherBytes } = room;
  const spareBytes = neededBytes({ payloads: [], options: undefined }, { ...room, otherBytes: 0 });
  const allBytes = freeBytes + reclaimableBytes - spareBytes;
  const availableBytes = Math.max(0, Math.min(Math.floor(allBytes / copies), allBytes - otherBytes));
  return { availableBytes, clusterBytes };
}

/** The entry of a slot: signed files and options, then what the node adds for the slot. */
function entryOf(image: TrustedImage, staged: readonly StagedPayload[], nodeOptions: string): SlotEntry {
  const pathsOf = (wanted: StagedPayload['role']) =>
    staged.filter(({ role }) => role === wanted).map(({ path }) => path);
  const [uki] = pathsOf('uki');
  const [kernel] = pathsOf('kernel');
  const start =
    uki === undefined ? { role: 'kernel' as const, path: kernel ?? '' } : { role: 'uki' as const, path: uki };
  return {
    title: `${image.name} ${image.version}`,
    start,
    initrds: pathsOf('initrd'),
    devicetree: pathsOf('devicetree')[0],
    options: [image.boot?.options ?? '', nodeOptions].filter((part) => part !== '').join(' '),
  };
}

/** Bytes of the layers of an image's boot payloads. */
export function payloadBytes({ boot }: TrustedImage): number {
  return (boot?.payloads ?? []).reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0);
}

/** Progress that goes on where the partitions ended. */
export function stagingProgress(
  image: TrustedImage,
  written: WrittenSlot,
  onProgress: (progress: WriteProgress) => void,
): (role: string, stagedBytes: number) => void {
  const partitionBytes = image.partitions.reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0);
  const writtenBytes = written.partitions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return (role, stagedBytes) =>
    onProgress({
      step: 'write',
      partition: role,
      fetchedBytes: partitionBytes + stagedBytes,
      layerSizeBytes: partitionBytes + payloadBytes(image),
      writtenBytes: writtenBytes + stagedBytes,
    });
}
