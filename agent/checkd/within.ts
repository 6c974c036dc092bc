import type { AgentError } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';

/** What `action` comes to, or the rejection with `late()` after `limitMs`; the action itself is not ended. */
export async function within<T>(
  clock: Clock,
  limitMs: number,
  action: () => Promise<T>,
  late: () => AgentError,
): Promise<T> {
  const done = new AbortController();
  const ranOut = clock.sleep(limitMs, done.signal).then(
    () => {
      throw late();
    },
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([action(), ranOut]);
  } finally {
    done.abort();
  }
}
