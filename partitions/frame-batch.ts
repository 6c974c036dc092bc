import type { FrameInMemory, FrameTask } from './frames/frame-tasks.ts';
import type { ArenaPlan, ArenaSlot } from './shared-arena.ts';

/** Frames that follow one another in the content, in one slot: one task of a worker, and one write of the device. */
export class FrameBatch {
  readonly slot: ArenaSlot;
  /** Where the content of the first frame begins in the partition. */
  readonly contentOffset: number;
  readonly #plan: ArenaPlan;
  readonly #frames: FrameInMemory[] = [];
  readonly #digests: Uint8Array[] = [];
  #inputBytes = 0;
  #contentBytes = 0;

  constructor(slot: ArenaSlot, plan: ArenaPlan, contentOffset: number) {
    this.slot = slot;
    this.#plan = plan;
    this.contentOffset = contentOffset;
  }

  get contentBytes(): number {
    return this.#contentBytes;
  }

  get frameCount(): number {
    return this.#frames.length;
  }

  /** Whether a frame of at most `inputBytes`, with content that begins at `contentOffset`, belongs in here. */
  takes(inputBytes: number, contentOffset: number, contentBytes: number): boolean {
    return (
      contentOffset === this.contentOffset + this.#contentBytes &&
      this.#inputBytes + inputBytes <= this.#plan.inputBytes &&
      this.#contentBytes + contentBytes <= this.#plan.contentBytes
    );
  }

  /** Memory for up to `sizeBytes` of the next frame, of which `filledBytes` are there. */
  room(filledBytes: number, sizeBytes: number): Uint8Array {
    return this.slot.input.subarray(this.#inputBytes + filledBytes, this.#inputBytes + sizeBytes);
  }

  /** Ends a frame whose `inputBytes` were put into `room`; `sha256` is what its content must have. */
  add(inputBytes: number, contentBytes: number, sha256?: Uint8Array): void {
    this.#frames.push({ inputAt: this.slot.inputAt + this.#inputBytes, inputBytes, contentBytes });
    if (sha256 !== undefined) this.#digests.push(sha256);
    this.#inputBytes += inputBytes;
    this.#contentBytes += contentBytes;
  }

  /** The task that decodes the batch. */
  task(): FrameTask {
    const task = { kind: 'decode', frames: this.#frames, outputAt: this.slot.outputAt(this.contentOffset) } as const;
    return this.#digests.length === 0 ? task : { ...task, digests: Buffer.concat(this.#digests) };
  }
}
