import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WrittenRecords, WrittenSlot } from '../../agent/core/ports.ts';
import { WrittenRecordsFile } from '../../agent/store/written-records-file.ts';
import { MemoryWrittenRecords } from '../fakes/memory-written-records.ts';

interface Subject {
  readonly records: WrittenRecords;
  /** The same records as a process that starts later finds them. */
  readonly restart: () => WrittenRecords;
}

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'kaon-written-'));
  directory = join(parent, 'lib', 'kaon-slotd');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

function openFile(): Subject {
  return { records: new WrittenRecordsFile(directory), restart: () => new WrittenRecordsFile(directory) };
}

function openMemory(): Subject {
  const records = new MemoryWrittenRecords();
  return { records, restart: () => records };
}

const first: WrittenSlot = {
  manifestDigest: `sha256:${'1'.repeat(64)}`,
  partitions: [
    { name: 'root', sizeBytes: 4_294_967_296, digest: `sha256:${'2'.repeat(64)}` },
    { name: 'data', sizeBytes: 0, digest: `sha256:${'3'.repeat(64)}` },
  ],
};
const second: WrittenSlot = { manifestDigest: `sha256:${'4'.repeat(64)}`, partitions: [] };

describe.each([
  ['WrittenRecordsFile', openFile],
  ['MemoryWrittenRecords', openMemory],
])('written records, as %s', (_name, open) => {
  it('have nothing of a slot that was never saved, also where nothing was ever saved', async () => {
    const { records } = open();
    expect(await records.read('a')).toBeUndefined();
    await records.save('a', first);
    expect(await records.read('b')).toBeUndefined();
  });

  it('come back whole after a restart, each slot its own', async () => {
    const { records, restart } = open();
    await records.save('a', first);
    await records.save('b', second);
    expect(await restart().read('a')).toEqual(first);
    expect(await restart().read('b')).toEqual(second);
  });

  it('give the last of many saves', async () => {
    const { records, restart } = open();
    await records.save('b', first);
    await records.save('b', second);
    expect(await restart().read('b')).toEqual(second);
  });

  it('lose the slot that is removed and no other', async () => {
    const { records, restart } = open();
    await records.save('a', first);
    await records.save('b', second);
    await records.remove('b');
    expect(await restart().read('b')).toBeUndefined();
    expect(await restart().read('a')).toEqual(first);
  });

  it('do not mind a removal of what is not there, once or twice', async () => {
    const { records } = open();
    await records.remove('a');
    await records.save('a', first);
    await records.remove('a');
    await records.remove('a');
    expect(await records.read('a')).toBeUndefined();
  });

  it('are saved again after a removal', async () => {
    const { records, restart } = open();
    await records.save('a', first);
    await records.remove('a');
    await records.save('a', second);
    expect(await restart().read('a')).toEqual(second);
  });
});

describe('written records in files', () => {
  const file = () => join(directory, 'written-b.json');

  it('are closed to everybody but their owner', async () => {
    await new WrittenRecordsFile(directory).save('b', first);
    expect([directory, file()].map((path) => statSync(path).mode & 0o077)).toEqual([0, 0]);
    expect(readdirSync(directory)).toEqual(['written-b.json']);
  });

  it.each([
    ['empty', ''],
    ['not JSON', '{"formatVersion":1,'],
    ['of another format', JSON.stringify({ formatVersion: 2, ...first })],
    ['without a digest', JSON.stringify({ formatVersion: 1, partitions: [] })],
    [
      'with a partition without its size',
      JSON.stringify({ formatVersion: 1, ...first, partitions: [{ name: 'root' }] }),
    ],
    ['larger than any record', `${JSON.stringify({ formatVersion: 1, ...first })}${' '.repeat(70_000)}`],
  ])('are no record where the file is %s, and can be saved again', async (_what, text) => {
    const records = new WrittenRecordsFile(directory);
    mkdirSync(directory, { recursive: true });
    writeFileSync(file(), text);
    expect(await records.read('b')).toBeUndefined();
    await records.save('b', first);
    expect(await records.read('b')).toEqual(first);
  });

  it('are not what a save that was cut short left behind', async () => {
    const records = new WrittenRecordsFile(directory);
    await records.save('b', first);
    writeFileSync(`${file()}.new`, JSON.stringify({ formatVersion: 1, ...second }));
    expect(await records.read('b')).toEqual(first);
    await records.remove('b');
    expect(await records.read('b')).toBeUndefined();
  });

  it('keep fields of a newer agent from breaking an older one', async () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file(), JSON.stringify({ formatVersion: 1, ...first, writtenAtMs: 5 }));
    expect(await new WrittenRecordsFile(directory).read('b')).toEqual(first);
  });

  it('reject with journal-failed where the directory is a file', async () => {
    mkdirSync(join(parent, 'lib'));
    writeFileSync(directory, '');
    const records = new WrittenRecordsFile(directory);
    const refusal = { code: 'journal-failed', details: { path: file() } };
    await expect(records.read('b')).rejects.toMatchObject(refusal);
    await expect(records.save('b', first)).rejects.toMatchObject(refusal);
    await expect(records.remove('b')).rejects.toMatchObject(refusal);
  });

  it('reject with journal-failed where something else has the place of the file', async () => {
    mkdirSync(file(), { recursive: true });
    const records = new WrittenRecordsFile(directory);
    await expect(records.read('b')).rejects.toMatchObject({ code: 'journal-failed' });
    await expect(records.save('b', first)).rejects.toMatchObject({ code: 'journal-failed' });
    await expect(records.remove('b')).rejects.toMatchObject({ code: 'journal-failed' });
  });
});
