import type { EnvironmentFile } from '../../bootloader/environment-file.ts';
import { BootloaderError } from '../../bootloader/errors.ts';

const sectorBytes = 512;

/** What becomes of a sector that was written and not synced when the power goes. */
export type SectorFate = 'lost' | 'written';

/**
 * An environment file in memory that outlives the agents that use it. Writes are kept apart until they are synced;
 * `losePower` lets each written sector be lost or reach the disk. `beforeStep` is called before each write and sync and
 * may throw to cut the power there.
 */
export class PowerLossFile implements EnvironmentFile {
  readonly #beforeStep: (name: string) => void;
  readonly #name: string;
  #disk: Uint8Array;
  #cache: Uint8Array;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(block: Uint8Array, name = 'environment', beforeStep: (name: string) => void = () => undefined) {
    this.#disk = Uint8Array.from(block);
    this.#cache = Uint8Array.from(block);
    this.#name = name;
    this.#beforeStep = beforeStep;
  }

  /** What is on the disk now. */
  get disk(): Uint8Array {
    return Uint8Array.from(this.#disk);
  }

  /** Puts bytes onto the disk, as a loader does. */
  put(block: Uint8Array): void {
    this.#disk = Uint8Array.from(block);
    this.#cache = Uint8Array.from(block);
  }

  /** The power goes: each sector that differs from the disk meets its fate. A held lock is gone with its process. */
  losePower(fateOf: (sector: number) => SectorFate): void {
    const survived = Uint8Array.from(this.#disk);
    for (let start = 0; start < survived.byteLength; start += sectorBytes) {
      const written = this.#cache.subarray(start, start + sectorBytes);
      const isChanged = Buffer.compare(written, survived.subarray(start, start + sectorBytes)) !== 0;
      if (isChanged && fateOf(start / sectorBytes) === 'written') survived.set(written, start);
    }
    this.put(survived);
    this.#turn = Promise.resolve();
  }

  async read(): Promise<Uint8Array> {
    return Uint8Array.from(this.#cache);
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#beforeStep(`${this.#name}-write`);
    if (offset + bytes.byteLength > this.#cache.byteLength) {
      throw new BootloaderError('boot-env-write-failed', `cannot write the ${this.#name}: it never grows`);
    }
    this.#cache.set(bytes, offset);
  }

  async sync(): Promise<void> {
    this.#beforeStep(`${this.#name}-sync`);
    this.#disk = Uint8Array.from(this.#cache);
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
