import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, realpath, unlink, writeFile } from 'node:fs/promises';
import { PartitionError } from './errors.ts';

function hasErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

/**
 * `pid start-time` of a process, or `undefined` when there is none, or one that ended and that nobody has waited for
 * yet. A pid alone may be somebody else's by now.
 */
async function processMark(pid: number): Promise<string | undefined> {
  let text: string;
  let threads: readonly string[];
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
    threads = await readdir(`/proc/${pid}/task`);
  } catch (error) {
    if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
  // The name in parentheses may hold spaces; the start time is field 22, the 20th after it.
  const { 0: state, 19: startTime } = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // The first thread may be over while another still writes: files are closed when the last one ends.
  if ((state === 'Z' || state === 'X') && threads.length < 2) return undefined;
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

/** Makes the lock file, or takes that of a dead process away first. Gives `false` when a process that lives has it. */
async function takeLock(lockPath: string, mark: string, unique: string): Promise<boolean> {
  if (await tryCreate(lockPath, mark, unique)) return true;
  if ((await holderOf(lockPath)) === 'alive') return false;
  // Only who holds this second lock takes dead ones away: whoever read the dead mark earlier would take away the lock of
  // the one who has replaced it since, and two would hold it.
  const takeover = `${lockPath}.takeover`;
  if (!(await takeLock(takeover, mark, unique))) return false;
  try {
    // Where there is none any more, a new one may come at any moment, and must stay.
    if ((await holderOf(lockPath)) === 'dead') await unlink(lockPath);
  } finally {
    await unlink(takeover);
  }
  return tryCreate(lockPath, mark, unique);
}

/** Whether the process that a lock file names lives; `none` where there is no such file. */
async function holderOf(lockPath: string): Promise<'alive' | 'dead' | 'none'> {
  try {
    return (await isAlive(await readFile(lockPath, 'utf8'))) ? 'alive' : 'dead';
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return 'none';
    throw error;
  }
}

/**
 * Locks a file that plays a device, by a file `<path>.lock` beside it with the owner's pid and start time; the lock of
 * a dead process is taken over. Gives what releases it. Throws `slot-busy` or `slot-device-unreadable`.
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  try {
    const lockPath = `${await realpath(path)}.lock`;
    const mark = (await processMark(process.pid)) ?? `${process.pid} ?`;
    if (await takeLock(lockPath, mark, randomUUID())) return () => unlink(lockPath);
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
