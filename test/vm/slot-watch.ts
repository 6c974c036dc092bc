import type { FileHandle } from 'node:fs/promises';

const blockBytes = 4096;
const stepBytes = 1024 * 1024;

/**
 * Knows at every moment whether a part of a disk holds an image from its first byte to its last, with nothing but zeros
 * behind it, by looking again at what was written alone.
 */
export class SlotWatch {
  readonly #disk: FileHandle;
  readonly #image: FileHandle;
  readonly #offsetBytes: number;
  readonly #sizeBytes: number;
  readonly #different = new Set<number>();

  /** The part from `offsetBytes` on, `sizeBytes` long; call `look` once over all of it. */
  constructor(ports: { disk: FileHandle; image: FileHandle; offsetBytes: number; sizeBytes: number }) {
    this.#disk = ports.disk;
    this.#image = ports.image;
    this.#offsetBytes = ports.offsetBytes;
    this.#sizeBytes = ports.sizeBytes;
  }

  get isComplete(): boolean {
    return this.#different.size === 0;
  }

  /** Looks at what lies between two places of the disk; resolves to whether any of it is in this part. */
  async look(fromBytes = this.#offsetBytes, toBytes = this.#offsetBytes + this.#sizeBytes): Promise<boolean> {
    const from = Math.max(0, fromBytes - this.#offsetBytes);
    const to = Math.min(this.#sizeBytes, toBytes - this.#offsetBytes);
    if (from >= to) return false;
    const end = Math.ceil(to / blockBytes) * blockBytes;
    for (let at = Math.floor(from / blockBytes) * blockBytes; at < end; at += stepBytes) {
      await this.#compare(at, Math.min(stepBytes, end - at));
    }
    return true;
  }

  async #compare(at: number, sizeBytes: number): Promise<void> {
    const [has, wants] = [Buffer.alloc(sizeBytes), Buffer.alloc(sizeBytes)];
    await this.#disk.read(has, 0, sizeBytes, this.#offsetBytes + at);
    await this.#image.read(wants, 0, sizeBytes, at);
    for (let block = 0; block < sizeBytes; block += blockBytes) {
      const end = block + blockBytes;
      if (has.compare(wants, block, end, block, end) === 0) this.#different.delete(at + block);
      else this.#different.add(at + block);
    }
  }
}
