import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BootEvidence, type EvidenceSources } from '../../../agent/evidence/boot-evidence.ts';

let directory: string;
let sources: EvidenceSources;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-evidence-'));
  for (const name of ['pstore', 'watchdog/watchdog0']) mkdirSync(join(directory, name), { recursive: true });
  writeFileSync(join(directory, 'watchdog/watchdog0/bootstatus'), '0\n');
  writeFileSync(join(directory, 'watchdog/watchdog0/options'), '0x81a0\n');
  writeFileSync(join(directory, 'backend'), 'efi_pstore\n');
  sources = {
    bootId: 'now-boot',
    boots: async () => [
      { bootId: 'old-boot', slot: 'a', firstSeenAtMs: 1, isEndedCleanly: true },
      { bootId: 'try-boot', slot: 'b', firstSeenAtMs: 2, isEndedCleanly: false },
    ],
    trial: async () => ({ slot: 'b', tries: 1, triesLeft: 0 }),
    orderlyEndsFile: join(directory, 'boots-ended'),
    resetsFile: join(directory, 'resets'),
    pstoreDirectories: [join(directory, 'pstore'), join(directory, 'archive')],
    pstoreBackendFile: join(directory, 'backend'),
    watchdogDirectory: join(directory, 'watchdog'),
  };
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const collect = (change: Partial<EvidenceSources> = {}, sinceMs = 0) =>
  new BootEvidence({ ...sources, ...change }).collect(sinceMs);

describe('collecting evidence', () => {
  it('knows a power loss when every source speaks', async () => {
    const { items, areAllTriesPowerLoss } = await collect();
    expect(areAllTriesPowerLoss).toBe(true);
    expect(items.map(({ kind, name }) => [kind, name])).toEqual([
      ['boots', 'reset'],
      ['boots', 'latest boots'],
    ]);
    expect(items[1]?.text).toContain('try-boot slot b: ended abruptly');
  });

  it('writes down what the watchdog says at each boot, once', async () => {
    await collect();
    writeFileSync(join(directory, 'watchdog/watchdog0/bootstatus'), '32\n');
    await collect();
    expect(readFileSync(sources.resetsFile, 'utf8')).toBe('now-boot clear\n');
    await collect({ bootId: 'next-boot' });
    expect(readFileSync(sources.resetsFile, 'utf8')).toBe('now-boot clear\nnext-boot watchdog\n');
  });

  it('keeps a bounded number of resets and passes over lines that make no sense', async () => {
    const lines = Array.from({ length: 100 }, (_unused, n) => `boot-${n} clear\n`).join('');
    writeFileSync(sources.resetsFile, `\0\n${lines}`);
    await collect();
    const kept = readFileSync(sources.resetsFile, 'utf8').trim().split('\n');
    expect(kept).toHaveLength(32);
    expect(kept.at(-1)).toBe('now-boot clear');
  });

  it('is no power loss when the boot was shut down in order, though the agent hung', async () => {
    writeFileSync(sources.orderlyEndsFile, 'other shutdown\ntry-boot trial-guard\ntry-boot shutdown\n');
    const { items, areAllTriesPowerLoss } = await collect();
    expect(areAllTriesPowerLoss).toBe(false);
    expect(items.at(-1)?.text).toContain('try-boot slot b: ended in order by trial-guard');
  });

  it('shows the end of the newest panic records, bounded, and takes them for a panic', async () => {
    for (let n = 0; n < 6; n++) {
      const path = join(directory, 'pstore', `dmesg-efi-${n}`);
      writeFileSync(path, `start ${'x'.repeat(50_000)} Kernel panic ${n}`);
      utimesSync(path, 1000 + n, 1000 + n);
    }
    const { items, areAllTriesPowerLoss } = await collect();
    const panics = items.filter(({ kind }) => kind === 'pstore');
    expect(areAllTriesPowerLoss).toBe(false);
    expect(panics).toHaveLength(3);
    expect(panics[0]?.text).toMatch(/^1970-01-01T00:16:45.000Z x+ Kernel panic 5$/);
    expect(panics.every(({ text }) => text.length < 2048)).toBe(true);
  });

  it('finds the records that systemd-pstore moved into folders, and leaves out older ones than asked for', async () => {
    const path = join(directory, 'archive/170000/dmesg.txt');
    mkdirSync(join(directory, 'archive/170000'), { recursive: true });
    writeFileSync(path, 'Kernel panic');
    utimesSync(path, 1000, 1000);
    expect((await collect()).items.some(({ kind }) => kind === 'pstore')).toBe(true);
    expect((await collect({}, 2_000_000)).items.some(({ kind }) => kind === 'pstore')).toBe(false);
  });

  it.each<[string, () => Partial<EvidenceSources>]>([
    ['the node has no watchdog', () => ({ watchdogDirectory: join(directory, 'none') })],
    ['the node has no backend for panic records', () => ({ pstoreBackendFile: join(directory, 'none') })],
    ['the loader can not be read', () => ({ trial: () => Promise.reject(new Error('no loader')) })],
    ['the journal can not be read', () => ({ boots: () => Promise.reject(new Error('no journal')) })],
    ['the panic records can not be read', () => ({ pstoreDirectories: [join(directory, 'backend')] })],
    ['the resets can not be written', () => ({ resetsFile: join(directory, 'none', 'resets') })],
    ['the boot ends can not be read', () => ({ orderlyEndsFile: directory })],
  ])('does not know a power loss when %s, and never rejects', async (_name, change) => {
    expect((await collect(change())).areAllTriesPowerLoss).toBe(false);
  });

  it('says which source could not be read', async () => {
    const { items } = await collect({ trial: () => Promise.reject(new Error('no loader')) });
    expect(items).toContainEqual({ kind: 'error', name: 'the loader', text: 'cannot read the loader: no loader' });
  });
});
