import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const program = fileURLToPath(new URL('demo.ts', import.meta.url));

const demoFolders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('kaon-demo-'));

it(
  'the demo runs to its end, every check of it holds, and it leaves nothing behind',
  { timeout: 600_000 },
  async () => {
    const before = await demoFolders();
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const exitCode = await new Promise((resolve) => child.once('close', resolve));
    expect(output.match(/NOT TRUE.*/g)).toBeNull();
    expect(exitCode, output.slice(-4000)).toBe(0);
    expect(output).toMatch(/\n(\d+) of \1 checks held in /);
    expect((await demoFolders()).filter((name) => !before.includes(name))).toEqual([]);
  },
);
