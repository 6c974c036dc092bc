import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IndexCache } from '../../agent/core/index-cache.ts';
import { IndexCacheFiles } from '../../agent/store/index-cache-files.ts';
import { MemoryIndexCache } from '../fakes/memory-index-cache.ts';

interface Subject {
  readonly cache: IndexCache;
  /** The same as a process that starts later finds it. */
  readonly restart: () => IndexCache;
}

const limitBytes = 10_000;
let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'kaon-index-'));
  directory = join(parent, 'lib', 'kaon-slotd');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

function openFiles(): Subject {
  return {
    cache: new IndexCacheFiles(directory, limitBytes),
    restart: () => new IndexCacheFiles(directory, limitBytes),
  };
}

function openMemory(): Subject {
  const cache = new MemoryIndexCache(limitBytes);
  return { cache, restart: () => cache };
}

const sizes = { headSizeBytes: 4, layerSizeBytes: 10 };
const refusal = { code: 'journal-failed' };

async function keep(cache: IndexCache, slot: 'a' | 'b', partition: string, text: string): Promise<void> {
  const draft = await cache.begin(slot, partition, { ...sizes, layerSizeBytes: text.length });
  await draft.write(0, Buffer.from(text));
  await draft.commit();
}

async function textOf(cache: IndexCache, slot: 'a' | 'b', partition: string): Promise<string | undefined> {
  const kept = await cache.open(slot, partition);
  if (kept === undefined) return undefined;
  const bytes = await kept.read(0, kept.sizes.layerSizeBytes);
  await kept.close();
  return Buffer.from(bytes).toString();
}

describe.each([
  ['IndexCacheFiles', openFiles],
  ['MemoryIndexCache', openMemory],
])('kept block indexes, as %s', (_name, open) => {
  it('are none where none was ever kept', async () => {
    const { cache } = open();
    expect(await cache.open('a', 'root')).toBeUndefined();
    await cache.remove('a');
    await keep(cache, 'a', 'root', '0123456789');
    expect(await cache.open('b', 'root')).toBeUndefined();
    expect(await cache.open('a', 'boot')).toBeUndefined();
  });

  it('come back after a restart, each its own, with their sizes', async () => {
    const { cache, restart } = open();
    await keep(cache, 'a', 'root', 'root of slot a');
    await keep(cache, 'a', 'boot', 'boot');
    await keep(cache, 'b', 'root', 'root of slot b');
    expect(await textOf(restart(), 'a', 'root')).toBe('root of slot a');
    expect(await textOf(restart(), 'a', 'boot')).toBe('boot');
    expect(await textOf(restart(), 'b', 'root')).toBe('root of slot b');
    const kept = await restart().open('a', 'root');
    expect(kept?.sizes).toEqual({ headSizeBytes: 4, layerSizeBytes: 14 });
    await kept?.close();
  });

  it('are put together in any order, read meanwhile, and are zeros where nothing was written', async () => {
    const { cache } = open();
    const draft = await cache.begin('b', 'root', sizes);
    await draft.write(6, Buffer.from('efg'));
    await draft.write(1, Buffer.from('bc'));
    expect(Buffer.from(await draft.read(5, 3)).toString()).toBe('\0ef');
    await draft.commit();
    expect(await textOf(cache, 'b', 'root')).toBe('\0bc\0\0\0efg\0');
  });

  it('stay as they were until another is committed, and when it is discarded or left', async () => {
    const { cache, restart } = open();
    await keep(cache, 'b', 'root', 'the old one');
    const discarded = await cache.begin('b', 'root', sizes);
    await discarded.write(0, Buffer.from('no'));
    expect(await textOf(cache, 'b', 'root')).toBe('the old one');
    await discarded.discard();
    const left = await cache.begin('b', 'root', sizes);
    await left.write(0, Buffer.from('lost'));
    expect(await textOf(restart(), 'b', 'root')).toBe('the old one');
    await keep(restart(), 'b', 'root', 'the new one');
    expect(await textOf(restart(), 'b', 'root')).toBe('the new one');
    await left.discard();
    expect(await textOf(restart(), 'b', 'root')).toBe('the new one');
  });

  it('are dropped for one slot and not for the other', async () => {
    const { cache, restart } = open();
    await keep(cache, 'a', 'root', 'of a');
    await keep(cache, 'b', 'root', 'of b');
    await keep(cache, 'b', 'boot', 'of b');
    await cache.remove('b');
    expect(await restart().open('b', 'root')).toBeUndefined();
    expect(await restart().open('b', 'boot')).toBeUndefined();
    expect(await textOf(restart(), 'a', 'root')).toBe('of a');
    await cache.remove('b');
  });

  it('refuse what is larger than is kept, and ranges that are not in them', async () => {
    const { cache } = open();
    await expect(cache.begin('a', 'root', { headSizeBytes: 1, layerSizeBytes: limitBytes + 1 })).rejects.toMatchObject(
      refusal,
    );
    await expect(cache.begin('a', 'root', { headSizeBytes: 11, layerSizeBytes: 10 })).rejects.toMatchObject(refusal);
    const draft = await cache.begin('a', 'root', sizes);
    await expect(draft.write(8, Buffer.from('xyz'))).rejects.toMatchObject(refusal);
    await expect(draft.read(8, 3)).rejects.toMatchObject(refusal);
    await draft.discard();
    expect(await cache.open('a', 'root')).toBeUndefined();
  });
});

describe('kept block indexes in files', () => {
  const file = () => join(directory, 'index-b-root');

  it('are closed to everybody but their owner, and leave nothing behind', async () => {
    const cache = new IndexCacheFiles(directory);
    await keep(cache, 'b', 'root', '0123456789');
    await (await cache.begin('b', 'root', sizes)).discard();
    expect([directory, file()].map((path) => statSync(path).mode & 0o077)).toEqual([0, 0]);
    expect(readdirSync(directory)).toEqual(['index-b-root']);
  });

  it('have the bytes that version 1 has', async () => {
    await keep(new IndexCacheFiles(directory), 'b', 'root', '0123456789');
    const header = '6b616f6e6b657074' + '01000000' + '04000000' + '0a00000000000000' + '0000000000000000';
    expect(readFileSync(file()).toString('hex')).toBe(header + Buffer.from('0123456789').toString('hex'));
  });

  it('are none where a file is cut, longer, of another kind or version, or says what can not be', async () => {
    const cache = new IndexCacheFiles(directory, limitBytes);
    await keep(cache, 'b', 'root', '0123456789');
    const sound = readFileSync(file());
    const changed = (at: number, value: number) => {
      const bytes = Buffer.from(sound);
      bytes.writeUInt32LE(value, at);
      return bytes;
    };
    const cuts = Array.from({ length: sound.byteLength }, (_, sizeBytes) => sound.subarray(0, sizeBytes));
    const others = [changed(0, 0), changed(8, 2), changed(12, 0), changed(12, 11), changed(16, 11), changed(20, 9)];
    for (const bytes of [...cuts, ...others, Buffer.concat([sound, Buffer.alloc(1)])]) {
      writeFileSync(file(), bytes);
      expect(await cache.open('b', 'root')).toBeUndefined();
    }
    await keep(cache, 'b', 'root', 'again');
    expect(await textOf(cache, 'b', 'root')).toBe('again');
  });

  it('reject with journal-failed where the directory is a file', async () => {
    mkdirSync(join(parent, 'lib'));
    writeFileSync(directory, '');
    const cache = new IndexCacheFiles(directory);
    await expect(cache.open('b', 'root')).rejects.toMatchObject(refusal);
    await expect(cache.begin('b', 'root', sizes)).rejects.toMatchObject(refusal);
    await expect(cache.remove('b')).rejects.toMatchObject(refusal);
  });

  it('have no place for a partition whose name leads elsewhere', async () => {
    await expect(new IndexCacheFiles(directory).open('b', '../root')).rejects.toThrow(/^internal:/);
  });
});
