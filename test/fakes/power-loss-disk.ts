import type { DiskRegions } from '../../bootloader/disk-regions.ts';
import { PowerLossFile, type SectorFate } from './power-loss-file.ts';

/** A small disk in memory with the power losses of `PowerLossFile`. */
export class PowerLossDisk implements DiskRegions {
  readonly blockBytes: number;
  readonly sizeBytes: number;
  readonly #file: PowerLossFile;

  constructor(image: Uint8Array, blockBytes: number, beforeStep: (name: string) => void = () => undefined) {
    this.#file = new PowerLossFile(image, 'disk', beforeStep);
    this.blockBytes = blockBytes;
    this.sizeBytes = image.byteLength;
  }

  /** What is on the disk now. */
  get disk(): Uint8Array {
    return this.#file.disk;
  }

  /** Puts an image onto the disk, as a loader does. */
  put(image: Uint8Array): void {
    this.#file.put(image);
  }

  losePower(fateOf: (sector: number) => SectorFate): void {
    this.#file.losePower(fateOf);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return (await this.#file.read()).subarray(offset, offset + length);
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#file.write(bytes, offset);
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#file.locked(change);
  }
}
