import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointFile } from '../../agent/store/checkpoint-file.ts';
import type { CheckpointStore, WriteCheckpoint } from '../../partitions/checkpoint.ts';
import { MemoryCheckpoints } from '../fakes/memory-checkpoints.ts';

interface Subject {
  readonly store: CheckpointStore;
  /** The same store as a process that starts later finds it. */
  readonly restart: () => CheckpointStore;
}

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'kaon-checkpoints-'));
  directory = join(parent, 'lib', 'kaon-slotd');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

function openFile(): Subject {
  return { store: new CheckpointFile(directory), restart: () => new CheckpointFile(directory) };
}

function openMemory(): Subject {
  const store = new MemoryCheckpoints();
  return { store, restart: () => store };
}

const first: WriteCheckpoint = {
  manifestDigest: `sha256:${'1'.repeat(64)}`,
  frames: { root: Uint8Array.of(0xfe, 0xff, 0x03), boot: new Uint8Array(0), constructor: Uint8Array.of(1) },
};
const second: WriteCheckpoint = { manifestDigest: `sha256:${'2'.repeat(64)}`, frames: {} };

describe.each([
  ['CheckpointFile', openFile],
  ['MemoryCheckpoints', openMemory],
])('checkpoints, as %s', (_name, open) => {
  it('are none of a slot that never had one', async () => {
    const { store } = open();
    expect(await store.load('a')).toBeUndefined();
    await store.save('a', first);
    expect(await store.load('b')).toBeUndefined();
  });

  it('come back whole after a restart, each slot its own, the last one saved', async () => {
    const { store, restart } = open();
    await store.save('a', second);
    await store.save('a', first);
    await store.save('b', second);
    expect(await restart().load('a')).toEqual(first);
    expect(await restart().load('b')).toEqual(second);
  });

  it('are gone when they were removed, also where there was none', async () => {
    const { store, restart } = open();
    await store.remove('b');
    await store.save('a', first);
    await store.remove('a');
    expect(await restart().load('a')).toBeUndefined();
  });

  it('keep what was saved when the saver changes its bits', async () => {
    const { store } = open();
    const bits = Uint8Array.of(1);
    await store.save('a', { ...first, frames: { root: bits } });
    bits[0] = 0xff;
    expect((await store.load('a'))?.frames['root']).toEqual(Uint8Array.of(1));
  });
});

describe('CheckpointFile', () => {
  const path = () => join(directory, 'checkpoint-a.json');

  it('leaves nothing beside its file, which nobody else can read', async () => {
    await new CheckpointFile(directory).save('a', first);
    expect(readdirSync(directory)).toEqual(['checkpoint-a.json']);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it('finds none in a file that was damaged in any byte, cut, or is of a later format', async () => {
    await new CheckpointFile(directory).save('a', first);
    const sound = readFileSync(path());
    const load = () => new CheckpointFile(directory).load('a');
    for (let at = 0; at < sound.byteLength; at += 1) {
      const damaged = Buffer.from(sound);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      writeFileSync(path(), damaged);
      const found = await load();
      if (found !== undefined) expect(found).toEqual(first);
    }
    writeFileSync(path(), sound.subarray(0, sound.byteLength / 2));
    expect(await load()).toBeUndefined();
    writeFileSync(path(), sound.toString().replace('"formatVersion":1', '"formatVersion":2'));
    expect(await load()).toBeUndefined();
    writeFileSync(path(), Buffer.alloc(4 * 1024 * 1024 + 1, 0x20));
    expect(await load()).toBeUndefined();
  });

  it('says what is in its way', async () => {
    mkdirSync(join(parent, 'lib'));
    writeFileSync(directory, '');
    const failed = expect.objectContaining({ code: 'journal-failed' }) as Error;
    await expect(new CheckpointFile(directory).save('a', first)).rejects.toEqual(failed);
    await expect(new CheckpointFile(directory).load('a')).rejects.toEqual(failed);
  });
});
