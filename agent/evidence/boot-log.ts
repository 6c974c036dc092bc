/*
 * Small logs beside the journal: one line a thing, oldest first, at most 64: "<boot id> <value>". What a boot was told is
 * written down in it, as the next one can't ask again.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { isMissing } from './bounded-read.ts';

const keptLines = 64;
const limitBytes = 16 * 1024;

/** One line: the boot that wrote it, and what it was told. */
export interface BootLine {
  readonly bootId: string;
  readonly value: string;
}

/** Reads the lines of a log whose values match `value`; lines that make no sense are passed over. */
export function parseBootLog(text: string, value: RegExp): readonly BootLine[] {
  return text
    .slice(-limitBytes)
    .split('\n')
    .flatMap((line): BootLine[] => {
      const [, bootId, found] = /^([0-9a-zA-Z-]{1,64}) ([a-z0-9]{1,64})$/.exec(line) ?? [];
      return bootId === undefined || found === undefined || !value.test(found) ? [] : [{ bootId, value: found }];
    });
}

/** The text of the log at `path`; `undefined` where there is none yet. */
export async function readBootLog(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Replaces the log at `path`, keeping the latest lines. Durable when it resolves; all of it or nothing. */
export async function writeBootLog(path: string, lines: readonly BootLine[]): Promise<void> {
  const handle = await open(`${path}.new`, 'w', 0o640);
  try {
    const kept = lines.slice(-keptLines);
    await handle.writeFile(kept.map(({ bootId, value }) => `${bootId} ${value}\n`).join(''));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
}
