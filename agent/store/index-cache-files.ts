/**
 * A kept block index, a file for each partition of a slot:
 *
 *      0   8   magic "kaonkept"
 *      8   4   version, 1
 *     12   4   size of the index's head
 *     16   8   size of the index layer
 *     24   8   0
 *     32   …   the layer, as far as it was needed: what was not is a hole, and reads as zeros
 *
 * All numbers are little-endian. The file comes by rename, so that it is whole or not there.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import type { IndexCache, IndexDraft, IndexSizes, KeptIndex } from '../core/index-cache.ts';
import type { SlotName } from '../core/update-state.ts';

const magic = Buffer.from('kaonkept');
const version = 1;
const headerBytes = 32;
/** An index of 32 GiB without zeros; what is larger is not kept. */
const defaultLimitBytes = 128 * 1024 * 1024;
const namePattern = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Block indexes as files of a directory, in this agent's state. */
export class IndexCacheFiles implements IndexCache {
  readonly #directory: string;
  readonly #limitBytes: number;

  /** `limitBytes` is the largest index layer that is kept. */
  constructor(directory: string, limitBytes = defaultLimitBytes) {
    this.#directory = directory;
    this.#limitBytes = limitBytes;
  }

  async open(slot: SlotName, partition: string): Promise<KeptIndex | undefined> {
    const path = this.#pathOf(slot, partition);
    return attempt('read', path, async () => {
      const handle = await open(path, 'r').catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      if (handle === undefined) return undefined;
      const sizes = await readHeader(handle, this.#limitBytes).catch(async (error: unknown) => {
        await handle.close();
        throw error;
      });
      if (sizes !== undefined) return new IndexFile(handle, path, sizes);
      await handle.close();
      return undefined;
    });
  }

  async begin(slot: SlotName, partition: string, sizes: IndexSizes): Promise<IndexDraft> {
    const path = this.#pathOf(slot, partition);
    return attempt('write', path, async () => {
      if (!areSizesSound(sizes, this.#limitBytes)) {
        throw new Error(`the index has ${sizes.layerSizeBytes} bytes, the limit is ${this.#limitBytes}`);
      }
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const handle = await open(`${path}.new`, 'w+', 0o600);
      try {
        await writeAll(handle, encodeHeader(sizes), 0);
        await handle.truncate(headerBytes + sizes.layerSizeBytes);
      } catch (error) {
        await handle.close();
        throw error;
      }
      return new DraftFile(handle, path, sizes, this.#directory);
    });
  }

  async remove(slot: SlotName): Promise<void> {
    await attempt('remove', this.#directory, async () => {
      const names = await readdir(this.#directory).catch((error: unknown) => {
        if (isMissing(error)) return [];
        throw error;
      });
      const kept = names.filter((name) => name.startsWith(`index-${slot}-`));
      for (const name of kept) await rm(join(this.#directory, name), { force: true });
      if (kept.length > 0) await syncDirectory(this.#directory);
    });
  }

  #pathOf(slot: SlotName, partition: string): string {
    if (!namePattern.test(partition)) throw new Error(`internal: cannot keep an index of partition ${partition}`);
    return join(this.#directory, `index-${slot}-${partition}`);
  }
}

/** A file that holds an index. */
class IndexFile implements KeptIndex {
  readonly sizes: IndexSizes;
  protected readonly handle: FileHandle;
  protected readonly path: string;

  constructor(handle: FileHandle, path: string, sizes: IndexSizes) {
    this.handle = handle;
    this.path = path;
    this.sizes = sizes;
  }

  async read(offset: number, sizeBytes: number): Promise<Uint8Array> {
    return attempt('read', this.path, async () => {
      this.checkRange(offset, sizeBytes);
      const bytes = new Uint8Array(sizeBytes);
      for (let at = 0; at < sizeBytes;) {
        const { bytesRead } = await this.handle.read(bytes, at, sizeBytes - at, headerBytes + offset + at);
        if (bytesRead === 0) throw new Error('it is shorter than it says');
        at += bytesRead;
      }
      return bytes;
    });
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  protected checkRange(offset: number, sizeBytes: number): void {
    if (offset >= 0 && offset + sizeBytes <= this.sizes.layerSizeBytes) return;
    throw new RangeError(`bytes ${offset} to ${offset + sizeBytes} are not in it`);
  }
}

/** A file that takes the place of a kept one when it is whole. */
class DraftFile extends IndexFile implements IndexDraft {
  readonly #directory: string;

  constructor(handle: FileHandle, path: string, sizes: IndexSizes, directory: string) {
    super(handle, path, sizes);
    this.#directory = directory;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await attempt('write', this.path, async () => {
      this.checkRange(offset, bytes.byteLength);
      await writeAll(this.handle, bytes, headerBytes + offset);
    });
  }

  async commit(): Promise<void> {
    await attempt('write', this.path, async () => {
      try {
        await this.handle.sync();
      } finally {
        await this.handle.close();
      }
      // Power lost before: what was kept is still there, or nothing is. After: the new one.
      await rename(`${this.path}.new`, this.path);
      await syncDirectory(this.#directory);
    });
  }

  async discard(): Promise<void> {
    await attempt('remove', this.path, async () => {
      await this.handle.close();
      await rm(`${this.path}.new`, { force: true });
    });
  }
}

function encodeHeader({ headSizeBytes, layerSizeBytes }: IndexSizes): Uint8Array {
  const header = Buffer.alloc(headerBytes);
  magic.copy(header);
  header.writeUInt32LE(version, 8);
  header.writeUInt32LE(headSizeBytes, 12);
  header.writeBigUInt64LE(BigInt(layerSizeBytes), 16);
  return header;
}

/** The sizes that a file states, or `undefined` where it is none of ours, of another version, or cut. */
async function readHeader(handle: FileHandle, limitBytes: number): Promise<IndexSizes | undefined> {
  const header = Buffer.alloc(headerBytes);
  const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
  const isOurs = bytesRead === headerBytes && header.subarray(0, 8).equals(magic) && header.readUInt32LE(8) === version;
  if (!isOurs) return undefined;
  const sizes = { headSizeBytes: header.readUInt32LE(12), layerSizeBytes: Number(header.readBigUInt64LE(16)) };
  const { size } = await handle.stat();
  return areSizesSound(sizes, limitBytes) && size === headerBytes + sizes.layerSizeBytes ? sizes : undefined;
}

function areSizesSound({ headSizeBytes, layerSizeBytes }: IndexSizes, limitBytes: number): boolean {
  return headSizeBytes > 0 && headSizeBytes <= layerSizeBytes && layerSizeBytes <= limitBytes;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += (await handle.write(bytes, at, bytes.byteLength - at, position + at)).bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function attempt<T>(verb: string, path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('journal-failed', `cannot ${verb} the kept block index at ${path}: ${reason}`, {
      details: { path },
      cause,
    });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
