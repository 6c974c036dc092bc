import { createHash } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, shell } from '../vm/shell.ts';
import type { Cache } from './cache.ts';

/** What goes onto a partition. */
export interface Content {
  readonly file: string;
  readonly sizeBytes: number;
}

/** How much of the file system is used; the design's goals are for two thirds. */
const usedShare = 2 / 3;

/** What the file system needs beside the files, at most. */
const overheadShare = 0.02;

interface UsrFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** An ext4 of this size, two thirds full of files from this machine's /usr; kept in the cache. */
export async function makeContent(cache: Cache, sizeBytes: number): Promise<Content> {
  const file = await cache.file(`content-${sizeBytes}.img`, async (path, folder) => {
    const names = await pickFiles(sizeBytes * (usedShare - overheadShare));
    const list = join(folder, 'list');
    await writeFile(list, names.map((name) => `.${name}\0`).join(''));
    // The same files on every node would have the same times; what is built here is only compared with itself.
    await shell(`
      mkdir ${folder}/tree
      tar -C / --null -T ${list} -cf - | tar -C ${folder}/tree -xf -
      mkfs.ext4 -q -m 0 -L root -U 00000000-0000-4000-8000-000000000001 -E hash_seed=00000000-0000-4000-8000-000000000002 \
        -d ${folder}/tree ${path} ${Math.floor(sizeBytes / 1024)}k
    `);
  });
  return { file, sizeBytes };
}

/**
 * `content` thinned out to `factor` times its size: each mebibyte of it is followed by `factor` - 1 of zeros. The frames
 * are the same, only more; what they hold stays bounded.
 */
export async function thinOut(cache: Cache, content: Content, factor: number): Promise<Content> {
  const sizeBytes = content.sizeBytes * factor;
  if (factor === 1) return content;
  const file = await cache.file(`thin-${factor}-${content.sizeBytes}.img`, async (path) => {
    await run('truncate', '--size', String(sizeBytes), path);
    await run('python3', '-c', thinningScript, content.file, path, String(factor));
  });
  return { file, sizeBytes };
}

const thinningScript = `
import sys
source, target, factor = open(sys.argv[1], 'rb'), open(sys.argv[2], 'r+b'), int(sys.argv[3])
step = 1024 * 1024
at = 0
while piece := source.read(step):
    if piece.strip(b'\\0'):
        target.seek(at * factor)
        target.write(piece)
    at += step
`;

/** Bytes that are on the devices before a run, so that what is found there afterwards was written in it. */
export async function makeOtherData(cache: Cache, sizeBytes: number): Promise<Content> {
  const file = await cache.file(`other-${sizeBytes}.img`, async (path) => {
    await shell(`head -c ${sizeBytes} /dev/urandom > ${path}`);
  });
  return { file, sizeBytes };
}

/** Files below /usr of about `sizeBytes` in all, spread over it: by a hash of their path, so that each kind is there. */
async function pickFiles(sizeBytes: number): Promise<readonly string[]> {
  const found = await shell(String.raw`find /usr -xdev -type f -size -32M -links 1 -printf '%s %p\0'`);
  const files = found
    .split('\0')
    .filter((line) => line !== '')
    .map((line): UsrFile => ({ sizeBytes: Number(line.split(' ', 1)[0]), path: line.slice(line.indexOf(' ') + 1) }))
    .map((file) => ({ ...file, order: createHash('sha1').update(file.path).digest('hex') }))
    .sort((one, other) => (one.order < other.order ? -1 : 1));
  const picked: string[] = [];
  let leftBytes = sizeBytes;
  for (const { path, sizeBytes: fileBytes } of files) {
    // Files take whole blocks, and one more for their place in a directory and in the inode table.
    const takenBytes = Math.ceil(fileBytes / 4096) * 4096 + 512;
    if (takenBytes > leftBytes) continue;
    picked.push(path);
    leftBytes -= takenBytes;
    if (leftBytes < 4096) break;
  }
  if (leftBytes > sizeBytes / 10) {
    throw new Error(`cannot make the image: /usr of this machine has too few files for ${sizeBytes} bytes; use --size`);
  }
  return picked;
}

/** Bytes of a file. */
export async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}
