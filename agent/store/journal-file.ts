import Database from 'better-sqlite3';
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../core/errors.ts';

/** The version of the tables below; a newer agent adds columns and tables, and never changes what is here. */
const schemaVersion = 1;

/** Damaged journals that are kept beside the sound one; the oldest go first. */
const keptDamagedFiles = 3;

const pageBytes = 4096;

const tables = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  INSERT INTO meta (key, value) VALUES ('schemaVersion', '${schemaVersion}'), ('minimumReader', '${schemaVersion}');
  CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), document TEXT NOT NULL);
  CREATE TABLE updates (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, request TEXT NOT NULL, outcome TEXT);
  CREATE TABLE deployments (slot TEXT PRIMARY KEY, document TEXT NOT NULL);
  CREATE TABLE rollbacks (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
  CREATE TABLE boots (ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
  CREATE TABLE events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL);
  CREATE TABLE idempotency (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, update_id TEXT NOT NULL,
    body_digest TEXT NOT NULL);
`;

/** Tables that came after the first ones; an agent that does not know them leaves them alone. */
const laterTables = `
  CREATE TABLE IF NOT EXISTS transfers (id TEXT PRIMARY KEY, document TEXT NOT NULL);
`;

/** A journal's file, opened and checked. */
export interface OpenedJournal {
  readonly database: Database.Database;
  /** Why the file had to be made anew, or `undefined`. */
  readonly rebuiltBecause: string | undefined;
}

/**
 * Opens the journal at `path`, durable with each commit. A damaged file is moved aside as `<path>.corrupt-<n>` and made
 * anew; a missing one is made anew, too, and that is said where one of `expectedBeside` exists, as then there was one.
 * Throws `journal-newer` for a file that only newer agents read, else `journal-failed`.
 */
export function openJournalFile(path: string, expectedBeside: readonly string[], limitBytes: number): OpenedJournal {
  try {
    const wasThere = existsSync(path);
    const found = openSound(path, limitBytes);
    if (!('damage' in found)) {
      const isMissed = !wasThere && expectedBeside.some((beside) => existsSync(beside));
      return { database: found.database, rebuiltBecause: isMissed ? `the journal ${path} was missing` : undefined };
    }
    const aside = moveAside(path);
    const made = openSound(path, limitBytes);
    if ('damage' in made) throw new Error(`a new file is damaged at once: ${made.damage}`);
    return { database: made.database, rebuiltBecause: `the journal was damaged (${found.damage}); it is at ${aside}` };
  } catch (error) {
    throw journalError('open', path, error);
  }
}

/** The coded error for whatever went wrong with the journal at `path`; a coded one stays as it is. */
export function journalError(verb: string, path: string, error: unknown): AgentError {
  if (error instanceof AgentError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new AgentError('journal-failed', `cannot ${verb} ${path}: ${reason}`, {
    details: { path, sqliteCode: error instanceof Database.SqliteError ? error.code : undefined },
    cause: error,
  });
}

function openSound(path: string, limitBytes: number): { readonly database: Database.Database } | { damage: string } {
  const database = new Database(path, { timeout: 2000 });
  try {
    const damage = prepare(database, path, limitBytes);
    if (damage === undefined) return { database };
    database.close();
    return { damage };
  } catch (error) {
    database.close();
    if (error instanceof Database.SqliteError && isDamage(error.code)) return { damage: error.message };
    throw error;
  }
}

// A sector that can't be read is damage, too: a node must not stay degraded for the sake of its history.
function isDamage(code: string): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|IOERR_READ|IOERR_SHORT_READ)/.test(code);
}

/** Checks the file and makes its tables where it is empty. Returns what is damaged, or `undefined`. */
function prepare(database: Database.Database, path: string, limitBytes: number): string | undefined {
  const names = database.prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  const isEmpty = names.length === 0;
  if (!isEmpty) {
    if (!names.some(({ name }) => name === 'meta')) return 'it is not a journal of kaon';
    refuseNewer(database, path);
    const check: unknown = database.pragma('quick_check(1)', { simple: true });
    if (check !== 'ok') return String(check);
  }
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.pragma(`journal_size_limit = ${4 * 1024 * 1024}`);
  database.pragma(`max_page_count = ${Math.ceil(limitBytes / pageBytes)}`);
  if (isEmpty) {
    database.transaction(() => database.exec(tables)).immediate();
    // SQLite makes its log's name durable, not that of a new database.
    syncDirectory(dirname(path));
  }
  database.exec(laterTables);
  return undefined;
}

function refuseNewer(database: Database.Database, path: string): void {
  const value = (key: string): number =>
    Number(
      database.prepare<[string], { value: string }>('SELECT value FROM meta WHERE key = ?').get(key)?.value ??
        schemaVersion,
    );
  if (value('minimumReader') > schemaVersion) {
    throw new AgentError(
      'journal-newer',
      `cannot open ${path}: it wants an agent that reads schema version ${value('minimumReader')}, this one reads ${schemaVersion}`,
      { details: { path, schemaVersion: value('schemaVersion'), minimumReader: value('minimumReader') } },
    );
  }
}

function moveAside(path: string): string {
  const directory = dirname(path);
  const prefix = `${basename(path)}.corrupt-`;
  const numbers = readdirSync(directory)
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter((number) => Number.isInteger(number))
    .sort((one, other) => one - other);
  for (const number of numbers.slice(0, Math.max(0, numbers.length - keptDamagedFiles + 1))) {
    rmSync(join(directory, `${prefix}${number}`), { force: true });
  }
  const aside = join(directory, `${prefix}${(numbers.at(-1) ?? 0) + 1}`);
  // The log belongs to the damaged file: a new one must never replay it.
  for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  renameSync(path, aside);
  syncDirectory(directory);
  return aside;
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
