import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The last `limitBytes` of a file as text. */
export async function readTail(path: string, limitBytes: number): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(limitBytes);
    const { bytesRead } = await handle.read(bytes, 0, limitBytes, Math.max(0, size - limitBytes));
    return bytes.toString('utf8', 0, bytesRead);
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
