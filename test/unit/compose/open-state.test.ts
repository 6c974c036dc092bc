import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { degradedConfig } from '../../../agent/compose/degraded-config.ts';
import { openState, type OpenedState } from '../../../agent/compose/open-state.ts';

let directory: string;
let opened: OpenedState[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-open-state-'));
  opened = [];
});
afterEach(() => {
  for (const { close } of opened) close();
  rmSync(directory, { recursive: true });
});

const stateDir = () => join(directory, 'state');

async function open(path = stateDir()): Promise<OpenedState> {
  const state = await openState(degradedConfig(path));
  opened.push(state);
  return state;
}

/** A state directory that an agent has left behind. */
async function leaveState(): Promise<void> {
  const { journal, facts, close } = await open();
  await journal.save({ state: { phase: 'idle' } });
  await facts.change((data) => ({ ...data, rollbackFloor: 7 }));
  close();
}

const codes = ({ faults }: OpenedState) => faults.map(({ code }) => code);

describe('the state of an agent', () => {
  it('is empty on a new node, and can be used at once', async () => {
    const state = await open();
    expect(state).toMatchObject({ wasEmpty: true, faults: [] });
    await state.journal.save({ state: { phase: 'idle' } });
    expect((await state.journal.load()).state).toEqual({ phase: 'idle' });
    expect(state.facts.isLost).toBe(false);
  });

  it('is found again', async () => {
    await leaveState();
    const state = await open();
    expect(state).toMatchObject({ wasEmpty: false, faults: [] });
    expect(state.facts.data.rollbackFloor).toBe(7);
    expect(await state.journal.load()).toMatchObject({ state: { phase: 'idle' }, rebuiltBecause: undefined });
  });

  it.each([['facts.0'], ['facts.1'], ['facts.exist'], ['journal.db']])('was not empty with %s alone', async (name) => {
    mkdirSync(stateDir());
    writeFileSync(join(stateDir(), name), '');
    expect((await open()).wasEmpty).toBe(false);
  });

  it('is empty where only a copy of the configuration lies', async () => {
    mkdirSync(stateDir());
    writeFileSync(join(stateDir(), 'last-good-config-1.0.0.json'), '{}');
    expect((await open()).wasEmpty).toBe(true);
  });

  it('says that its journal is gone while its facts are there', async () => {
    await leaveState();
    for (const name of readdirSync(stateDir())) {
      if (name.startsWith('journal.db')) rmSync(join(stateDir(), name));
    }
    const state = await open();
    expect(state).toMatchObject({ wasEmpty: false, faults: [] });
    expect((await state.journal.load()).rebuiltBecause).toContain('was missing');
  });

  it('says that its facts are lost, which is no fault of the agent', async () => {
    await leaveState();
    for (const name of ['facts.0', 'facts.1']) rmSync(join(stateDir(), name), { force: true });
    const state = await open();
    expect(state.faults).toEqual([]);
    expect(state.facts.isLost).toBe(true);
  });
});

describe('a state that cannot be used', () => {
  it('is a list of faults where its directory is a file, and nothing is taken for saved', async () => {
    const path = join(directory, 'a-file');
    writeFileSync(path, 'mine');
    const state = await open(path);
    expect(codes(state)).toEqual(['state-dir-invalid', 'journal-failed', 'facts-failed']);
    await expect(state.journal.save({ state: { phase: 'idle' } })).rejects.toMatchObject({ code: 'journal-failed' });
    await expect(state.journal.load()).rejects.toMatchObject({ code: 'journal-failed' });
    state.close();
    expect(readFileSync(path, 'utf8')).toBe('mine');
  });

  it('is a fault where a newer agent wrote the journal, and the facts are still read', async () => {
    await leaveState();
    const database = new Database(join(stateDir(), 'journal.db'));
    database.exec("UPDATE meta SET value = '9' WHERE key = 'minimumReader'");
    database.close();
    const state = await open();
    expect(codes(state)).toEqual(['journal-newer']);
    expect(state.facts.data.rollbackFloor).toBe(7);
    await expect(state.journal.load()).rejects.toMatchObject({ code: 'journal-newer' });
  });

  it('is a fault where the facts cannot be read, and the journal is still written', async () => {
    await leaveState();
    rmSync(join(stateDir(), 'facts.0'));
    mkdirSync(join(stateDir(), 'facts.0'));
    const state = await open();
    expect(codes(state)).toEqual(['facts-failed']);
    expect((await state.journal.load()).state).toEqual({ phase: 'idle' });
  });
});
