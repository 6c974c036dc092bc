import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';

const pieceBytes = 1024 * 1024;
const blockBytes = 4096;
const wasmPageBytes = 65_536;

// The types of Node declare no WebAssembly.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => {
    readonly buffer: SharedArrayBuffer;
  };
};

/**
 * Copies a file under a name that is not there yet, makes its contents durable, and compares what the device gives back,
 * where it can be read past the page cache. A copy that fails is removed.
 */
export async function copyFile(from: string, to: string): Promise<void> {
  const target = await open(to, 'wx', 0o644);
  try {
    const wanted = createHash('sha256');
    try {
      for await (const bytes of piecesOf(open(from, 'r'))) {
        wanted.update(bytes);
        await target.appendFile(bytes);
      }
      await target.sync();
    } finally {
      await target.close();
    }
    const found = createHash('sha256');
    for await (const bytes of piecesOf(openPastCache(to))) found.update(bytes);
    if (found.digest('hex') !== wanted.digest('hex'))
      throw new Error('it reads back differently from what was written');
  } catch (error) {
    // The first error is the reason; what can't be removed is a file that nothing lists.
    await Promise.allSettled([rm(to, { force: true })]);
    throw error;
  }
}

async function* piecesOf(opening: Promise<FileHandle>): AsyncGenerator<Uint8Array> {
  const handle = await opening;
  const buffer = allocateAligned();
  try {
    for (let offset = 0; ;) {
      const { bytesRead } = await handle.read(buffer, 0, pieceBytes, offset);
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      offset += bytesRead;
      // A direct read that ends inside a block was the last one; going on from there would not be aligned.
      if (bytesRead === 0 || offset % blockBytes !== 0) break;
    }
  } finally {
    await handle.close();
  }
}

/** Opens so that what is read is what the device has; a file system without that is read as it is. */
async function openPastCache(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECT);
    try {
      // Some file systems open so, and refuse the first read.
      await handle.read(allocateAligned(), 0, blockBytes, 0);
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw error;
    return open(path, 'r');
  }
}

/** Direct reads want an aligned buffer, which WebAssembly's memory is. */
function allocateAligned(): Uint8Array<SharedArrayBuffer> {
  const pages = pieceBytes / wasmPageBytes;
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer);
}
