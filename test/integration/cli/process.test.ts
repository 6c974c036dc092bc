import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { currentIn, written } from '../../unit/cli/samples.ts';
import { TestDaemon } from './daemon.ts';

const source = fileURLToPath(new URL('../../../agent/kaonctl.ts', import.meta.url));
const launcher = fileURLToPath(new URL('../../../package/bin/kaonctl.js', import.meta.url));

/** Runs a program of ours with this Node; `onErr` sees stderr as it comes, with the process. */
async function runProgram(
  program: string,
  argv: readonly string[],
  onErr: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
) {
  const child = spawn(process.execPath, [program, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  const seen = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    seen.stderr += text;
    onErr(seen.stderr, (signal) => child.kill(signal));
  });
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { exitCode, ...seen };
}

/** The modules of ours that kaonctl loads for `argv`, below the repository. */
async function loadedBy(argv: readonly string[]): Promise<readonly string[]> {
  const preload = `import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) { console.error('loaded ' + url); return next(url, context); } });`;
  const hook = `data:text/javascript,${encodeURIComponent(preload)}`;
  const { stderr } = await runProgram('--import', [hook, source, ...argv]);
  const root = new URL('../../..', import.meta.url).href;
  const lines = stderr.split('\n').filter((line) => line.startsWith(`loaded ${root}`));
  return lines.map((line) => line.slice(`loaded ${root}`.length));
}

describe('the program', () => {
  it('prints the version of package.json', async () => {
    const manifest = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    expect(await runProgram(source, ['--version'])).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('starts by its launcher', async () => {
    const { exitCode, stdout } = await runProgram(launcher, ['--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Usage: kaonctl [options] [command]');
  });

  it('loads what makes and judges images for nobody who only asks the daemon', async () => {
    const asking = ['status', '--socket', '/nonexistent/kaon.sock'];
    for (const argv of [asking, ['--json', ...asking], ['--version']]) {
      expect((await loadedBy(argv)).filter((path) => /^agent\/(image|trust|oci|config\/parse)/.test(path))).toEqual([]);
    }
    expect(await loadedBy(['image', '--help'])).toContain('agent/image/build-image.ts');
  });

  it('ends quietly when nobody reads on', async () => {
    const child = spawn('sh', ['-c', '"$0" "$1" explain | head -n 1', process.execPath, source]);
    const seen = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (seen.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (seen.stderr += text));
    await new Promise((resolve) => child.once('close', resolve));
    expect(seen).toEqual({ stdout: expect.stringMatching(/^CODE .*\n$/) as string, stderr: '' });
  });
});

describe('Ctrl-C', () => {
  let daemon: TestDaemon;
  beforeEach(async () => {
    daemon = await TestDaemon.start();
  });
  afterEach(() => daemon.remove());

  it('leaves the update alone, and exits 130', async () => {
    let isInterrupted = false;
    const argv = ['update', 'registry.acme.io/os/edge:v2', '--socket', daemon.socket];
    const current = currentIn('writing', { progress: written(400) });
    const { exitCode, stderr } = await runProgram(source, argv, (seen, kill) => {
      if (seen.includes('40 %') && !isInterrupted) {
        isInterrupted = true;
        kill('SIGINT');
      } else if (seen.includes('accepted') && !seen.includes('writing')) {
        daemon.control.become({ phase: 'writing', current }, { phase: 'writing', current });
      }
    });
    expect(exitCode).toBe(130);
    expect(stderr).toContain('update u-1 goes on');
    expect(daemon.control.asked.some((one) => one.startsWith('cancel'))).toBe(false);
  });
});
