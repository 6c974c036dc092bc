import type { BlockDevice } from './block-device.ts';

/** Buffers for direct I/O that are used again and again: memory does not grow with the image. */
export class BufferRing {
  readonly buffers: readonly Uint8Array[];

  /** Allocates `count` buffers of `bufferBytes` each, aligned for all of `devices`. */
  constructor(devices: readonly BlockDevice[], count: number, bufferBytes: number) {
    const strictest = devices.reduce<BlockDevice | undefined>(
      (found, device) => (found !== undefined && found.alignmentBytes >= device.alignmentBytes ? found : device),
      undefined,
    );
    if (strictest === undefined) throw new Error('internal: cannot allocate buffers for no device');
    const memory = strictest.allocate(count * bufferBytes);
    this.buffers = Array.from({ length: count }, (_, index) =>
      memory.subarray(index * bufferBytes, (index + 1) * bufferBytes),
    );
  }

  /** Size of one buffer. */
  get bufferBytes(): number {
    return this.at(0).byteLength;
  }

  /** The buffer of turn `turn`, counted from 0 without end. */
  at(turn: number): Uint8Array {
    const buffer = this.buffers[turn % this.buffers.length];
    if (buffer === undefined) throw new Error('internal: cannot use an empty ring of buffers');
    return buffer;
  }
}
