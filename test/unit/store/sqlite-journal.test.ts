import Database from 'better-sqlite3';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SqliteJournal } from '../../../agent/store/sqlite-journal.ts';

let directory: string;
let path: string;
const opened: SqliteJournal[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-journal-'));
  path = join(directory, 'journal.sqlite');
});
afterEach(() => {
  for (const journal of opened.splice(0)) journal.close();
  rmSync(directory, { recursive: true, force: true });
});

function openJournal(options: { readonly expectedBeside?: readonly string[]; readonly limitBytes?: number } = {}) {
  const journal = new SqliteJournal({ path, ...options });
  opened.push(journal);
  return journal;
}

/** A closed journal with one event and a state. */
async function makeJournal(): Promise<void> {
  const journal = new SqliteJournal({ path });
  await journal.appendEvent({ atMs: 1, updateId: undefined, kind: 'started', message: 'started', details: {} });
  await journal.save({ state: { phase: 'idle' } });
  journal.close();
}

function changeFile(sql: string): void {
  const database = new Database(path);
  database.exec(sql);
  database.close();
}

const corruptFiles = () => readdirSync(directory).filter((name) => name.includes('.corrupt-'));

describe('the journal file', () => {
  it('is flushed with each commit and logged ahead', async () => {
    await makeJournal();
    const journal = openJournal();
    await journal.save({ state: { phase: 'idle' } });
    expect(readdirSync(directory)).toContain('journal.sqlite-wal');
  });

  it('of an agent that did not count what updates move is read, and counted in from then on', async () => {
    const image = { kind: 'install', image: 'registry.acme.io/os:2', from: undefined, until: 'committed' } as const;
    const request = { id: 'u-1', ...image, requestedAtMs: 1, requestedBy: 'operator' } as const;
    const older = new SqliteJournal({ path });
    await older.save({ request });
    older.close();
    changeFile('DROP TABLE transfers');
    const journal = openJournal();
    expect(await journal.update('u-1')).toMatchObject({ request: { id: 'u-1' }, transfer: undefined });
    const moved = { fetchedBytes: 1, keptBytes: 2, copiedBytes: 3, writtenBytes: 4, isResumed: false };
    await journal.save({ transfer: { updateId: 'u-1', moved } });
    expect(await journal.update('u-1')).toMatchObject({ transfer: moved });
    changeFile(`UPDATE transfers SET document = '{"fetchedBytes":"many"}'`);
    expect(await journal.update('u-1')).toMatchObject({ request: { id: 'u-1' }, transfer: undefined });
  });

  it.each([
    ['text', () => writeFileSync(path, 'this is no database, and it is long enough to tell'.repeat(100))],
    [
      'a foreign database',
      () => {
        rmSync(path);
        changeFile('CREATE TABLE cats (name TEXT)');
      },
    ],
    ['a database cut short', () => truncateSync(path, 8192)],
    ['a database with a damaged page', () => overwrite(4096, 8192)],
  ])('that is %s is moved aside, made anew, and said to be', async (_name, damage) => {
    await makeJournal();
    damage();
    const journal = openJournal();
    const { state, rebuiltBecause } = await journal.load();
    expect(state).toBeUndefined();
    expect(rebuiltBecause).toContain(`${path}.corrupt-1`);
    expect(corruptFiles()).toEqual(['journal.sqlite.corrupt-1']);
    await journal.save({ state: { phase: 'idle' } });
    expect((await journal.load()).state).toEqual({ phase: 'idle' });
  });

  it('never answers a flipped byte with anything but a state, a rebuilt journal or a coded error', async () => {
    await makeJournal();
    const sound = readFileSync(path);
    for (let offset = 0; offset < sound.byteLength; offset += 97) {
      for (const name of readdirSync(directory)) rmSync(join(directory, name));
      const flipped = Buffer.from(sound);
      flipped[offset] = flipped[offset]! ^ 0xff;
      writeFileSync(path, flipped);
      try {
        const journal = new SqliteJournal({ path });
        const { state } = await journal.load();
        expect(state === undefined || state.phase === 'idle').toBe(true);
        journal.close();
      } catch (error) {
        expect(error).toMatchObject({ name: 'AgentError', code: expect.stringMatching(/^journal-/) as string });
      }
    }
  });

  it('keeps only the latest damaged files', async () => {
    for (let n = 0; n < 6; n++) {
      writeFileSync(path, 'damaged '.repeat(1000));
      new SqliteJournal({ path }).close();
    }
    expect(corruptFiles().sort()).toEqual(['4', '5', '6'].map((n) => `journal.sqlite.corrupt-${n}`));
  });

  it('that is missing is said to be where the facts prove that there was one', async () => {
    const beside = join(directory, 'facts.0');
    expect((await openJournal({ expectedBeside: [beside] }).load()).rebuiltBecause).toBeUndefined();
    for (const name of readdirSync(directory)) rmSync(join(directory, name));
    writeFileSync(beside, '');
    expect((await openJournal({ expectedBeside: [beside] }).load()).rebuiltBecause).toContain('missing');
  });

  it('of a newer agent is refused when only newer agents read it, and left as it is', async () => {
    await makeJournal();
    changeFile("UPDATE meta SET value = '9' WHERE key IN ('schemaVersion', 'minimumReader')");
    const before = readFileSync(path);
    expect(() => openJournal()).toThrow(expect.objectContaining({ code: 'journal-newer' }) as Error);
    expect(readFileSync(path)).toEqual(before);
    expect(corruptFiles()).toEqual([]);
  });

  it('of a newer agent is used when older agents may, its columns and fields kept', async () => {
    await makeJournal();
    changeFile(`
      UPDATE meta SET value = '2' WHERE key = 'schemaVersion';
      ALTER TABLE updates ADD COLUMN wave TEXT NOT NULL DEFAULT 'first';
      INSERT INTO deployments (slot, document) VALUES ('a', '{"slot":"a","image":"r/os:1","rollbackIndex":0,
        "keyIds":[],"updateId":"u-0","writtenAtMs":1,"ring":"canary"}');
      UPDATE state SET document = '{"phase":"idle","futureField":{"x":1}}';
    `);
    const journal = openJournal();
    const { state, deployments } = await journal.load();
    expect(state).toEqual({ phase: 'idle', futureField: { x: 1 } });
    expect(deployments.a).toMatchObject({ image: 'r/os:1', ring: 'canary' });
    const outcome = { updateId: 'u-1', kind: 'install', result: 'committed', atMs: 1, digest: undefined } as const;
    await journal.save({ outcome });
    expect((await journal.update('u-1'))?.outcome).toEqual(outcome);
  });

  it.each(['{"phase":"hovering"}', 'not JSON', '{"phase":"trial"}', '[]', 'null', ''])(
    'gives no state for the document %j',
    async (document) => {
      await makeJournal();
      changeFile(`UPDATE state SET document = '${document}'`);
      expect((await openJournal().load()).state).toBeUndefined();
    },
  );

  it('reads a code of a newer agent as internal and keeps its message', async () => {
    await makeJournal();
    changeFile(`UPDATE state SET document = '{"phase":"idle","last":{"updateId":"u","kind":"install",
      "result":"failed","atMs":1,"code":"flux-reversed","message":"cannot do it"}}'`);
    expect((await openJournal().load()).state).toMatchObject({ last: { code: 'internal', message: 'cannot do it' } });
  });

  it('is journal-failed when its room is used up, and keeps what it had', async () => {
    const journal = openJournal({ limitBytes: 128 * 1024 });
    await journal.save({ state: { phase: 'idle' } });
    const evidence = [{ kind: 'error', name: 'n', text: 'x'.repeat(200_000) }] as const;
    const rollback = {
      id: 'r',
      updateId: 'u',
      atMs: 1,
      slot: 'a',
      digest: undefined,
      image: 'i',
      reason: 'operator',
      message: 'm',
      evidence,
    } as const;
    await expect(journal.save({ rollback, state: { phase: 'preparing', update: requestOf() } })).rejects.toMatchObject({
      code: 'journal-failed',
      details: { sqliteCode: 'SQLITE_FULL' },
    });
    expect((await journal.load()).state).toEqual({ phase: 'idle' });
    expect(await journal.rollbacks(1)).toEqual([]);
    await journal.save({ outcome: { updateId: 'u', kind: 'install', result: 'failed', atMs: 1, digest: undefined } });
  });

  it('is journal-failed where it can not be opened', () => {
    mkdirSync(path);
    expect(() => openJournal()).toThrow(expect.objectContaining({ code: 'journal-failed' }) as Error);
  });

  it('never replays the log of a damaged file into the one made anew', async () => {
    await makeJournal();
    const writer = new SqliteJournal({ path });
    await writer.save({ state: { phase: 'preparing', update: requestOf() } });
    // What a power cut leaves: the log is not yet merged into the file.
    const [file, log] = [readFileSync(path), readFileSync(`${path}-wal`)];
    writer.close();
    writeFileSync(path, file.fill(0xa5, 4096, 12288));
    writeFileSync(`${path}-wal`, log);
    const { state, rebuiltBecause } = await openJournal().load();
    expect(state).toBeUndefined();
    expect(rebuiltBecause).toContain('damaged');
  });
});

function overwrite(from: number, to: number): void {
  writeFileSync(path, readFileSync(path).fill(0xa5, from, to));
}

function requestOf() {
  return {
    id: 'u-9',
    kind: 'install',
    image: 'i',
    from: undefined,
    until: 'committed',
    requestedAtMs: 1,
    requestedBy: 'operator',
  } as const;
}
