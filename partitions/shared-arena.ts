import type { BlockDevice } from './block-device.ts';

/** Direct I/O wants page-aligned memory, and content is laid so that its blocks are. */
export const blockBytes = 4096;

/** One place of the arena: what came compressed, and the content of it. */
export interface ArenaSlot {
  /** Where the input lies in the arena's memory. */
  readonly inputAt: number;
  readonly input: Uint8Array;
  /** The memory of the content: at `outputAt(offset)` its blocks are aligned as the device wants them. */
  readonly output: Uint8Array;
  /** Where content that begins at `contentOffset` of the partition lies in the arena's memory. */
  outputAt(contentOffset: number): number;
  /** `sizeBytes` bytes there. */
  view(contentOffset: number, sizeBytes: number): Uint8Array;
}

/** How an arena is divided. */
export interface ArenaPlan {
  readonly slots: number;
  /** Room for input; a multiple of a block. */
  readonly inputBytes: number;
  /** Room for content. */
  readonly contentBytes: number;
}

/**
 * Memory that workers see and devices take, divided into slots that are used again and again: what passes through the
 * writer never becomes garbage, and does not grow with the image. Whoever wants a slot waits for one: back-pressure.
 */
export class SharedArena {
  readonly memory: SharedArrayBuffer;
  readonly plan: ArenaPlan;
  readonly #free: ArenaSlot[];
  readonly #waiting: ((slot: ArenaSlot) => void)[] = [];

  /** Allocates memory aligned for all of `devices`. */
  constructor(devices: readonly BlockDevice[], plan: ArenaPlan) {
    const strictest = devices.reduce<BlockDevice | undefined>(
      (found, device) => (found !== undefined && found.alignmentBytes >= device.alignmentBytes ? found : device),
      undefined,
    );
    if (strictest === undefined) throw new Error('internal: cannot allocate buffers for no device');
    // A block more than the content: it may begin anywhere in a block.
    const outputBytes = Math.ceil(plan.contentBytes / blockBytes) * blockBytes + blockBytes;
    const slotBytes = plan.inputBytes + outputBytes;
    const bytes = strictest.allocate(plan.slots * slotBytes);
    this.memory = bytes.buffer;
    this.plan = plan;
    this.#free = Array.from({ length: plan.slots }, (_, index) => {
      const inputAt = bytes.byteOffset + index * slotBytes;
      const start = inputAt + plan.inputBytes;
      const outputAt = (contentOffset: number) => start + (contentOffset % blockBytes);
      return {
        inputAt,
        input: new Uint8Array(bytes.buffer, inputAt, plan.inputBytes),
        output: new Uint8Array(bytes.buffer, start, outputBytes),
        outputAt,
        view: (contentOffset, sizeBytes) => new Uint8Array(bytes.buffer, outputAt(contentOffset), sizeBytes),
      };
    });
  }

  /** Resolves to a slot that nobody else has. */
  async take(): Promise<ArenaSlot> {
    const slot = this.#free.pop();
    return slot ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Gives a slot back: neither a worker nor a device looks at it any more. */
  release(slot: ArenaSlot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }
}
