import { randomUUID } from 'node:crypto';
import { link, readFile, realpath, rename, unlink, writeFile } from 'node:fs/promises';
import { PartitionError } from './errors.ts';

function hasErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

/** `pid start-time` of a process, or `undefined` when there is none: a pid alone may be somebody else's by now. */
async function processMark(pid: number): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
  // The name in parentheses may hold spaces; the start time is field 22, the 20th after it.
  const startTime = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return `${pid} ${startTime ?? '?'}`;
}

async function isAlive(mark: string): Promise<boolean> {
  const pid = Number(mark.split(' ', 1)[0]);
  return Number.isInteger(pid) && pid > 0 && (await processMark(pid)) === mark;
}

async function tryCreate(lockPath: string, mark: string, unique: string): Promise<boolean> {
  const temporary = `${lockPath}.${unique}`;
  await writeFile(temporary, mark);
  try {
    // A link appears with its content, and never over another: there is no moment of an empty lock.
    await link(temporary, lockPath);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
}

/** Takes away the lock of a dead process. Gives `false` when its owner lives. */
async function removeStale(lockPath: string, unique: string): Promise<boolean> {
  const aside = `${lockPath}.${unique}.stale`;
  try {
    if (await isAlive(await readFile(lockPath, 'utf8'))) return false;
    await rename(lockPath, aside);
  } catch (error) {
    // Somebody released it, or took it away first.
    if (hasErrno(error, 'ENOENT')) return true;
    throw error;
  }
  // Between reading and moving another may have taken the stale lock away and put its own: that one goes back.
  const isLiveOne = await isAlive(await readFile(aside, 'utf8'));
  if (isLiveOne) await link(aside, lockPath);
  await unlink(aside);
  return !isLiveOne;
}

/**
 * Locks a file that plays a device, by a file `<path>.lock` beside it with the owner's pid and start time; the lock of
 * a dead process is taken over. Gives what releases it. Throws `slot-busy` or `slot-device-unreadable`.
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  try {
    const lockPath = `${await realpath(path)}.lock`;
    const mark = (await processMark(process.pid)) ?? `${process.pid} ?`;
    const unique = randomUUID();
    const isOurs =
      (await tryCreate(lockPath, mark, unique)) ||
      ((await removeStale(lockPath, unique)) && (await tryCreate(lockPath, mark, unique)));
    if (isOurs) return () => unlink(lockPath);
  } catch (cause) {
    throw new PartitionError('slot-device-unreadable', `cannot lock ${path}: no lock file can be made beside it`, {
      details: { device: path },
      cause,
    });
  }
  throw new PartitionError('slot-busy', `cannot open ${path}: another process or writer has it open`, {
    details: { device: path },
  });
}
