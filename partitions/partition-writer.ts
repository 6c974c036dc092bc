import type { BlockDevice } from './block-device.ts';
import { EdgeBlocks } from './edge-blocks.ts';
import { PartitionError } from './errors.ts';
import { isZero } from './frames/frame-tasks.ts';
import { blockBytes } from './shared-arena.ts';

/** What is held back until all bodies are durable: superblocks of the file systems we know begin in it. */
export const firstBlockBytes = blockBytes;

// Zeroing has no hardware help on every device: in steps, so that it can be cancelled.
const zeroStepBytes = 64 * 1024 * 1024;
const scratchBytes = 1024 * 1024;

/** How a partition is written. */
export interface PartitionWriterOptions {
  /** Whether blocks that hold the right content already are read and left alone. */
  readonly keepsEqual: boolean;
  /** Called before each step, and may throw to end the writing. */
  readonly beforeStep: () => void;
}

/**
 * Puts one partition's content on its device, in any order: everything but the first block as it comes, the first block
 * when told to. Content that begins or ends inside a block is put together with its neighbours first.
 */
export class PartitionWriter {
  readonly name: string;
  readonly device: BlockDevice;
  /** The bytes that content may have: whole sectors of the device. */
  readonly usableBytes: number;
  readonly #options: PartitionWriterOptions;
  readonly #edges = new EdgeBlocks();
  readonly #firstBlock = new Uint8Array(firstBlockBytes);
  /** For single blocks, one after the other, and what is there now. */
  readonly #block: Uint8Array;
  #blockTurn: Promise<unknown> = Promise.resolve();
  #zeroTurn: Promise<unknown> = Promise.resolve();
  #zeroScratch: Uint8Array | undefined;

  constructor(name: string, device: BlockDevice, options: PartitionWriterOptions) {
    this.name = name;
    this.device = device;
    this.usableBytes = device.sizeBytes - (device.sizeBytes % device.alignmentBytes);
    this.#options = options;
    this.#block = device.allocate(2 * blockBytes);
  }

  /** Throws `slot-too-small` when content up to `endBytes` does not fit. */
  assertFits(endBytes: number): void {
    if (endBytes <= this.usableBytes) return;
    throw new PartitionError(
      'slot-too-small',
      `cannot write partition ${this.name}: the content is larger than its ${this.device.sizeBytes} bytes`,
      { details: { partition: this.name, sizeBytes: this.device.sizeBytes } },
    );
  }

  /**
   * Writes `content`, which lies in memory as `offset` lies in its block, and resolves when the device has taken it.
   * `scratch` is memory of the same size for what is there now. Rejects with `slot-write-failed`.
   */
  async place(offset: number, content: Uint8Array, scratch: Uint8Array): Promise<void> {
    this.#options.beforeStep();
    const endBytes = offset + content.byteLength;
    const bodyStart = Math.max(Math.ceil(offset / blockBytes) * blockBytes, firstBlockBytes);
    const bodyEnd = Math.floor(endBytes / blockBytes) * blockBytes;
    if (bodyEnd <= bodyStart) {
      await this.#placeEdges(offset, content);
      return;
    }
    await this.#placeEdges(offset, content.subarray(0, bodyStart - offset));
    const body = content.subarray(bodyStart - offset, bodyEnd - offset);
    if (!(await this.#holds(bodyStart, body, scratch))) await this.device.write(body, bodyStart);
    await this.#placeEdges(bodyEnd, content.subarray(bodyEnd - offset));
  }

  /** Makes a range zeros, in steps. Rejects with `slot-write-failed`. */
  async zero(offset: number, sizeBytes: number): Promise<void> {
    for (let at = offset; at < offset + sizeBytes; at += zeroStepBytes) {
      await this.#zeroStep(at, Math.min(at + zeroStepBytes, offset + sizeBytes));
    }
  }

  /**
   * Writes what is left of a body of `contentBytes`, zeroes the rest of the partition and flushes: all but the first
   * block is durable then. Rejects with `slot-write-failed`.
   */
  async finishBody(contentBytes: number): Promise<void> {
    const lastBlock = Math.floor(contentBytes / blockBytes);
    const last = lastBlock === 0 ? undefined : this.#edges.take(lastBlock);
    if (last !== undefined) await this.#writeBlock(lastBlock, last);
    const bodyEnd = Math.max(Math.ceil(contentBytes / blockBytes) * blockBytes, firstBlockBytes);
    await this.zero(bodyEnd, this.usableBytes - bodyEnd);
    await this.device.flush();
  }

  /** Writes the first block and flushes: the partition is complete then. Rejects with `slot-write-failed`. */
  async writeFirstBlock(): Promise<void> {
    this.#block.set(this.#firstBlock);
    await this.device.write(this.#block.subarray(0, firstBlockBytes), 0);
    await this.device.flush();
  }

  async #placeEdges(offset: number, content: Uint8Array): Promise<void> {
    for (let at = 0; at < content.byteLength;) {
      const inBlock = (offset + at) % blockBytes;
      const index = (offset + at - inBlock) / blockBytes;
      const part = content.subarray(at, at + blockBytes - inBlock);
      at += part.byteLength;
      if (index === 0) {
        this.#firstBlock.set(part, inBlock);
        continue;
      }
      const whole = part.byteLength === blockBytes ? part : this.#edges.add(index, inBlock, part);
      if (whole !== undefined) await this.#writeBlock(index, whole);
    }
  }

  async #writeBlock(index: number, bytes: Uint8Array): Promise<void> {
    const offset = index * blockBytes;
    const write = this.#blockTurn.then(async () => {
      const sizeBytes = Math.min(blockBytes, this.usableBytes - offset);
      this.#block.set(bytes);
      const block = this.#block.subarray(0, sizeBytes);
      const scratch = this.#block.subarray(blockBytes);
      if (!(await this.#holds(offset, block, scratch))) await this.device.write(block, offset);
    });
    this.#blockTurn = write.catch(() => undefined);
    await write;
  }

  /** Zeroes from `start` to `end`; of blocks of which only a part is zeroed, the part. */
  async #zeroStep(start: number, end: number): Promise<void> {
    this.#options.beforeStep();
    const bodyStart = Math.max(Math.ceil(start / blockBytes) * blockBytes, firstBlockBytes);
    const bodyEnd = end === this.usableBytes ? end : Math.floor(end / blockBytes) * blockBytes;
    if (bodyEnd > bodyStart) await this.#zeroBody(bodyStart, bodyEnd - bodyStart);
    for (const [from, to] of [
      [start, Math.min(bodyStart, end)],
      [Math.max(bodyStart, bodyEnd), end],
    ] as const) {
      if (to > from) await this.#placeEdges(from, new Uint8Array(to - from));
    }
  }

  async #zeroBody(offset: number, sizeBytes: number): Promise<void> {
    if (!this.#options.keepsEqual) {
      await this.device.zero(offset, sizeBytes);
      return;
    }
    const zeroing = this.#zeroTurn.then(async () => {
      const scratch = (this.#zeroScratch ??= this.device.allocate(scratchBytes));
      for (let at = offset; at < offset + sizeBytes; at += scratchBytes) {
        const found = scratch.subarray(0, Math.min(scratchBytes, offset + sizeBytes - at));
        await this.device.read(found, at);
        if (!isZero(found)) await this.device.zero(at, found.byteLength);
      }
    });
    this.#zeroTurn = zeroing.catch(() => undefined);
    await zeroing;
  }

  async #holds(offset: number, content: Uint8Array, scratch: Uint8Array): Promise<boolean> {
    if (!this.#options.keepsEqual) return false;
    const found = scratch.subarray(0, content.byteLength);
    await this.device.read(found, offset);
    return Buffer.compare(found, content) === 0;
  }
}
