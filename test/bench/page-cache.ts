import { readFile } from 'node:fs/promises';
import { shell } from '../vm/shell.ts';

/** Bytes that the page cache of the machine holds, those of block devices included. */
export async function pageCacheBytes(): Promise<number> {
  return parsePageCache(await readFile('/proc/meminfo', 'utf8'));
}

/** `Buffers` and `Cached` of proc_meminfo(5). */
export function parsePageCache(meminfo: string): number {
  const fields = [...meminfo.matchAll(/^(?:Buffers|Cached): +(\d+) kB$/gm)];
  return fields.reduce((sum, match) => sum + Number(match[1]) * 1024, 0);
}

/** Drops the pages of these files: the next reader finds them on the disk. */
export async function dropFromPageCache(files: readonly string[]): Promise<void> {
  // dd with nocache and no count is the documented way to ask for posix_fadvise(DONTNEED) on a whole file.
  for (const file of files) await shell(`dd if=${file} iflag=nocache count=0 status=none`);
}
