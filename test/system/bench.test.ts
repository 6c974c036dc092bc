import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { benchRows } from '../bench/rows.ts';

const program = fileURLToPath(new URL('../bench/bench.ts', import.meta.url));

interface Report {
  readonly lines: readonly { readonly row: string; readonly outcome: string; readonly note: string }[];
}

const benchFolders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('kaon-bench-'));

it('the bench measures every row with a tiny image, and leaves nothing behind', { timeout: 300_000 }, async () => {
  const before = await benchFolders();
  const child = spawn(process.execPath, [program, '--quick', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text));
  const exitCode = await new Promise((resolve) => child.once('close', resolve));
  expect(exitCode, texts.stderr).toBe(0);
  const { lines } = JSON.parse(texts.stdout) as Report;
  expect(lines.map(({ row }) => row)).toEqual(benchRows.map(({ name }) => name));
  const notRun = lines.filter(({ outcome }) => outcome !== 'measured');
  expect(notRun.map(({ row, note }) => `${row}: ${note}`)).toEqual([]);
  expect((await benchFolders()).filter((name) => !before.includes(name))).toEqual([]);
});
