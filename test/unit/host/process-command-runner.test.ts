import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProcessCommandRunner } from '../../../agent/host/process-command-runner.ts';

const never = new AbortController().signal;
const runner = new ProcessCommandRunner();

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-run-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

describe('running a program', () => {
  it('gives its exit code and both outputs', async () => {
    expect(await runner.run(['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'], never)).toEqual({
      exitCode: 3,
      output: expect.stringMatching(/^(out\nerr|err\nout)$/) as string,
    });
  });

  it('has no shell and no input', async () => {
    expect((await runner.run(['/bin/echo', '$HOME', ';', 'id'], never)).output).toBe('$HOME ; id');
    expect(await runner.run(['/bin/cat'], never)).toEqual({ exitCode: 0, output: '' });
  });

  it('keeps the end of a large output', async () => {
    const { output } = await runner.run(['/bin/sh', '-c', 'yes start | head -c 1000000; echo the-end'], never);
    expect(output.length).toBeLessThanOrEqual(4096);
    expect(output.endsWith('the-end')).toBe(true);
  });

  it('says why a program could not be started', async () => {
    expect(await runner.run(['/nowhere/check'], never)).toEqual({
      exitCode: undefined,
      output: expect.stringContaining('cannot run /nowhere/check') as string,
    });
    expect((await runner.run([], never)).exitCode).toBeUndefined();
  });

  it('says which signal killed a program', async () => {
    const { exitCode, killedBy } = await runner.run(['/bin/sh', '-c', 'kill -TERM $$'], never);
    expect({ exitCode, killedBy }).toEqual({ exitCode: undefined, killedBy: 'SIGTERM' });
  });

  it('kills the program and what it started when it is aborted', async () => {
    const pidFile = join(directory, 'pid');
    const script = `/bin/sleep 1000 & echo $! > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; wait`;
    const controller = new AbortController();
    const done = runner.run(['/bin/sh', '-c', script], controller.signal);
    while (!existsSync(pidFile)) await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    expect(await done).toEqual({
      exitCode: undefined,
      killedBy: 'SIGKILL',
      output: expect.stringContaining('killed by SIGKILL') as string,
    });
    // A kill is taken, not yet carried out, when it returns.
    await expect.poll(() => isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
  });

  it('does not wait for a child that its program left behind, and ends it', async () => {
    const pidFile = join(directory, 'pid');
    await runner.run(['/bin/sh', '-c', `/bin/sleep 1000 & echo $! > ${pidFile}`], never);
    // A kill is taken, not yet carried out, when it returns.
    await expect.poll(() => isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
  });

  it('does not start anything once aborted', async () => {
    expect((await runner.run(['/bin/true'], AbortSignal.abort())).exitCode).toBeUndefined();
  });
});
