import type { BodyJobs } from './body-jobs.ts';
import type { ContentDigest } from './content-digest.ts';
import { FrameBatch } from './frame-batch.ts';
import { decodeGzip } from './frames/decode-gzip.ts';
import { bytesOfFrame, cutIntoPieces, decodeStreaming } from './frames/decode-zstd.ts';
import { frameLimitBytes } from './frames/frame.ts';
import { isZero, type MemorySpan } from './frames/frame-tasks.ts';
import type { FrameWorkers } from './frames/frame-workers.ts';
import type { ZstdPiece } from './frames/zstd-boundaries.ts';
import { PartitionError } from './errors.ts';
import type { ContentLimit } from './layer-check.ts';
import type { PartitionWriter } from './partition-writer.ts';
import { type ArenaPlan, type ArenaSlot, blockBytes } from './shared-arena.ts';
import type { LayerEncoding } from './trusted-descriptor.ts';

/** What a layer's bytes pass through on their way to the device. */
export interface StreamBodyParts {
  readonly writer: PartitionWriter;
  readonly limit: ContentLimit;
  /** `undefined` where the digest of the content is known from the layer's own. */
  readonly digest: ContentDigest | undefined;
  readonly jobs: BodyJobs;
  readonly plan: ArenaPlan;
  readonly workers: FrameWorkers;
  /** Hears of content that the device has taken. */
  readonly onPlaced: (sizeBytes: number) => void;
}

/**
 * The body of a partition from a layer without an index: read once, from its start to its end. zstd frames that fit
 * into a slot are decoded by the workers side by side; what is larger, or is no zstd, is decoded as it comes.
 */
export class StreamBody {
  readonly #parts: StreamBodyParts;
  #batch: FrameBatch | undefined;
  #filling: { readonly slot: ArenaSlot; readonly offset: number; sizeBytes: number } | undefined;

  constructor(parts: StreamBodyParts) {
    this.#parts = parts;
  }

  /**
   * Takes all of `layer`. Resolves when its last job has begun. Rejects with `layer-corrupt`, `download-truncated`,
   * `layer-too-large`, `slot-too-small`, what a job failed of, or the error of `layer`.
   */
  async run(encoding: LayerEncoding, layer: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      if (encoding === 'zstd') await this.#takeFrames(layer);
      else for await (const bytes of encoding === 'gzip' ? decodeGzip(layer) : layer) await this.#fill(bytes);
      this.#submitBatch();
      this.#submitFilling();
    } finally {
      for (const open of [this.#batch, this.#filling]) if (open !== undefined) this.#parts.jobs.drop(open.slot);
    }
  }

  async #takeFrames(layer: AsyncIterable<Uint8Array>): Promise<void> {
    const pieces = cutIntoPieces(layer);
    try {
      for (;;) {
        const { value: piece } = await pieces.next();
        if (piece === undefined) return;
        if (piece.kind !== 'start') continue;
        const { contentSizeBytes } = piece.header;
        if (contentSizeBytes !== undefined && contentSizeBytes <= this.#parts.plan.contentBytes) {
          await this.#takeFrame(pieces, contentSizeBytes);
          continue;
        }
        this.#submitBatch();
        for await (const bytes of decodeStreaming(bytesOfFrame(pieces), piece.header)) await this.#fill(bytes);
      }
    } finally {
      await pieces.return(undefined);
    }
  }

  async #takeFrame(pieces: AsyncGenerator<ZstdPiece, undefined>, contentBytes: number): Promise<void> {
    const { jobs, limit, plan } = this.#parts;
    this.#submitFilling();
    const inputLimitBytes = frameLimitBytes(contentBytes);
    const offset = limit.advance(contentBytes);
    if (this.#batch?.takes(inputLimitBytes, offset, contentBytes) === false) this.#submitBatch();
    const batch = (this.#batch ??= new FrameBatch(await jobs.take(), plan, offset));
    let inputBytes = 0;
    for await (const bytes of bytesOfFrame(pieces)) {
      if (inputBytes + bytes.byteLength > inputLimitBytes) {
        throw new PartitionError(
          'layer-corrupt',
          `cannot decode the layer: a frame of ${contentBytes} bytes has more than ${inputLimitBytes} compressed`,
        );
      }
      batch.room(inputBytes, inputLimitBytes).set(bytes);
      inputBytes += bytes.byteLength;
    }
    batch.add(inputBytes, contentBytes);
  }

  #submitBatch(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) return;
    const decoded = this.#parts.workers.run(batch.task());
    this.#start(batch.slot, batch.contentOffset, batch.contentBytes, decoded);
  }

  /** Collects content that comes in pieces until a slot is full, and what follows it begins at a block. */
  async #fill(bytes: Uint8Array): Promise<void> {
    const { jobs, limit, plan } = this.#parts;
    for (let at = 0; at < bytes.byteLength;) {
      const filling = (this.#filling ??= { slot: await jobs.take(), offset: limit.sizeBytes, sizeBytes: 0 });
      const limitBytes = plan.contentBytes - (filling.offset % blockBytes);
      const part = bytes.subarray(at, at + limitBytes - filling.sizeBytes);
      limit.advance(part.byteLength);
      filling.slot.view(filling.offset, limitBytes).set(part, filling.sizeBytes);
      filling.sizeBytes += part.byteLength;
      at += part.byteLength;
      if (filling.sizeBytes === limitBytes) this.#submitFilling();
    }
  }

  #submitFilling(): void {
    const filling = this.#filling;
    this.#filling = undefined;
    if (filling === undefined) return;
    const { slot, offset, sizeBytes } = filling;
    this.#start(slot, offset, sizeBytes, Promise.resolve({ isZero: isZero(slot.view(offset, sizeBytes)) }));
  }

  #start(slot: ArenaSlot, offset: number, sizeBytes: number, ready: Promise<{ readonly isZero?: boolean }>): void {
    const { jobs, digest, writer, onPlaced } = this.#parts;
    const span = ready.then((): MemorySpan => ({ at: slot.outputAt(offset), sizeBytes }));
    const hashed = digest === undefined ? span : digest.add(span);
    jobs.start(slot, async () => {
      await hashed;
      if ((await ready).isZero === true) await writer.zero(offset, sizeBytes);
      else await writer.place(offset, slot.view(offset, sizeBytes), slot.input);
      onPlaced(sizeBytes);
    });
  }
}
