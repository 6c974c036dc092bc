import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BootEvidence, type EvidenceSources } from '../../../agent/evidence/boot-evidence.ts';
import type { CommandRunner } from '../../../agent/evidence/command-runner.ts';
import { parseBootId, SystemJournal } from '../../../agent/evidence/system-journal.ts';

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
    loader: async () => ({ booted: 'a', trial: { slot: 'b', tries: 1, triesLeft: 0 } }),
    orderlyEndsFile: join(directory, 'boots-ended'),
    resetsFile: join(directory, 'resets'),
    panicsFile: join(directory, 'panics'),
    pstoreDirectories: [join(directory, 'pstore'), join(directory, 'archive')],
    pstoreBackendFile: join(directory, 'backend'),
    watchdogDirectory: join(directory, 'watchdog'),
  };
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const collect = (change: Partial<EvidenceSources> = {}, isFallback = false) =>
  new BootEvidence({ ...sources, ...change }).collect(isFallback);

const record = (name: string, text: string) => writeFileSync(join(directory, 'pstore', name), text);

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
    expect(kept).toHaveLength(64);
    expect(kept.at(-1)).toBe('now-boot clear');
  });

  it('is no power loss when the boot was shut down in order, though the agent hung', async () => {
    writeFileSync(sources.orderlyEndsFile, 'other shutdown\ntry-boot trial-guard\ntry-boot shutdown\n');
    const { items, areAllTriesPowerLoss } = await collect();
    expect(areAllTriesPowerLoss).toBe(false);
    expect(items.at(-1)?.text).toContain('try-boot slot b: ended in order by trial-guard');
  });

  it('shows the end of the newest records of the trial, bounded, and takes them for a panic', async () => {
    await collect({ bootId: 'old-boot' });
    for (let n = 0; n < 6; n++) {
      const path = join(directory, 'pstore', `dmesg-efi-${n}`);
      writeFileSync(path, `start ${'x'.repeat(50_000)} Kernel panic - not syncing: ${n}`);
      utimesSync(path, 1000 + n, 1000 + n);
    }
    const { items, areAllTriesPowerLoss, signs } = await collect();
    const panics = items.filter(({ kind }) => kind === 'pstore');
    expect(areAllTriesPowerLoss).toBe(false);
    expect(panics).toHaveLength(3);
    expect(panics[0]?.text).toMatch(/^1970-01-01T00:16:45.000Z x+ Kernel panic - not syncing: 5$/);
    expect(panics.every(({ text }) => text.length < 4200)).toBe(true);
    expect(signs?.panic).toBe('panic');
  });

  it('shows the last words of a panic that its store keeps in parts', async () => {
    await collect({ bootId: 'old-boot' });
    for (const part of [6, 4, 5, 1, 2, 3]) {
      // Neither the names nor the times of files have their order.
      const path = join(directory, 'pstore', `dmesg-efi-${(part + 3) % 6}`);
      writeFileSync(path, `Panic#1 Part${part}\n${part === 1 ? 'Kernel panic - not syncing: at last' : 'earlier'}`);
      // The first ones were written before the second was over.
      utimesSync(path, part > 2 ? 1001 : 1000, part > 2 ? 1001 : 1000);
    }
    const { items } = await collect();
    const panics = items.filter(({ kind }) => kind === 'pstore').map(({ text }) => /Part\d/.exec(text)?.[0]);
    expect(panics).toEqual(['Part1', 'Part2', 'Part3']);
  });

  it('knows the parts of a panic by headers far before their ends', async () => {
    await collect({ bootId: 'old-boot' });
    for (const part of [3, 1, 2]) {
      const path = join(directory, 'pstore', `dmesg-ramoops-${3 - part}`);
      writeFileSync(path, `Panic#12 Part${part}\n${'x'.repeat(50_000)} end ${part}`);
      utimesSync(path, 1000, 1000);
    }
    const { items, signs } = await collect();
    const panics = items.filter(({ kind }) => kind === 'pstore').map(({ text }) => text);
    expect(panics.map((text) => text.replace(/x+/, 'x'))).toEqual(
      [1, 2, 3].map((part) => `1970-01-01T00:16:40.000Z Panic#12 Part${part}\n[…]\nx end ${part}`),
    );
    expect(panics.every((text) => text.length < 4200)).toBe(true);
    // No words of a panic are in any end: the header alone says it.
    expect(signs?.panic).toBe('panic');
  });

  it('shows a header once where the end of the record reaches back to it', async () => {
    await collect({ bootId: 'old-boot' });
    const header = 'Panic#1 Part1\n';
    record('dmesg-efi-1', `${header}${'x'.repeat(4096 - header.length)}`);
    record('dmesg-efi-2', `${header}${'y'.repeat(4097 - header.length)}`);
    const { items } = await collect();
    const texts = items.filter(({ kind }) => kind === 'pstore').map(({ text }) => text.replace(/^\S+ /, ''));
    expect(texts.map((text) => text.replace(/(.)\1+$/, '$1')).toSorted()).toEqual([
      'Panic#1 Part1\n[…]\nanic#1 Part1\ny',
      'Panic#1 Part1\nx',
    ]);
  });

  it('knows a long record by its end, as agents do that read no more of it', async () => {
    const tail = 'z'.repeat(4096);
    const value = createHash('sha256').update(tail).digest('hex').slice(0, 16);
    writeFileSync(sources.panicsFile, `old-boot ${value}\n`);
    record('dmesg-efi-1', `Panic#1 Part1\n${'x'.repeat(1000)}${tail}`);
    const { signs } = await collect();
    expect({ panic: signs?.panic, log: readFileSync(sources.panicsFile, 'utf8') }).toEqual({
      panic: 'none',
      log: `old-boot ${value}\n`,
    });
  });

  it('shows the newest of two panics', async () => {
    await collect({ bootId: 'old-boot' });
    for (const [panic, time, part] of [
      [1, 1000, 1],
      [1, 1001, 2],
      [2, 1050, 1],
      [2, 1051, 2],
    ] as const) {
      const path = join(directory, 'pstore', `dmesg-efi-${panic}${part}`);
      writeFileSync(path, `Panic#${panic} Part${part}\nKernel panic - not syncing: at last`);
      utimesSync(path, time, time);
    }
    const { items } = await collect();
    const panics = items.filter(({ kind }) => kind === 'pstore').map(({ text }) => /Panic#\d Part\d/.exec(text)?.[0]);
    expect(panics).toEqual(['Panic#2 Part1', 'Panic#2 Part2', 'Panic#1 Part1']);
  });

  it('finds the records that systemd-pstore moved into folders', async () => {
    await collect({ bootId: 'old-boot' });
    mkdirSync(join(directory, 'archive/170000'), { recursive: true });
    writeFileSync(
      join(directory, 'archive/170000/dmesg.txt'),
      'Kernel panic - not syncing: VFS: Unable to mount root fs',
    );
    const { items, signs } = await collect();
    expect(items.some(({ kind }) => kind === 'pstore')).toBe(true);
    expect(signs?.panic).toBe('early');
  });

  it('holds a record that was there before the trial against no trial', async () => {
    record('dmesg-efi-1', 'Kernel panic - not syncing: of last year');
    await collect({ bootId: 'old-boot' });
    const first = await collect({ bootId: 'try-boot' });
    const { items, areAllTriesPowerLoss, signs } = await collect();
    expect([first, { items }].flatMap((one) => one.items).filter(({ kind }) => kind === 'pstore')).toEqual([]);
    expect(areAllTriesPowerLoss).toBe(true);
    expect(signs?.panic).toBe('none');
  });

  it('can not tell new records from old ones in the boot that begins the list of them', async () => {
    record('dmesg-efi-1', 'Kernel panic - not syncing');
    const { areAllTriesPowerLoss, signs } = await collect();
    expect({ areAllTriesPowerLoss, panic: signs?.panic }).toEqual({ areAllTriesPowerLoss: false, panic: 'unknown' });
  });

  it.each<[string, () => Partial<EvidenceSources>]>([
    ['the node has no watchdog', () => ({ watchdogDirectory: join(directory, 'none') })],
    ['the node has no backend for panic records', () => ({ pstoreBackendFile: join(directory, 'none') })],
    ['the loader can not be read', () => ({ loader: () => Promise.reject(new Error('no loader')) })],
    ['the journal can not be read', () => ({ boots: () => Promise.reject(new Error('no journal')) })],
    ['the panic records can not be read', () => ({ pstoreDirectories: [join(directory, 'backend')] })],
    ['the resets can not be written', () => ({ resetsFile: join(directory, 'none', 'resets') })],
    ['the boot ends can not be read', () => ({ orderlyEndsFile: directory })],
  ])('does not know a power loss when %s, and never rejects', async (_name, change) => {
    expect((await collect(change())).areAllTriesPowerLoss).toBe(false);
  });

  it('does not know a power loss when the list of panic records can not be written', async () => {
    expect((await collect({ panicsFile: join(directory, 'none', 'panics') })).areAllTriesPowerLoss).toBe(false);
  });

  it('says which source could not be read', async () => {
    const { items } = await collect({ loader: () => Promise.reject(new Error('no loader')) });
    expect(items).toContainEqual({ kind: 'error', name: 'the loader', text: 'cannot read the loader: no loader' });
  });
});

/** Answers `journalctl` and `systemctl` by the last of their options. */
class ScriptedJournal implements CommandRunner {
  readonly ran: string[] = [];
  readonly #answers: Readonly<Record<string, string>>;

  constructor(answers: Readonly<Record<string, string>>) {
    this.#answers = answers;
  }

  async run(argv: readonly string[]) {
    this.ran.push(argv.join(' '));
    const found = Object.entries(this.#answers).find(([words]) => argv.join(' ').includes(words));
    return found === undefined ? { exitCode: 1, output: 'no such boot' } : { exitCode: 0, output: found[1] };
  }
}

const idOfTry = '0a1b2c3d4e5f60718293a4b5c6d7e8f9';
const dashed = '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9';

describe("the system's journal", () => {
  const answers = {
    '--output=json': `{"_BOOT_ID":"${idOfTry}"}`,
    [`--boot=${idOfTry} --lines=80`]: 'web.service: Failed',
    [`--boot=${idOfTry} --lines=30`]: 'ext4 error',
  };
  const withJournal = (commands: CommandRunner) => ({ systemJournal: new SystemJournal(commands) });

  it('is asked only after a fallback', async () => {
    const commands = new ScriptedJournal(answers);
    await collect(withJournal(commands));
    expect(commands.ran).toEqual([]);
  });

  it('gives the end and the errors of the try, and tells of a userspace in which no agent came up', async () => {
    const { items, signs } = await collect(withJournal(new ScriptedJournal(answers)), true);
    expect(items.filter(({ kind }) => kind === 'journal').map(({ name, text }) => [name, text])).toEqual([
      ['boot 0a1b2c3d, its end', 'web.service: Failed'],
      ['boot 0a1b2c3d, its errors', 'ext4 error'],
    ]);
    expect(signs?.hasUnseenUserspace).toBe(true);
  });

  it('says that there is none, which is no fault', async () => {
    const { items, areAllTriesPowerLoss } = await collect(withJournal(new ScriptedJournal({})), true);
    const text = "the system's journal has none of an earlier boot: no such boot";
    expect(items).toContainEqual({ kind: 'journal', name: 'boots before this one', text });
    expect(areAllTriesPowerLoss).toBe(true);
  });

  it('is not taken for that of the trial where each slot keeps its own', async () => {
    const boots = async () => [
      { bootId: dashed, slot: 'a' as const, firstSeenAtMs: 1, isEndedCleanly: true },
      { bootId: 'try-boot', slot: 'b' as const, firstSeenAtMs: 2, isEndedCleanly: false },
    ];
    const commands = new ScriptedJournal(answers);
    const { items, signs } = await collect({ ...withJournal(commands), boots }, true);
    expect(items.find(({ kind }) => kind === 'journal')?.text).toContain('has nothing of the trial');
    expect(commands.ran).toHaveLength(1);
    expect(signs?.hasUnseenUserspace).toBe(false);
  });

  it('tells of a trial that is given up: its failed units and its errors', async () => {
    const commands = new ScriptedJournal({ 'list-units': 'web.service loaded failed failed Web', '--boot=0': '' });
    const items = await new BootEvidence({ ...sources, ...withJournal(commands) }).collectInTrial();
    expect(items).toEqual([
      { kind: 'units', name: 'failed units of the trial', text: 'web.service loaded failed failed Web' },
      { kind: 'journal', name: 'errors of the trial', text: 'nothing' },
    ]);
  });

  it.each([
    ['', undefined],
    ['{"_BOOT_ID":"short"}', undefined],
    [`{"__CURSOR":"s=1;b=2","_BOOT_ID" : "${idOfTry}"}`, dashed],
  ])('names the boot in %j as %s', (output, expected) => {
    expect(parseBootId(output)).toBe(expected);
  });
});
