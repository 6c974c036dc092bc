import type { BlockDevice, SlotDevices } from './block-device.ts';
import { readFrames, readIndexHead } from './block-index/read-index.ts';
import { BodyJobs } from './body-jobs.ts';
import { Checkpointer, type CheckpointStore } from './checkpoint.ts';
import { PartitionError } from './errors.ts';
import { FrameTable } from './frame-table.ts';
import { frameLimitBytes } from './frames/frame.ts';
import type { StartFrameWorkers } from './frames/frame-workers.ts';
import { firstBlockBytes } from './partition-writer.ts';
import { type IndexedPartition, PartitionWrite } from './partition-write.ts';
import type { DigestLists } from './reuse/digest-list.ts';
import type { OwnContent, PatchSource } from './reuse/partition-reuse.ts';
import { type ArenaPlan, blockBytes, SharedArena } from './shared-arena.ts';
import { checkCoverage } from './slot-preflight.ts';
import type { LayerSource, PatchOffer, SlotWriter, WriteProgress, WrittenSlot } from './slot-writer.ts';
import { StallGuardedDevice, type WriterClock } from './stall-guard.ts';
import { TrustedDescriptor, type TrustedPartition } from './trusted-descriptor.ts';
import { WriteRun } from './write-run.ts';

/** One partition of the image with its opened device. */
interface OpenPartition {
  readonly signed: TrustedPartition;
  readonly device: BlockDevice;
}

/** What slots are written with. */
export interface StreamingSlotWriterOptions {
  readonly devices: SlotDevices;
  readonly startWorkers: StartFrameWorkers;
  readonly clock: WriterClock;
  /** Without it nothing is resumed after a restart. */
  readonly checkpoints?: CheckpointStore;
  /** Where digests of what the slots hold are kept; without it nothing is taken from the booted slot. */
  readonly digests?: DigestLists;
  /** Whether blocks that hold the right content already are left alone: spares the flash, and costs a read of each. */
  readonly keepsEqual?: boolean;
  /** How long a device may end no request before it is held for dead. */
  readonly stallLimitMs?: number;
  /** Content of one write of the device; a multiple of 4096. */
  readonly bufferBytes?: number;
  /** Hears of what does not keep the write from going on, but should not be. */
  readonly onFault?: (error: unknown) => void;
  /** Hears in a sentence where an interrupted write goes on, or why it starts over. */
  readonly onNote?: (note: string) => void;
}

/** Two minutes: cards that tidy themselves up are silent for many seconds. */
const defaultStallLimitMs = 120_000;

// One slot is filled while others are with workers and the device; more gained nothing.
const minSlots = 4;
const noIndex = 'its layers have no block index, so that nothing could be told from what an interrupted write left';
const arenaLimitBytes = 24 * 1024 * 1024;

/** Streams an image onto a slot: fetched, decoded, proven and written as it comes, then read back from the device. */
export class StreamingSlotWriter implements SlotWriter {
  readonly #options: StreamingSlotWriterOptions;
  readonly #bufferBytes: number;

  /** Throws a `RangeError` for buffers that are no multiple of a block. */
  constructor(options: StreamingSlotWriterOptions) {
    this.#options = options;
    this.#bufferBytes = options.bufferBytes ?? 1024 * 1024;
    if (
      !Number.isInteger(this.#bufferBytes) ||
      this.#bufferBytes < blockBytes ||
      this.#bufferBytes % blockBytes !== 0
    ) {
      throw new RangeError(`cannot write slots: bufferBytes is ${this.#bufferBytes}, want a multiple of ${blockBytes}`);
    }
  }

  /** See `SlotWriter`. Throws besides `slot-device-refused` when the image does not cover the slot's partitions. */
  async write(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches: readonly PatchOffer[] = [],
  ): Promise<WrittenSlot> {
    if (!TrustedDescriptor.isMinted(image)) {
      throw new Error('internal: cannot write a slot: the image carries no proof of trust');
    }
    signal.throwIfAborted();
    const { devices, clock, stallLimitMs = defaultStallLimitMs } = this.#options;
    checkCoverage(slot, image.facts, await devices.sizes(slot));
    const run = new WriteRun(image, onProgress, signal);
    const opened: OpenPartition[] = [];
    try {
      for (const signed of image.facts.partitions) {
        const device = await devices.open(slot, signed.name);
        opened.push({ signed, device: new StallGuardedDevice(signed.name, device, clock, stallLimitMs) });
      }
      // A device may have shrunk since its size was read, and nothing is touched before all are known to fit.
      for (const { signed, device } of opened) checkFits(signed, device.sizeBytes);
      const indexes = await readIndexes(opened, layers, run);
      return await this.#writeOpened(slot, image, opened, indexes, layers, patches, run);
    } finally {
      // Everything that counts was flushed before; what close says of it changes nothing.
      await Promise.allSettled(opened.map(({ device }) => device.close()));
    }
  }

  async #writeOpened(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    opened: readonly OpenPartition[],
    indexes: ReadonlyMap<string, IndexedPartition>,
    layers: LayerSource,
    patches: readonly PatchOffer[],
    run: WriteRun,
  ): Promise<WrittenSlot> {
    const { manifestDigest } = image.facts;
    const tables = Array.from(indexes.values(), ({ table }) => table);
    const arena = new SharedArena(
      opened.map(({ device }) => device),
      planArena(this.#bufferBytes, tables),
    );
    const workers = this.#options.startWorkers(arena.memory);
    const jobs = new BodyJobs(arena, () => run.checkSignal());
    const parts = { arena, jobs, workers, run, own: this.#own(slot), keepsEqual: this.#options.keepsEqual ?? false };
    const writes = opened.map(
      ({ signed, device }) =>
        new PartitionWrite({
          ...parts,
          signed,
          device,
          index: indexes.get(signed.name),
          patch: patchOf(signed.name, patches, layers),
        }),
    );
    const checkpoints = this.#checkpoints(slot, manifestDigest, writes, run);
    try {
      await this.#writeInOrder({ slot, manifestDigest, opened, writes, checkpoints, layers, run });
      return { manifestDigest, partitions: writes.map((write) => write.written) };
    } catch (error) {
      await giveUp(opened, jobs, checkpoints);
      // Whoever tries again wants to know what is durable now.
      run.report('write', opened.at(-1)?.signed.name ?? '');
      throw error;
    } finally {
      await Promise.allSettled([workers.close(), ...writes.map((write) => write.close())]);
    }
  }

  /** The durable steps of a write, in the order of the design. */
  async #writeInOrder(steps: {
    readonly slot: 'a' | 'b';
    readonly manifestDigest: string;
    readonly opened: readonly OpenPartition[];
    readonly writes: readonly PartitionWrite[];
    readonly checkpoints: Checkpointer | undefined;
    readonly layers: LayerSource;
    readonly run: WriteRun;
  }): Promise<void> {
    const { slot, manifestDigest, opened, writes, checkpoints, layers, run } = steps;
    // Power lost here: the slot is as it was, but for the loader's mark. What is read now is lost with the memory, and
    // its frame is fetched then, as the first block will be zero.
    for (const write of writes) await write.keepEdges();
    // Power lost here: some first blocks are zero, the others belong to the old image; the loader has the slot as
    // bad since before, and nothing of the new image is on it.
    await zeroFirstBlocks(opened);
    await this.#resume(slot, manifestDigest, writes);
    // Power lost here: every first block is zero. No file system of this slot mounts, so a half-written slot is
    // never taken for a whole one even if the loader's mark were lost.
    for (const write of writes) await write.findOwn();
    // Told before any of it is asked for: whoever pays for the link may end the write here.
    run.noteMissing(writes.reduce((sum, { missingBytes }) => sum + missingBytes, 0));
    run.report('write', opened[0]?.signed.name ?? '');
    for (const write of writes) await write.writeBody(layers, checkpoints);
    for (const write of writes) {
      // Power lost here: each partition is either complete and durable or has a zero first block. The loader still
      // has the slot as bad, and nothing but a full write and read-back leads to its activation.
      run.checkSignal();
      await write.writeFirstBlock();
    }
    // Power lost from here on: the slot is complete and still bad at the loader; it is written again.
    for (const write of writes) await write.verify();
    // Power lost before: the slot is written again, and finds its blocks in place.
    for (const write of writes) await write.keepDigests();
    run.report('finish', opened.at(-1)?.signed.name ?? '');
  }

  /** What the node has to write `slot` from. */
  #own(slot: 'a' | 'b'): OwnContent | undefined {
    const {
      digests: lists,
      devices,
      clock,
      stallLimitMs = defaultStallLimitMs,
      onFault = () => undefined,
    } = this.#options;
    const openBooted = async (partition: string) =>
      new StallGuardedDevice(partition, await devices.openBooted(partition), clock, stallLimitMs);
    return lists && { slot, lists, openBooted, onFault };
  }

  #checkpoints(
    slot: 'a' | 'b',
    manifestDigest: string,
    writes: readonly PartitionWrite[],
    run: WriteRun,
  ): Checkpointer | undefined {
    const { checkpoints, clock, onFault = () => undefined } = this.#options;
    const partitions = writes.flatMap(({ counted }) => counted ?? []);
    if (checkpoints === undefined || partitions.length === 0) return undefined;
    const onSaved = (contentBytes: number) => run.noteDurable(contentBytes);
    return new Checkpointer({ store: checkpoints, slot, manifestDigest, partitions, clock, onSaved, onFault });
  }

  /** Finds what an interrupted write of the same image left; of another image, nothing counts. */
  async #resume(slot: 'a' | 'b', manifestDigest: string, writes: readonly PartitionWrite[]): Promise<void> {
    const { checkpoints, onFault = () => undefined, onNote = () => undefined } = this.#options;
    if (checkpoints === undefined) return;
    const found = await checkpoints.load(slot).catch((error: unknown) => {
      onFault(error);
      return undefined;
    });
    if (found === undefined) {
      if (writes.every(({ counted }) => counted === undefined))
        onNote(`slot ${slot} is written from its start: ${noIndex}`);
      return;
    }
    if (found.manifestDigest !== manifestDigest) {
      onNote(`slot ${slot} starts over: its checkpoint is of another image, ${found.manifestDigest}`);
      await checkpoints.remove(slot).catch(onFault);
      return;
    }
    for (const write of writes) onNote(await write.resume(found.frames));
  }
}

/** The reason to fail is the first error; a device that does not even zero now has the loader's mark against it. */
async function giveUp(opened: readonly OpenPartition[], jobs: BodyJobs, checkpoints: Checkpointer | undefined) {
  await jobs.settle();
  // What is there need not be fetched again, whatever went wrong.
  await Promise.allSettled([checkpoints?.save()]);
  await Promise.allSettled(opened.map((partition) => zeroFirstBlocks([partition])));
}

function checkFits({ name, contentSizeBytes }: TrustedPartition, sizeBytes: number): void {
  const neededBytes = Math.max(contentSizeBytes ?? 0, firstBlockBytes);
  if (neededBytes <= sizeBytes) return;
  throw new PartitionError(
    'slot-too-small',
    `cannot write partition ${name}: it needs ${neededBytes} bytes and has ${sizeBytes}`,
    { details: { partition: name, neededBytes, sizeBytes } },
  );
}

/** Head and frames of each partition that has an index, proven. Nothing was touched yet. */
async function readIndexes(
  opened: readonly OpenPartition[],
  layers: LayerSource,
  run: WriteRun,
): Promise<ReadonlyMap<string, IndexedPartition>> {
  const found = new Map<string, IndexedPartition>();
  for (const { signed, device } of opened) {
    const { name, index, contentSizeBytes } = signed;
    if (index === undefined) continue;
    run.checkSignal();
    const bytes = (ranges: Parameters<LayerSource>[1]) => layers(index.layerDigest, ranges);
    const head = await readIndexHead(index, contentSizeBytes, bytes);
    checkFits({ ...signed, contentSizeBytes: head.contentSizeBytes }, device.sizeBytes);
    found.set(name, { head, bytes, table: await FrameTable.read(readFrames(head, bytes), head) });
  }
  return found;
}

/** The patch of a partition, if there is one. */
function patchOf(partition: string, patches: readonly PatchOffer[], layers: LayerSource): PatchSource | undefined {
  const offer = patches.find((patch) => patch.partition === partition);
  return offer && { offer, bytes: (ranges) => layers(offer.layerDigest, ranges) };
}

/** Slots for the largest frame there is, as many as are worth their memory. */
function planArena(bufferBytes: number, tables: readonly FrameTable[]): ArenaPlan {
  const contentBytes = tables.reduce((most, { frameSizeBytes }) => Math.max(most, frameSizeBytes), bufferBytes);
  const inputBytes = Math.ceil(frameLimitBytes(contentBytes) / blockBytes) * blockBytes;
  const slotBytes = inputBytes + contentBytes + 2 * blockBytes;
  return { contentBytes, inputBytes, slots: Math.max(2, Math.min(minSlots, Math.floor(arenaLimitBytes / slotBytes))) };
}

async function zeroFirstBlocks(opened: readonly OpenPartition[]): Promise<void> {
  for (const { device } of opened) {
    await device.zero(0, firstBlockBytes);
    await device.flush();
  }
}
