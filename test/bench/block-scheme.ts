import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';

const compress = promisify(zstdCompress);

/** RAUC's `block-hash-index`: a SHA-256 of each 4 KiB block, over an image in a squashfs of 64 KiB blocks. */
const blockBytes = 4096;
const groupBytes = 64 * 1024;
const hashBytes = 32;
const compressedAtOnce = 4;

/** What such a node would fetch. */
export interface SchemeBytes {
  readonly indexBytes: number;
  /** Compressed bytes of the groups with a block that the old image does not have. */
  readonly groupsBytes: number;
  readonly missingBlocks: number;
  readonly fetchedGroups: number;
}

/**
 * What RAUC's adaptive update would fetch to make `newer` of a slot that holds `older`: the index, and of each group with
 * a block that is nowhere in the old image the whole, as squashfs has it. HTTP's own bytes are not counted.
 */
export async function blockSchemeBytes(older: string, newer: string, level: number): Promise<SchemeBytes> {
  const known = new Set<string>();
  let blocks = 0;
  for await (const group of groupsOf(older)) for (const hash of hashesOf(group)) known.add(hash);
  let [groupsBytes, missingBlocks, fetchedGroups] = [0, 0, 0];
  let pending: Promise<number>[] = [];
  for await (const group of groupsOf(newer)) {
    const hashes = hashesOf(group);
    blocks += hashes.length;
    const missing = hashes.filter((hash) => !known.has(hash)).length;
    if (missing === 0) continue;
    missingBlocks += missing;
    fetchedGroups += 1;
    pending.push(compressedBytes(group, level));
    if (pending.length < compressedAtOnce) continue;
    groupsBytes += sum(await Promise.all(pending));
    pending = [];
  }
  groupsBytes += sum(await Promise.all(pending));
  return { indexBytes: blocks * hashBytes, groupsBytes, missingBlocks, fetchedGroups };
}

async function* groupsOf(file: string): AsyncGenerator<Buffer> {
  const handle = await open(file, 'r');
  try {
    for (;;) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(groupBytes), 0, groupBytes);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

function hashesOf(group: Buffer): readonly string[] {
  return Array.from({ length: Math.ceil(group.byteLength / blockBytes) }, (_, index) => {
    const block = group.subarray(index * blockBytes, (index + 1) * blockBytes);
    return createHash('sha256').update(block).digest('base64');
  });
}

async function compressedBytes(group: Buffer, level: number): Promise<number> {
  const packed = await compress(group, { params: { [constants.ZSTD_c_compressionLevel]: level } });
  // squashfs stores a block as it is where packing does not make it smaller.
  return Math.min(packed.byteLength, group.byteLength);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
