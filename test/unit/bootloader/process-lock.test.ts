import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProcessLock } from '../../../bootloader/process-lock.ts';

let folder = '';
let path = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rm(folder, { recursive: true }));

describe('the lock of a process', () => {
  it('names its holder while it is held, and leaves nothing behind', async () => {
    const held = await new ProcessLock(path).locked(async () => [await readFile(path, 'utf8'), await readdir(folder)]);
    expect(held).toEqual([String(process.pid), ['lock']]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is given back where the change fails', async () => {
    const lock = new ProcessLock(path);
    await expect(lock.locked(() => Promise.reject(new Error('the change failed')))).rejects.toThrow(
      'the change failed',
    );
    expect(await readdir(folder)).toEqual([]);
  });

  it('is taken over from a process that ended', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(path, String(pid));
    expect(await new ProcessLock(path).locked(async () => readFile(path, 'utf8'))).toBe(String(process.pid));
  });

  it('has one holder, where many want that of a process that ended', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    for (let round = 0; round < 20; round += 1) {
      await writeFile(path, String(pid));
      let holders = 0;
      const most = await Promise.all(
        Array.from({ length: 8 }, () =>
          new ProcessLock(path).locked(async () => {
            holders += 1;
            const seen = holders;
            await readFile(path);
            holders -= 1;
            return seen;
          }),
        ),
      );
      expect(Math.max(...most)).toBe(1);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('is taken over where the one who took it over ended in the middle', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(path, String(pid));
    await writeFile(`${path}.takeover`, String(pid));
    await new ProcessLock(path).locked(async () => undefined);
    expect(await readdir(folder)).toEqual([]);
  });

  it('never lies there without a pid, so that nobody who is killed leaves one that is held for ever', async () => {
    const reader = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
      const { readFileSync } = require('node:fs');
      const isEmpty = () => { try { return readFileSync(workerData, 'utf8') === ''; } catch { return false; } };
      parentPort.postMessage('begun');
      let count = 0;
      for (const endMs = performance.now() + 500; performance.now() < endMs; ) if (isEmpty()) count += 1;
      parentPort.postMessage(count);`,
      { eval: true, workerData: path },
    );
    await once(reader, 'message');
    let emptyCount: number | undefined;
    reader.once('message', (count: number) => (emptyCount = count));
    const lock = new ProcessLock(path);
    while (emptyCount === undefined) await lock.locked(async () => undefined);
    expect(emptyCount).toBe(0);
    await reader.terminate();
  });

  it('cannot be taken where no file can be made', async () => {
    await expect(new ProcessLock(join(folder, 'missing', 'lock')).locked(async () => 1)).rejects.toMatchObject({
      code: 'boot-env-write-failed',
    });
  });
});
