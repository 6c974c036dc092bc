import { open, readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { BootloaderError } from './errors.ts';

const lockWaitMs = 10_000;
const lockPollMs = 25;

/**
 * Keeps other processes of ours out while a loader's state is changed: a file with the pid of who holds it. It must lie
 * where it ends with the boot, since process ids are given out anew.
 */
export class ProcessLock {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Runs `change` with the lock held. Rejects with `boot-env-write-failed` when it is held for ten seconds. */
  async locked<T>(change: () => Promise<T>): Promise<T> {
    await this.#take();
    try {
      return await change();
    } finally {
      await rm(this.#path, { force: true });
    }
  }

  async #take(): Promise<void> {
    for (let waitedMs = 0; waitedMs < lockWaitMs; waitedMs += lockPollMs) {
      try {
        const handle = await open(this.#path, 'wx', 0o600);
        await handle.write(String(process.pid)).finally(() => handle.close());
        return;
      } catch (cause) {
        if (!isCode(cause, 'EEXIST')) throw lockError(this.#path, cause);
      }
      if (!(await this.#removeStaleLock())) await delay(lockPollMs);
    }
    throw new BootloaderError('boot-env-write-failed', `cannot lock ${this.#path}: another process holds it`);
  }

  /** A process that was killed leaves its lock behind; who holds it is told by its pid. */
  async #removeStaleLock(): Promise<boolean> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === undefined) return true;
    const pid = Number(text);
    // An empty lock is one whose holder is between creating it and writing its pid.
    if (text === '' || !Number.isInteger(pid) || pid === process.pid || isAlive(pid)) return false;
    await rm(this.#path, { force: true });
    return true;
  }
}

function lockError(path: string, cause: unknown): BootloaderError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BootloaderError('boot-env-write-failed', `cannot lock ${path}: ${reason}`, { details: { path }, cause });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Anything but "no such process" means that there is one.
    return !isCode(error, 'ESRCH');
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
