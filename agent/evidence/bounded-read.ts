import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The last `limitBytes` of a file as text. */
export async function readTail(path: string, limitBytes: number): Promise<string> {
  return (await readBothEnds(path, 0, limitBytes)).tail;
}

/** A file's ends as text; `head` is empty where `tail` holds all of it. */
export interface BothEnds {
  readonly head: string;
  readonly tail: string;
}

/** The first `headBytes` and the last `tailBytes` of a file; they overlap where it is hardly longer than its tail. */
export async function readBothEnds(path: string, headBytes: number, tailBytes: number): Promise<BothEnds> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const tailAt = Math.max(0, size - tailBytes);
    const read = async (at: number, lengthBytes: number): Promise<string> => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(lengthBytes), 0, lengthBytes, at);
      return buffer.toString('utf8', 0, bytesRead);
    };
    return { head: tailAt === 0 ? '' : await read(0, headBytes), tail: await read(tailAt, tailBytes) };
  } finally {
    await handle.close();
  }
}

/** A file with the time of its last change. */
export interface DatedFile {
  readonly path: string;
  readonly changedAtMs: number;
}

/** The files below `directory` and one level of folders, newest first, at most `limit`; none where it is missing. */
export async function listNewest(directory: string, limit: number): Promise<readonly DatedFile[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const found = await Promise.all(
    entries.slice(0, 256).map(async (entry): Promise<readonly DatedFile[]> => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return listFlat(path);
      return [{ path, changedAtMs: (await stat(path)).mtimeMs }];
    }),
  );
  return found
    .flat()
    .sort((one, other) => other.changedAtMs - one.changedAtMs)
    .slice(0, limit);
}

async function listFlat(directory: string): Promise<readonly DatedFile[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .slice(0, 64)
      .map(async (entry) => {
        const path = join(directory, entry.name);
        return { path, changedAtMs: (await stat(path)).mtimeMs };
      }),
  );
}

/** Whether `error` says that a file does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
