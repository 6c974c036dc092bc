import type { BlockDevice, SlotDevices } from './block-device.ts';
import { BufferRing } from './buffer-ring.ts';
import { PartitionError } from './errors.ts';
import { decodeLayer } from './frames/decode-layer.ts';
import { ContentCheck, LayerCheck } from './layer-check.ts';
import { firstBlockBytes, PartitionWriter } from './partition-writer.ts';
import { readBack } from './read-back.ts';
import { checkCoverage } from './slot-preflight.ts';
import type { LayerSource, SlotWriter, WriteProgress, WrittenSlot } from './slot-writer.ts';
import { TrustedDescriptor, type TrustedPartition } from './trusted-descriptor.ts';

/** One partition of the image with its opened device. */
interface OpenPartition {
  readonly signed: TrustedPartition;
  readonly device: BlockDevice;
}

/** A partition whose body is durable, and whose first block is still zero on the device. */
interface WrittenBody {
  readonly partition: OpenPartition;
  readonly writer: PartitionWriter;
  readonly sizeBytes: number;
  /** The signed digest, or what was computed in flight where signed bytes state none. */
  readonly digest: string;
}

// One buffer is filled while three are with the device; more gained nothing.
const ringBuffers = 4;

/** What one call of `write` counts and watches. */
class WriteRun {
  readonly #signal: AbortSignal;
  readonly #onProgress: (progress: WriteProgress) => void;
  readonly #layerSizeBytes: number;
  #fetchedBytes = 0;
  #writtenBytes = 0;

  constructor(image: TrustedDescriptor, onProgress: (progress: WriteProgress) => void, signal: AbortSignal) {
    this.#signal = signal;
    this.#onProgress = onProgress;
    this.#layerSizeBytes = image.facts.partitions.reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0);
  }

  /** Throws the reason of the signal when the caller wants to stop. */
  checkSignal(): void {
    this.#signal.throwIfAborted();
  }

  /** Reports; `fetched` and `written` are those of the partition under way. */
  report(step: WriteProgress['step'], partition: string, fetched = 0, written = 0): void {
    this.#onProgress({
      step,
      partition,
      fetchedBytes: this.#fetchedBytes + fetched,
      layerSizeBytes: this.#layerSizeBytes,
      writtenBytes: this.#writtenBytes + written,
    });
  }

  /** Adds what a partition came to. */
  add(fetched: number, written: number): void {
    this.#fetchedBytes += fetched;
    this.#writtenBytes += written;
  }
}

/** Streams an image onto a slot: fetched, decoded, checked and written as it comes, then read back from the device. */
export class StreamingSlotWriter implements SlotWriter {
  readonly #devices: SlotDevices;
  readonly #bufferBytes: number;

  /** `bufferBytes` is the size of one device write, a multiple of 4096; 1 MiB unless told. Throws a `RangeError`. */
  constructor(options: { devices: SlotDevices; bufferBytes?: number }) {
    this.#devices = options.devices;
    this.#bufferBytes = options.bufferBytes ?? 1024 * 1024;
    if (!Number.isInteger(this.#bufferBytes) || this.#bufferBytes < 4096 || this.#bufferBytes % 4096 !== 0) {
      throw new RangeError(`cannot write slots: bufferBytes is ${this.#bufferBytes}, want a multiple of 4096`);
    }
  }

  /** See `SlotWriter`. Throws besides `slot-device-refused` when the image does not cover the slot's partitions. */
  async write(
    slot: 'a' | 'b',
    image: TrustedDescriptor,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
  ): Promise<WrittenSlot> {
    if (!TrustedDescriptor.isMinted(image)) {
      throw new Error('internal: cannot write a slot: the image carries no proof of trust');
    }
    signal.throwIfAborted();
    checkCoverage(slot, image.facts, await this.#devices.sizes(slot));
    const run = new WriteRun(image, onProgress, signal);
    const opened: OpenPartition[] = [];
    try {
      for (const signed of image.facts.partitions) {
        opened.push({ signed, device: await this.#devices.open(slot, signed.name) });
      }
      return await this.#writeOpened(image.facts.manifestDigest, opened, layers, run);
    } finally {
      // Everything that counts was flushed before; what close says of it changes nothing.
      await Promise.allSettled(opened.map(({ device }) => device.close()));
    }
  }

  async #writeOpened(
    manifestDigest: string,
    opened: readonly OpenPartition[],
    layers: LayerSource,
    run: WriteRun,
  ): Promise<WrittenSlot> {
    // A device may have shrunk since its size was read, and nothing is touched before all are known to fit.
    const sizes = new Map(opened.map(({ signed, device }) => [signed.name, device.sizeBytes]));
    for (const { signed } of opened) checkFits(signed, sizes.get(signed.name) ?? 0);
    const ring = new BufferRing(
      opened.map(({ device }) => device),
      ringBuffers,
      this.#bufferBytes,
    );
    try {
      // Power lost here: some first blocks are zero, the others belong to the old image; the loader has the slot as
      // bad since before, and nothing of the new image is on it.
      await zeroFirstBlocks(opened);
      const bodies: WrittenBody[] = [];
      // Power lost here: every first block is zero. No file system of this slot mounts, so a half-written slot is
      // never taken for a whole one even if the loader's mark were lost.
      for (const partition of opened) bodies.push(await writeBody(partition, layers, ring, run));
      for (const { partition, writer } of bodies) {
        // Power lost here: each partition is either complete and durable or has a zero first block. The loader still
        // has the slot as bad, and nothing but a full write and read-back leads to its activation.
        run.checkSignal();
        await writer.writeFirstBlock();
        run.report('write', partition.signed.name);
      }
      // Power lost from here on: the slot is complete and still bad at the loader; it is written again.
      for (const body of bodies) await verifyBody(body, ring, run);
      run.report('finish', opened.at(-1)?.signed.name ?? '');
      return {
        manifestDigest,
        partitions: bodies.map(({ partition, sizeBytes, digest }) => ({
          name: partition.signed.name,
          sizeBytes,
          digest,
        })),
      };
    } catch (error) {
      // The reason to fail is the first error; a device that does not even zero now has the loader's mark against it.
      await Promise.allSettled(opened.map((partition) => zeroFirstBlocks([partition])));
      throw error;
    }
  }
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

async function zeroFirstBlocks(opened: readonly OpenPartition[]): Promise<void> {
  for (const { device } of opened) {
    await device.zero(0, firstBlockBytes);
    await device.flush();
  }
}

async function writeBody(
  partition: OpenPartition,
  layers: LayerSource,
  ring: BufferRing,
  run: WriteRun,
): Promise<WrittenBody> {
  const { signed, device } = partition;
  const layerCheck = new LayerCheck(signed);
  const contentCheck = new ContentCheck(signed);
  const writer: PartitionWriter = new PartitionWriter(signed.name, device, ring, () => {
    run.checkSignal();
    run.report('write', signed.name, layerCheck.fetchedBytes, writer.contentBytes);
  });
  try {
    run.checkSignal();
    run.report('write', signed.name);
    const content = decodeLayer(signed.encoding, layerCheck.pass(layers(signed.layerDigest)));
    for await (const bytes of content) {
      contentCheck.update(bytes);
      await writer.write(bytes);
    }
    layerCheck.assertProven();
    const { sizeBytes, digest } = contentCheck.finish();
    await writer.finishBody();
    run.add(layerCheck.fetchedBytes, sizeBytes);
    run.report('write', signed.name);
    return { partition, writer, sizeBytes, digest };
  } finally {
    await writer.settle();
  }
}

async function verifyBody(body: WrittenBody, ring: BufferRing, run: WriteRun): Promise<void> {
  const { signed, device } = body.partition;
  const found = await readBack(device, body.sizeBytes, body.digest, ring, () => {
    run.checkSignal();
    run.report('read-back', signed.name);
  });
  if (found === body.digest) return;
  throw new PartitionError(
    'slot-verify-failed',
    `cannot verify partition ${signed.name}: the device gives back ${found}, not what was written`,
    { details: { partition: signed.name, want: body.digest, found, sizeBytes: body.sizeBytes } },
  );
}
