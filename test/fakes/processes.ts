import { readdirSync, readFileSync } from 'node:fs';

/** Sends a signal to a process, if there still is one. */
export function sendIfAlive(pid: number, signal: 'SIGSTOP' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // ESRCH: it ended by itself.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Whether a process still has its files open: one that nobody waited for has none, once all its threads are gone. */
export function isAlive(pid: number): boolean {
  try {
    const isOver = /^\d+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return !isOver || readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
}
