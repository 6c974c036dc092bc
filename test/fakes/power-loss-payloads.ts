import { PartitionError } from '../../partitions/errors.ts';
import type { FreeRoom, PayloadDirectory } from '../../partitions/payload-directory.ts';
import { takenBytes } from '../../partitions/payload-plan.ts';
import type { PowerLossDirectory } from './power-loss-directory.ts';

const limitBytes = 1024 * 1024;

/** Payloads on the same simulated FAT partition that the loader's entries are on. */
export class PowerLossPayloads implements PayloadDirectory {
  readonly #partition: PowerLossDirectory;
  readonly #capacityBytes: number;
  readonly #clusterBytes: number;
  /** What a read gives instead of the file's bytes, as a device that forgets. */
  damage: ((path: string, bytes: Uint8Array) => Uint8Array) | undefined;

  constructor(partition: PowerLossDirectory, capacityBytes = limitBytes, clusterBytes = 512) {
    this.#partition = partition;
    this.#capacityBytes = capacityBytes;
    this.#clusterBytes = clusterBytes;
  }

  async files(folder: string): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]> {
    const names = await this.#partition.list(folder);
    return Promise.all(
      names.map(async (name) => ({ name, sizeBytes: (await this.#read(`${folder}/${name}`)).byteLength })),
    );
  }

  async room(): Promise<FreeRoom> {
    const sizes = this.#partition.paths.map((path) => this.#partition.textOf(path).length);
    return {
      freeBytes: this.#capacityBytes - takenBytes(sizes, this.#clusterBytes),
      clusterBytes: this.#clusterBytes,
    };
  }

  async makeFolder(): Promise<void> {
    // A folder is a part of the names here.
  }

  async write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#attempt(() => this.#partition.writeNew(path, new Uint8Array()));
    for await (const bytes of content) await this.#attempt(() => this.#partition.append(path, bytes));
    await this.#attempt(() => this.#partition.syncContents(path));
  }

  async *content(path: string): AsyncGenerator<Uint8Array> {
    const bytes = await this.#read(path);
    yield this.damage?.(path, bytes) ?? bytes;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt(() => this.#partition.rename(from, to));
  }

  async remove(path: string): Promise<void> {
    await this.#attempt(() => this.#partition.remove(path));
  }

  async sync(folder: string): Promise<void> {
    await this.#attempt(() => this.#partition.sync(folder));
  }

  async #read(path: string): Promise<Uint8Array> {
    return this.#attempt(() => this.#partition.read(path, limitBytes));
  }

  async #attempt<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      // A power cut is nobody's error.
      if (!(cause instanceof Error) || !('code' in cause)) throw cause;
      throw new PartitionError('boot-partition-failed', cause.message, { cause });
    }
  }
}
