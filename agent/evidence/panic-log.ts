import { createHash } from 'node:crypto';
import { type BootLine, parseBootLog, readBootLog, writeBootLog } from './boot-log.ts';

/** A record of the kernel in pstore, or where systemd-pstore moved it. */
export interface KernelRecord {
  readonly path: string;
  readonly changedAtMs: number;
  /** Its end, bounded. */
  readonly text: string;
  /** What the store wrote above it (`Panic#1 Part4`), where `text` does not reach back to it; else empty. */
  readonly header: string;
}

/** A record with the boot that first saw it; `undefined` where it was there before the log was. */
export interface SeenRecord extends KernelRecord {
  readonly firstSeenBy: string | undefined;
}

/** The records that are there now. */
export interface SeenRecords {
  readonly records: readonly SeenRecord[];
  /** There was no log before this boot: which records are new can't be told. */
  readonly isLogNew: boolean;
}

/** Stands for the boot of a record that was there before the log was. */
const before = '-';

/**
 * `records` with the boots that first saw them, by the log at `path`, in which new ones are written down for `bootId`.
 * Records stay for years, and a clock that starts in 1970 dates nothing. Durable when it resolves.
 */
export async function notePanics(path: string, bootId: string, records: readonly KernelRecord[]): Promise<SeenRecords> {
  const text = await readBootLog(path);
  const known = new Map(parseBootLog(text ?? '', /^[0-9a-f]{16}$/).map(({ bootId: by, value }) => [value, by]));
  const seenBy = text === undefined ? before : bootId;
  const news: BootLine[] = records.map(keyOf).flatMap((value) => (known.has(value) ? [] : [{ bootId: seenBy, value }]));
  if (text === undefined || news.length > 0) {
    await writeBootLog(path, [...[...known].map(([value, by]) => ({ bootId: by, value })), ...news]);
  }
  for (const { bootId: by, value } of news) known.set(value, by);
  const seen = records.map((record) => {
    const by = known.get(keyOf(record));
    return { ...record, firstSeenBy: by === before ? undefined : by };
  });
  return { records: seen, isLogNew: text === undefined };
}

/**
 * By content: names are given out anew, and systemd-pstore moves what it finds. Of the end alone, as every agent that shares
 * the log has it: a record under another key would be new to it.
 */
function keyOf({ text }: KernelRecord): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/**
 * The newest panic first, and of one that its store keeps in parts (`Panic#1 Part4`, fs/pstore/platform.c) the last words
 * first: the kernel begins at the end of its log. To write it all takes time, so that the parts of one panic may bear the times of
 * two seconds.
 */
export function lastWordsFirst<T extends KernelRecord>(records: readonly T[]): readonly T[] {
  const written = records.toSorted((one, other) => one.changedAtMs - other.changedAtMs || partOf(one) - partOf(other));
  const panics: T[][] = [];
  written.forEach((record, index) => {
    const before = written[index - 1];
    const goesOn = before !== undefined && partOf(record) > partOf(before) && partOf(before) > 0;
    if (goesOn) panics.at(-1)?.push(record);
    else panics.push([record]);
  });
  return panics.toReversed().flat();
}

/** The header that a store wrote above a record, by the record's beginning; empty where there is none. */
export function headerOf(beginning: string): string {
  return /^[A-Za-z]{1,16}#\d{1,6} Part\d{1,4}(?=\n)/.exec(beginning)?.[0] ?? '';
}

/** A record as people read it: its header, and its end. */
export function wordsOf({ header, text }: KernelRecord): string {
  return header === '' ? text : `${header}\n[…]\n${text}`;
}

/** `0` for a record that is no part of anything. */
function partOf({ header, text }: KernelRecord): number {
  const [, part] = /Part(\d+)$/.exec(header === '' ? headerOf(text) : header) ?? [];
  return part === undefined ? 0 : Number(part);
}
