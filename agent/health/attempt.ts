import type { Clock } from '../core/ports.ts';
import type { CheckAttempt, HealthCheck } from './health-check.ts';

/**
 * One attempt of at most `limitMs`: a check that ignores its time-out counts as failed and is not waited for. Never
 * rejects.
 */
export async function attemptWithin(
  clock: Clock,
  check: HealthCheck,
  limitMs: number,
  signal: AbortSignal,
): Promise<CheckAttempt> {
  const end = new AbortController();
  const ending = AbortSignal.any([signal, end.signal]);
  const ranOut = sleepUnless(clock, limitMs, ending).then((isOver) =>
    lateAttempt(check, isOver ? `no answer within ${limitMs} ms` : 'the checks were ended'),
  );
  const answered = check
    .run(ending)
    .catch((error: unknown): CheckAttempt => ({ isPassed: false, output: String(error) }));
  try {
    return await Promise.race([answered, ranOut]);
  } finally {
    end.abort();
  }
}

/** A failure for want of time. */
export function lateAttempt({ lateExcuse }: HealthCheck, output: string): CheckAttempt {
  return { isPassed: false, output, ...(lateExcuse === undefined ? {} : { excuse: lateExcuse }) };
}

/** Whether the whole time went by before `signal`. */
export async function sleepUnless(clock: Clock, durationMs: number, signal: AbortSignal): Promise<boolean> {
  return clock.sleep(durationMs, signal).then(
    () => true,
    () => false,
  );
}
