import type { Clock } from '../core/ports.ts';
import type { EventLog } from './event-log.ts';

/** Resolves when the log's version is above `version`, after `timeoutMs`, or when `signal` aborts. Never rejects. */
export async function waitForVersion(
  log: EventLog,
  clock: Clock,
  version: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (log.version > version || signal.aborted) return;
  const ending = new AbortController();
  let stop: () => void = () => undefined;
  const changed = new Promise<void>((resolve) => {
    stop = log.onChange(() => {
      if (log.version > version) resolve();
    });
  });
  const slept = clock.sleep(timeoutMs, AbortSignal.any([signal, ending.signal])).catch(() => undefined);
  await Promise.race([changed, slept]);
  ending.abort();
  stop();
}
