import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
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
        if (await this.#claim()) return;
      } catch (cause) {
        throw lockError(this.#path, cause);
      }
      if (!(await this.#removeStaleLock())) await delay(lockPollMs);
    }
    throw new BootloaderError('boot-env-write-failed', `cannot lock ${this.#path}: another process holds it`);
  }

  /** The lock appears with its pid in it: one without would outlive a process that was killed in between. */
  async #claim(): Promise<boolean> {
    const own = `${this.#path}.${randomUUID()}`;
    try {
      await writeFile(own, String(process.pid), { mode: 0o600 });
      await link(own, this.#path);
      return true;
    } catch (cause) {
      if (!isCode(cause, 'EEXIST')) throw cause;
      return false;
    } finally {
      await rm(own, { force: true });
    }
  }

  /** A process that was killed leaves its lock behind. Resolves to whether there is none in the way any more. */
  async #removeStaleLock(): Promise<boolean> {
    const holder = await this.#holder();
    if (holder !== 'dead') return holder === 'none';
    // Only who holds this second lock takes dead ones away: whoever read the dead pid earlier would take away the lock
    // of the one who has replaced it since, and two would change the loader's state at once.
    await new ProcessLock(`${this.#path}.takeover`).locked(async () => {
      // Where there is none any more, a new one may come at any moment, and must stay.
      if ((await this.#holder()) === 'dead') await rm(this.#path);
    });
    return true;
  }

  /** Whether the process that the lock names lives; `none` where it can't be read. */
  async #holder(): Promise<'alive' | 'dead' | 'none'> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === undefined) return 'none';
    const pid = Number(text);
    return text !== '' && Number.isInteger(pid) && pid !== process.pid && !isAlive(pid) ? 'dead' : 'alive';
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
