import type { BlockDevice } from '../block-device.ts';
import type { IndexHead } from '../block-index/index-head.ts';
import { mergeRanges } from '../block-index/merge-ranges.ts';
import type { IndexBytes } from '../block-index/part-reader.ts';
import { defaultRequestBytes, readSegments } from '../block-index/read-index.ts';
import { FrameSet } from '../frame-set.ts';
import type { FrameTable } from '../frame-table.ts';
import type { PartitionWriter } from '../partition-writer.ts';
import { checkFrames, type ReadBackParts } from '../read-back.ts';
import type { PatchOffer } from '../slot-writer.ts';
import { BlockHasher } from './block-hasher.ts';
import { agreesWith, hasSegmentsOf } from './booted-digests.ts';
import type { DigestDraft, DigestList, DigestLists } from './digest-list.ts';
import { findBlocks } from '../delta/find-blocks.ts';
import { writeFoundFrames } from './found-frames.ts';
import { takeEdgeFrames } from './edge-frames.ts';
import { asHint, HintFailure } from './hint-failure.ts';
import { fetchBytesOf, missingFrames, sizeOf, segmentsOfMissing } from './missing-frames.ts';
import { PatchedFrames } from './patched-frames.ts';
import { SegmentTable } from './known-segments.ts';

/** So many frames of the inactive slot are looked at before all of them are. */
const sampledFrames = 64;

/** What a node has of its own for one slot. */
export interface OwnContent {
  readonly slot: 'a' | 'b';
  readonly lists: DigestLists;
  /** Opens a partition of the booted slot for reading. */
  readonly openBooted: (partition: string) => Promise<BlockDevice>;
  /** Hears of what could not be reused, and why. */
  readonly onFault: (error: unknown) => void;
}

/** A patch of the partition, and where its bytes come from. */
export interface PatchSource {
  readonly offer: PatchOffer;
  readonly bytes: IndexBytes;
}

/** What of one partition is looked for, and with what. */
export interface PartitionReuseParts {
  readonly head: IndexHead;
  readonly table: FrameTable;
  readonly indexBytes: IndexBytes;
  /** Frames that are on the device; those that are found are added. */
  readonly done: FrameSet;
  readonly writer: PartitionWriter;
  /** How the inactive slot is read. */
  readonly readBack: ReadBackParts;
  /** Without it, only what is in place is found. */
  readonly own: OwnContent | undefined;
  /** What may give what the node does not have. */
  readonly patch: PatchSource | undefined;
  /** The size of the layer that the frames come in. */
  readonly layerSizeBytes: number;
  /** Hears of content that was in place. */
  readonly onKept: (sizeBytes: number) => void;
  /** Hears of content that came from the booted slot. */
  readonly onCopied: (sizeBytes: number) => void;
  /** Hears of content that came out of the patch. */
  readonly onPatched: (sizeBytes: number) => void;
}

/**
 * Spares the fetching of what the node has already: frames in place in the inactive slot, and frames whose blocks are
 * anywhere in the booted one. Digests of blocks only say where to look; a frame counts when its content was read and has
 * its signed SHA-256. More of the index is fetched for it only as far as the bytes that were spared before pay for it, so
 * that never more than the whole image is fetched.
 */
export class PartitionReuse {
  readonly #parts: PartitionReuseParts;
  readonly #wholeBytes: number;
  #draft: DigestDraft | undefined;
  #patchBytes = 0;
  /** Segments whose digests the draft does not have, ascending. */
  #unknown: readonly number[] = [];

  constructor(parts: PartitionReuseParts) {
    this.#parts = parts;
    this.#wholeBytes = fetchBytesOf(missingFrames(parts.table));
  }

  /**
   * Adds to `done` the frames with the first block and with a cut last one, where they are in place: these blocks come
   * from memory in their turn. To be called before the first block is zeroed; after a crash it is zero, and its frame is
   * fetched.
   */
  async keepEdges(): Promise<void> {
    const { table, done, writer, readBack, onKept } = this.#parts;
    try {
      for (const { index, contentSizeBytes } of await takeEdgeFrames(readBack, table, writer)) {
        done.add(index);
        onKept(contentSizeBytes);
      }
    } catch (error) {
      await this.#giveUp(error);
    }
  }

  /**
   * Writes what is found, and adds it to `done`. Whatever the node has cannot make it fail: what cannot be used is told to
   * `onFault` and fetched. Rejects with `slot-write-failed` of the inactive slot, or with an error of `indexBytes`.
   */
  async run(): Promise<void> {
    await this.#keepInPlace();
    const { own, table, done } = this.#parts;
    if (own === undefined || fetchBytesOf(missingFrames(table, done)) === 0) return;
    try {
      await this.#copyFromBooted(own);
    } catch (error) {
      await this.#giveUp(error);
    }
  }

  /** Keeps the digests of a partition that was written and verified, for the next update to find its blocks by. */
  async keep(): Promise<void> {
    const draft = this.#draft;
    if (draft === undefined) return;
    const hasher = this.#hasherOf(this.#parts.readBack.device);
    try {
      for (const { block, blockCount } of this.#unknownRuns()) await hasher.hashInto(draft, block, blockCount);
      await asHint(() => draft.keep());
      await this.close();
    } catch (error) {
      await this.#giveUp(error);
    }
  }

  /** Lets go of what is open. */
  async close(): Promise<void> {
    await this.#draft?.close();
    this.#draft = undefined;
  }

  async #giveUp(error: unknown): Promise<void> {
    if (!(error instanceof HintFailure)) throw error;
    this.#parts.own?.onFault(error);
    await this.close().catch(this.#parts.own?.onFault);
  }

  /** What another image, or a run that was killed, left at the right place. */
  async #keepInPlace(): Promise<void> {
    const { table, done, readBack, onKept } = this.#parts;
    const missing = new FrameSet(table.count);
    const listed: number[] = [];
    // The first block is zero: the frame with it is not in place any more.
    const end = table.count - (table.endsInBlock ? 1 : 0);
    for (let index = 1; index < end; index += 1) {
      if (done.has(index)) continue;
      missing.add(index);
      if (!table.frame(index).isZero) listed.push(index);
    }
    const sample = new FrameSet(table.count);
    const step = Math.max(1, Math.floor(listed.length / sampledFrames));
    const sampled = listed.filter((_frame, at) => at % step === 0);
    for (const index of sampled) sample.add(index);
    const wrongSampled = await checkFrames(readBack, table, sample);
    if (sampled.length > 0 && wrongSampled.length === sampled.length) return;
    for (const index of await checkFrames(readBack, table, missing)) missing.remove(index);
    for (const { index, contentSizeBytes } of table.frames()) {
      if (!missing.has(index)) continue;
      done.add(index);
      onKept(contentSizeBytes);
    }
  }

  async #copyFromBooted(own: OwnContent): Promise<void> {
    const { head, readBack } = this.#parts;
    const booted = await asHint(() => own.openBooted(readBack.name));
    let digests: DigestList | undefined;
    try {
      const segments = new SegmentTable(head);
      digests = await this.#digestsOf(booted, segments, own);
      const draft = digests && (await this.#beginDraft(segments, digests, own));
      if (digests !== undefined && draft !== undefined) await this.#copyFrames(booted, digests, draft);
      // Before more of the index is fetched: a patch for this very node gives what it would lead to.
      await this.#patchFrames(booted, own);
      if (digests === undefined || draft === undefined) return;
      if (await this.#learnMore(draft)) await this.#copyFrames(booted, digests, draft);
    } finally {
      await Promise.allSettled([booted.close(), digests?.close()]);
    }
  }

  /** A list for the image, with the digests of the segments that are known. */
  async #beginDraft(segments: SegmentTable, known: DigestList, own: OwnContent): Promise<DigestDraft> {
    const { head, readBack } = this.#parts;
    const draft = await asHint(() => own.lists.create(own.slot, readBack.name, head.blockCount));
    this.#draft = draft;
    this.#unknown = await asHint(() => segments.putKnown(known, draft));
    return draft;
  }

  /** Takes from the patch what is missing; whatever is wrong with it costs nothing but the bytes that were spared. */
  async #patchFrames(booted: BlockDevice, own: OwnContent): Promise<void> {
    const { patch, head, table, done, writer, readBack, layerSizeBytes, onPatched: onPlaced } = this.#parts;
    if (patch === undefined || fetchBytesOf(missingFrames(table, done)) === 0) return;
    const { jobs, arena, workers } = readBack;
    const digestsSizeBytes = head.layerSizeBytes - head.digestsOffsetBytes;
    const spareBytes = () => this.#wholeBytes + digestsSizeBytes - fetchBytesOf(missingFrames(table, done));
    const parts = {
      ...patch,
      table,
      done,
      jobs,
      plan: arena.plan,
      writer,
      workers,
      layerSizeBytes,
      spareBytes,
      onPlaced,
    };
    const frames = new PatchedFrames(parts);
    try {
      await frames.run(booted);
    } catch (error) {
      if (!(error instanceof HintFailure)) throw error;
      own.onFault(error);
    } finally {
      this.#patchBytes = frames.fetchedBytes;
    }
  }

  /** The digests of the booted slot: those that were kept, or by reading all of it. */
  async #digestsOf(booted: BlockDevice, segments: SegmentTable, own: OwnContent): Promise<DigestList | undefined> {
    const { name } = this.#parts.readBack;
    const hasher = this.#hasherOf(booted);
    const slot = own.slot === 'a' ? 'b' : 'a';
    const kept = await asHint(() => own.lists.find(slot, name));
    if (kept !== undefined) {
      if (await agreesWith(kept, hasher)) return kept;
      await kept.close();
    }
    if (!(await hasSegmentsOf(segments, hasher))) return undefined;
    const draft = await asHint(() => own.lists.create(slot, name, hasher.blockCount));
    try {
      await hasher.hashInto(draft, 0, hasher.blockCount);
      await asHint(() => draft.keep());
    } finally {
      await draft.close();
    }
    return asHint(() => own.lists.find(slot, name));
  }

  async #copyFrames(booted: BlockDevice, known: DigestList, wanted: DigestDraft): Promise<void> {
    const { table, done, writer, readBack, onCopied: onPlaced } = this.#parts;
    const { jobs, arena, workers } = readBack;
    const extents = await asHint(() => findBlocks(wanted, undefined, known));
    await writeFoundFrames({ table, done, booted, writer, jobs, plan: arena.plan, workers, onPlaced }, extents);
  }

  /** Fetches the digests of segments that hold missing blocks, where that is paid for. */
  async #learnMore(draft: DigestDraft): Promise<boolean> {
    const { head, table, done, indexBytes } = this.#parts;
    const wanted = segmentsOfMissing(head, table, done, this.#unknown);
    const ranges = wanted.map((index) => head.segment(index).digests);
    const costBytes = sizeOf(mergeRanges(ranges, defaultRequestBytes));
    const sparedBytes = this.#wholeBytes - fetchBytesOf(missingFrames(table, done)) - this.#patchBytes;
    if (wanted.length === 0 || costBytes > sparedBytes) return false;
    let failure: HintFailure | undefined;
    // A layer is read to its end, whatever becomes of it.
    for await (const { segment, digests } of readSegments(head, indexBytes, wanted)) {
      if (failure !== undefined) continue;
      await asHint(() => draft.write(segment.firstBlock, digests)).catch((error: unknown) => {
        if (!(error instanceof HintFailure)) throw error;
        failure = error;
      });
    }
    if (failure !== undefined) throw failure;
    const learnt = new Set(wanted);
    this.#unknown = this.#unknown.filter((index) => !learnt.has(index));
    return true;
  }

  #hasherOf(device: BlockDevice): BlockHasher {
    const { arena, jobs, workers, onRead } = this.#parts.readBack;
    return new BlockHasher({ device, arena, jobs, workers, onRead: () => onRead(0) });
  }

  *#unknownRuns(): Generator<{ readonly block: number; readonly blockCount: number }> {
    let run: { block: number; blockCount: number } | undefined;
    for (const index of this.#unknown) {
      const { firstBlock, blockCount } = this.#parts.head.segment(index);
      if (run !== undefined && run.block + run.blockCount === firstBlock) {
        run.blockCount += blockCount;
        continue;
      }
      if (run !== undefined) yield run;
      run = { block: firstBlock, blockCount };
    }
    if (run !== undefined) yield run;
  }
}
