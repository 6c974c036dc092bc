/*
 * The resets file, beside the journal: one line a boot, oldest first, at most 32: "<boot id> <clear|watchdog|unknown>".
 * A watchdog only tells of the reset before, so each boot writes down what it was told.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { isMissing } from './bounded-read.ts';
import type { ResetStatus } from './boot-judgement.ts';

const keptLines = 32;
const limitBytes = 16 * 1024;

/** Reads the lines of a resets file; lines that make no sense are passed over. */
export function parseResets(text: string): ReadonlyMap<string, ResetStatus> {
  const found = text
    .slice(0, limitBytes)
    .split('\n')
    .flatMap((line): [string, ResetStatus][] => {
      const [, id, status] = /^([0-9a-zA-Z-]{1,64}) (clear|watchdog|unknown)$/.exec(line) ?? [];
      return id === undefined || status === undefined ? [] : [[id, status as ResetStatus]];
    });
  return new Map(found);
}

/** The resets that are known, with `status` written down for `bootId` unless it has a line. Durable when it resolves. */
export async function noteReset(path: string, bootId: string, status: ResetStatus) {
  const known = parseResets(
    await readFile(path, 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return '';
      throw error;
    }),
  );
  if (known.has(bootId)) return known;
  const noted = new Map([...known, [bootId, status] as const].slice(-keptLines));
  const handle = await open(`${path}.new`, 'w', 0o640);
  try {
    await handle.writeFile([...noted].map(([id, reset]) => `${id} ${reset}\n`).join(''));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
  return noted;
}
