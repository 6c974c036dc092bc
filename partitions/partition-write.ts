import type { BlockDevice } from './block-device.ts';
import type { BodyJobs } from './body-jobs.ts';
import type { Checkpointer, CountedPartition } from './checkpoint.ts';
import { ContentDigest } from './content-digest.ts';
import { FrameSet } from './frame-set.ts';
import type { FrameTable } from './frame-table.ts';
import type { IndexHead } from './block-index/index-head.ts';
import type { IndexBytes } from './block-index/part-reader.ts';
import type { FrameWorkers } from './frames/frame-workers.ts';
import { IndexedBody } from './indexed-body.ts';
import { checkContent, ContentLimit, LayerCheck } from './layer-check.ts';
import { PartitionWriter } from './partition-writer.ts';
import { checkFrames, readBackDigest, readBackMismatch, type ReadBackParts } from './read-back.ts';
import { edgeFramesOf } from './reuse/edge-frames.ts';
import { fetchBytesOf, missingFrames } from './reuse/missing-frames.ts';
import { type OwnContent, PartitionReuse, type PatchSource } from './reuse/partition-reuse.ts';
import type { SharedArena } from './shared-arena.ts';
import type { LayerSource, WrittenSlot } from './slot-writer.ts';
import { StreamBody } from './stream-body.ts';
import type { TrustedPartition } from './trusted-descriptor.ts';
import type { WriteRun } from './write-run.ts';

/** What a partition's index says, and where more of it comes from. */
export interface IndexedPartition {
  readonly head: IndexHead;
  readonly table: FrameTable;
  readonly bytes: IndexBytes;
}

/** What one partition is written from, and by. */
export interface PartitionWriteParts {
  readonly signed: TrustedPartition;
  readonly device: BlockDevice;
  /** Where the image has an index of it. */
  readonly index: IndexedPartition | undefined;
  /** What the node has of its own; without it, only what is in place is found. */
  readonly own: OwnContent | undefined;
  /** A patch from what the booted slot may hold. */
  readonly patch: PatchSource | undefined;
  readonly arena: SharedArena;
  readonly jobs: BodyJobs;
  readonly workers: FrameWorkers;
  readonly run: WriteRun;
  readonly keepsEqual: boolean;
}

/** One partition on its way onto its device: body, first block, read-back, each when told to. */
export class PartitionWrite {
  /** What checkpoints count; `undefined` where there is no index to check it by. */
  readonly counted: CountedPartition | undefined;
  readonly #parts: PartitionWriteParts;
  readonly #writer: PartitionWriter;
  readonly #reuse: PartitionReuse | undefined;
  #content: { readonly sizeBytes: number; readonly digest: string | undefined } = { sizeBytes: 0, digest: undefined };

  constructor(parts: PartitionWriteParts) {
    const { signed, device, index, run, keepsEqual } = parts;
    this.#parts = parts;
    const beforeStep = () => run.checkSignal();
    this.#writer = new PartitionWriter(signed.name, device, { keepsEqual, beforeStep });
    this.counted = index && {
      name: signed.name,
      device,
      done: new FrameSet(index.table.count),
      writtenAgain: edgeFramesOf(index.table),
      contentBytesOf: (frames) => contentBytesOf(index.table, frames),
    };
    this.#reuse = index && this.counted && this.#reuseOf(index, this.counted.done);
  }

  /** What is there once it was verified. */
  get written(): WrittenSlot['partitions'][number] {
    const { sizeBytes, digest } = this.#content;
    return { name: this.#parts.signed.name, sizeBytes, digest: digest ?? '' };
  }

  /**
   * Keeps the frames at the edges that are in place, which the write destroys there; to be called before anything is
   * zeroed. What cannot be read is fetched.
   */
  async keepEdges(): Promise<void> {
    await this.#reuse?.keepEdges();
  }

  /**
   * Keeps those of the frames that `claimed` names which the device gives back with their signed digests; those at the
   * edges are never among them. Resolves to where it goes on, for people. Rejects with `slot-write-failed`.
   */
  async resume(claimed: Readonly<Record<string, Uint8Array>>): Promise<string> {
    const { signed, run } = this.#parts;
    const table = this.#parts.index?.table;
    const bits = Object.hasOwn(claimed, signed.name) ? claimed[signed.name] : undefined;
    if (table === undefined || this.counted === undefined) {
      return `partition ${signed.name} starts over: its layer has no block index to tell by what is there`;
    }
    if (bits === undefined) return `partition ${signed.name} starts over: the checkpoint says nothing of it`;
    const { done } = this.counted;
    const found = new FrameSet(table.count, bits);
    for (const index of this.counted.writtenAgain) found.remove(index);
    const wrong = await checkFrames(this.#readBackParts('write'), table, found);
    for (const index of wrong) found.remove(index);
    let foundCount = 0;
    for (const { index, contentSizeBytes } of table.frames()) {
      if (!found.has(index)) continue;
      foundCount += 1;
      done.add(index);
      run.addResumed(contentSizeBytes);
    }
    run.report('write', signed.name);
    return foundCount === 0
      ? `partition ${signed.name} starts over: the device has none of the frames of the checkpoint`
      : `partition ${signed.name} resumes with ${foundCount} of ${table.count} frames in place`;
  }

  /** Takes what the node has of the content already, by the index. */
  async findOwn(): Promise<void> {
    const { signed, jobs, run } = this.#parts;
    run.checkSignal();
    run.report('write', signed.name);
    try {
      await this.#reuse?.run();
    } finally {
      await jobs.settle();
    }
  }

  /** What of the layer is to be fetched. */
  get missingBytes(): number {
    const { signed, index } = this.#parts;
    const done = this.counted?.done;
    if (index === undefined || done === undefined) return signed.layerSizeBytes;
    return fetchBytesOf(missingFrames(index.table, done));
  }

  /** Writes and flushes all but the first block; what the node has is to be found first. */
  async writeBody(layers: LayerSource, checkpoints: Checkpointer | undefined): Promise<void> {
    const { signed, index, jobs, run } = this.#parts;
    run.checkSignal();
    run.report('write', signed.name);
    const onPlaced = (sizeBytes: number) => {
      run.addWritten(sizeBytes);
      run.report('write', signed.name);
      if (checkpoints !== undefined && index !== undefined) jobs.watch(checkpoints.saveIfDue());
    };
    try {
      if (index === undefined) await this.#writeStream(layers, onPlaced);
      else await this.#writeFrames(index.table, layers, onPlaced);
    } finally {
      await jobs.settle();
    }
    await this.#writer.finishBody(this.#content.sizeBytes);
    run.report('write', signed.name);
  }

  /** Writes the first block and flushes: the partition is complete then. */
  async writeFirstBlock(): Promise<void> {
    await this.#writer.writeFirstBlock();
    this.#parts.run.report('write', this.#parts.signed.name);
  }

  /** Reads all of the content back from the device. Rejects with `slot-verify-failed`. */
  async verify(): Promise<void> {
    const { signed } = this.#parts;
    const table = this.#parts.index?.table;
    const { sizeBytes, digest } = this.#content;
    const parts = this.#readBackParts('read-back');
    if (table !== undefined) {
      // Each frame has a signed digest, so that workers can share the work.
      const [wrong] = await checkFrames(parts, table);
      if (wrong !== undefined) throw readBackMismatch(signed.name, { frame: wrong, sizeBytes });
      if (digest !== undefined) return;
    }
    const found = await readBackDigest(parts, sizeBytes, digest);
    if (digest !== undefined && found !== digest) {
      throw readBackMismatch(signed.name, { want: digest, found, sizeBytes });
    }
    this.#content = { sizeBytes, digest: found };
  }

  /** Keeps what the next update finds this partition's blocks by; to be called once it was verified. */
  async keepDigests(): Promise<void> {
    await this.#reuse?.keep();
  }

  /** Lets go of what is open besides the device. */
  async close(): Promise<void> {
    await this.#reuse?.close();
  }

  #reuseOf({ head, table, bytes }: IndexedPartition, done: FrameSet): PartitionReuse {
    const { signed, own, patch, run } = this.#parts;
    const report = () => run.report('write', signed.name);
    const counted =
      (source: IndexBytes): IndexBytes =>
      (ranges) =>
        countBytes(source(ranges), (sizeBytes) => run.addFetched(sizeBytes));
    return new PartitionReuse({
      head,
      table,
      indexBytes: counted(bytes),
      patch: patch && { offer: patch.offer, bytes: counted(patch.bytes) },
      layerSizeBytes: signed.layerSizeBytes,
      done,
      writer: this.#writer,
      readBack: this.#readBackParts('write'),
      own,
      onKept: (sizeBytes) => run.addKept(sizeBytes),
      onCopied: (sizeBytes) => {
        run.addCopied(sizeBytes);
        report();
      },
      onPatched: (sizeBytes) => {
        run.addPatched(sizeBytes);
        report();
      },
    });
  }

  #readBackParts(step: 'write' | 'read-back'): ReadBackParts {
    const { signed, device, arena, jobs, workers, run } = this.#parts;
    const onRead = () => {
      run.checkSignal();
      run.report(step, signed.name);
    };
    return { name: signed.name, device, arena, jobs, workers, onRead };
  }

  async #writeFrames(table: FrameTable, layers: LayerSource, onPlaced: (sizeBytes: number) => void): Promise<void> {
    const { signed, arena, jobs, workers, run } = this.#parts;
    const done = this.counted?.done ?? new FrameSet(table.count);
    const onFetched = (sizeBytes: number) => run.addFetched(sizeBytes);
    const parts = { name: signed.name, table, done, writer: this.#writer, jobs, plan: arena.plan, workers };
    await new IndexedBody({ ...parts, onFetched, onPlaced }).run(signed.layerDigest, layers);
    await jobs.settle();
    jobs.throwFailure();
    this.#content = { sizeBytes: table.contentSizeBytes, digest: signed.contentDigest };
  }

  async #writeStream(layers: LayerSource, onPlaced: (sizeBytes: number) => void): Promise<void> {
    const { signed, arena, jobs, workers, run } = this.#parts;
    const check = new LayerCheck(signed, (sizeBytes) => run.addFetched(sizeBytes));
    const limit = new ContentLimit(signed, (endBytes) => this.#writer.assertFits(endBytes));
    // The content of a raw layer is the layer, whose digest is computed anyway.
    const isLayerDigest =
      signed.encoding === 'raw' && (signed.contentDigest ?? signed.layerDigest) === signed.layerDigest;
    const digest = isLayerDigest
      ? undefined
      : new ContentDigest(workers, `content ${signed.name}`, signed.contentDigest);
    const parts = { writer: this.#writer, limit, digest, jobs, plan: arena.plan, workers, onPlaced };
    await new StreamBody(parts).run(signed.encoding, check.pass(layers(signed.layerDigest)));
    await jobs.settle();
    jobs.throwFailure();
    check.assertProven();
    const found = digest === undefined ? signed.layerDigest : await digest.finish();
    checkContent(signed, limit.sizeBytes, found);
    this.#content = { sizeBytes: limit.sizeBytes, digest: found };
  }
}

function contentBytesOf(table: FrameTable, frames: FrameSet): number {
  let sizeBytes = 0;
  for (const { index, contentSizeBytes } of table.frames()) if (frames.has(index)) sizeBytes += contentSizeBytes;
  return sizeBytes;
}

async function* countBytes(
  source: AsyncIterable<Uint8Array>,
  onBytes: (sizeBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    onBytes(bytes.byteLength);
    yield bytes;
  }
}
