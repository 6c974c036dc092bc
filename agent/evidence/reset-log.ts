import { parseBootLog, readBootLog, writeBootLog } from './boot-log.ts';
import type { ResetStatus } from './boot-judgement.ts';

const statuses = /^(clear|watchdog|unknown)$/;

/**
 * By boot id, how the resets came that began them, with `status` written down for `bootId` in the log at `path` unless it
 * has a line: a watchdog only tells of the reset before. Durable when it resolves.
 */
export async function noteReset(
  path: string,
  bootId: string,
  status: ResetStatus,
): Promise<ReadonlyMap<string, ResetStatus>> {
  const lines = parseBootLog((await readBootLog(path)) ?? '', statuses);
  const known = new Map(lines.map((line) => [line.bootId, line.value as ResetStatus]));
  if (known.has(bootId)) return known;
  await writeBootLog(path, [...lines, { bootId, value: status }]);
  return known.set(bootId, status);
}
