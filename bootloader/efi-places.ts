import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { SlotName } from './bootloader.ts';
import type { LoaderPlace } from './efi-load-option.ts';
import { BootloaderError } from './errors.ts';

/** Where the slots' loaders lie. */
export interface LoaderPlaces {
  /** Rejects with `boot-entry-missing` that says which fact is not to be found. */
  placeOf(slot: SlotName): Promise<LoaderPlace>;
}

/** What the configuration says of a slot's loader: the GUID of its partition, and its path there. */
export interface SlotLoader {
  readonly partition: string;
  readonly path: string;
}

/** The kernel's word of the partitions that are configured. */
export class SysfsLoaderPlaces implements LoaderPlaces {
  readonly #loaders: Readonly<Record<SlotName, SlotLoader>>;
  readonly #byPartUuid: string;
  readonly #sysfs: string;

  constructor(
    loaders: Readonly<Record<SlotName, SlotLoader>>,
    byPartUuid = '/dev/disk/by-partuuid',
    sysfs = '/sys/class/block',
  ) {
    this.#loaders = loaders;
    this.#byPartUuid = byPartUuid;
    this.#sysfs = sysfs;
  }

  async placeOf(slot: SlotName): Promise<LoaderPlace> {
    const { partition: guid, path } = this.#loaders[slot];
    const fact = async <T>(what: string, read: () => Promise<T>): Promise<T> =>
      read().catch((cause: unknown) => {
        const reason = `${what} of partition ${guid} is not to be found: ${cause instanceof Error ? cause.message : String(cause)}`;
        throw new BootloaderError('boot-entry-missing', `cannot make the boot entry of slot ${slot} again: ${reason}`, {
          details: { slot, fact: what, partition: guid },
          cause,
        });
      });
    const device = await fact('the device', () => realpath(join(this.#byPartUuid, guid)));
    const folder = await fact('the device', () => realpath(join(this.#sysfs, basename(device))));
    const number = await fact('the number', () => readNumber(join(folder, 'partition')));
    const blockBytes = await fact('the block size', () =>
      readNumber(join(dirname(folder), 'queue/logical_block_size')),
    );
    // The kernel counts sectors of 512 bytes, whatever the disk's blocks are.
    const sectorsOf = (name: string) => readNumber(join(folder, name));
    const inBlocks = (sectors: bigint) => (sectors * 512n) / blockBytes;
    const startBlock = inBlocks(await fact('the start', () => sectorsOf('start')));
    const blockCount = inBlocks(await fact('the size', () => sectorsOf('size')));
    return { number: Number(number), startBlock, blockCount, guid, path };
  }
}

async function readNumber(path: string): Promise<bigint> {
  const text = (await readFile(path, 'latin1')).trim();
  if (!/^[0-9]{1,18}$/.test(text) || BigInt(text) === 0n) throw new Error(`${path} holds ${JSON.stringify(text)}`);
  return BigInt(text);
}
