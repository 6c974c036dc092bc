import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Puts `content` in the place of the file at `path`, whose directory is made for its owner alone: the old content or all
 * of the new is found after a power cut, and the new once it resolves. Rejects with the system's errors.
 */
export async function replaceFile(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const handle = await open(`${path}.new`, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // Power lost before: the old content. After: the new, which was synced before it got this name.
  await rename(`${path}.new`, path);
  await syncDirectoryOf(path);
}

/** Makes durable what was renamed or removed beside `path`; a directory that is not there holds nothing. */
export async function syncDirectoryOf(path: string): Promise<void> {
  const handle = await open(dirname(path), 'r').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Whether `error` says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
