import type { BlockDevice } from '../block-device.ts';
import { blockBytes } from '../block-index/layout.ts';
import type { BodyJobs } from '../body-jobs.ts';
import type { FrameWorkers } from '../frames/frame-workers.ts';
import type { ArenaSlot, SharedArena } from '../shared-arena.ts';
import type { DigestDraft } from './digest-list.ts';
import { asHint, HintFailure } from './hint-failure.ts';

/** What blocks are read and hashed with. */
export interface BlockHasherParts {
  readonly device: BlockDevice;
  readonly arena: SharedArena;
  readonly jobs: BodyJobs;
  readonly workers: FrameWorkers;
  /** Hears of each part that was read. */
  readonly onRead: () => void;
}

/** Reads blocks of a device and hashes them in the workers. */
export class BlockHasher {
  /** The whole blocks of the device. */
  readonly blockCount: number;
  readonly #parts: BlockHasherParts;
  readonly #partBlocks: number;

  constructor(parts: BlockHasherParts) {
    this.#parts = parts;
    this.blockCount = Math.floor(parts.device.sizeBytes / blockBytes);
    this.#partBlocks = Math.floor(parts.arena.plan.contentBytes / blockBytes);
  }

  /** The digests of `blockCount` blocks from `firstBlock` on. Rejects with a `HintFailure`. */
  async *hash(firstBlock: number, blockCount: number): AsyncGenerator<Uint8Array> {
    const { jobs, onRead } = this.#parts;
    const endBlock = firstBlock + blockCount;
    for (let block = firstBlock; block < endBlock; block += this.#partBlocks) {
      const slot = await jobs.take();
      let digests: Uint8Array;
      try {
        digests = await this.#hashPart(slot, block, Math.min(this.#partBlocks, endBlock - block));
      } finally {
        jobs.drop(slot);
      }
      onRead();
      yield digests;
    }
  }

  /** Puts the digests of those blocks into `list`, several parts at once. Rejects with a `HintFailure`. */
  async hashInto(list: DigestDraft, firstBlock: number, blockCount: number): Promise<void> {
    const { jobs, onRead } = this.#parts;
    const endBlock = firstBlock + blockCount;
    const failures: HintFailure[] = [];
    for (let block = firstBlock; block < endBlock && failures.length === 0; block += this.#partBlocks) {
      const slot = await jobs.take();
      jobs.start(slot, async () => {
        try {
          const digests = await this.#hashPart(slot, block, Math.min(this.#partBlocks, endBlock - block));
          await asHint(() => list.write(block, digests));
        } catch (error) {
          if (!(error instanceof HintFailure)) throw error;
          failures.push(error);
        }
        onRead();
      });
    }
    await jobs.settle();
    jobs.throwFailure();
    if (failures[0] !== undefined) throw failures[0];
  }

  async #hashPart(slot: ArenaSlot, block: number, blockCount: number): Promise<Uint8Array> {
    const { device, workers } = this.#parts;
    const offset = block * blockBytes;
    const sizeBytes = blockCount * blockBytes;
    await asHint(() => device.read(slot.view(offset, sizeBytes), offset));
    const span = { at: slot.outputAt(offset), sizeBytes };
    const { blockDigests } = await workers.run({ kind: 'digest-blocks', span });
    return blockDigests ?? new Uint8Array(0);
  }
}
