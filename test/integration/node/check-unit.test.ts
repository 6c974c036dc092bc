import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkConnector, CheckUnit } from '../../../agent/checkd/check-unit.ts';
import { buildHealth } from '../../../agent/compose/build-health.ts';
import { loadConfig } from '../../../agent/config/load-config.ts';
import type { HealthRunner } from '../../../agent/health/health-runner.ts';
import { SystemClock } from '../../../agent/host/system-clock.ts';
import { until } from '../../fakes/simulated-node.ts';

let folder: string;
let socket: string;
let program: ChildProcess;
let problems: string[] = [];
const never = new AbortController().signal;

/** What kaond would run itself tells so. */
const byKaond = {
  commands: { run: async () => Promise.resolve({ exitCode: 1, output: 'kaond ran it' }) },
  host: { read: async () => Promise.reject(new Error('kaond read it')) },
  registry: { probe: async () => Promise.resolve({ kind: 'reached', text: 'kaond asked it' } as const) },
};

/** The check `name` as kaond has it, or all. */
async function healthOf(name?: string): Promise<HealthRunner> {
  const { health } = await loadConfig({ mainFile: join(folder, 'etc/kaon.yaml'), imageFile: undefined });
  const unit = new CheckUnit(checkConnector(socket), new SystemClock(), ({ message }) => problems.push(message));
  const checks = health.checks.filter((check) => name === undefined || check.name === name);
  return buildHealth({ ...health, checks }, byKaond, new SystemClock(), unit);
}

/** What one attempt of the check `name` comes to. */
async function attemptOf(name: string, signal = never) {
  const results = await (await healthOf(name)).run(30_000, () => undefined, signal);
  return results.map((found) => ({ status: found.status, output: found.output }));
}

/** Ends only after its own child, which it leaves running in its process group. */
const lingering = 'sleep 1000 & echo $! > "$0"; wait';

beforeEach(async () => {
  problems = [];
  folder = await mkdtemp(join(tmpdir(), 'kaon-check-'));
  socket = join(folder, 'check.sock');
  for (const name of ['etc', 'boot/check/required.d', 'boot/check/wanted.d', 'boot/green.d', 'boot/red.d']) {
    await mkdir(join(folder, name), { mode: 0o755, recursive: true });
  }
  await writeFile(join(folder, 'boot/check/required.d/10-well.sh'), 'exit 0\n');
  await writeFile(join(folder, 'boot/check/wanted.d/10-ill.sh'), 'echo not so well; exit 1\n');
  for (const colour of ['green', 'red']) {
    await writeFile(join(folder, `boot/${colour}.d/10-mark.sh`), `echo ${colour} >> ${folder}/verdicts\n`);
  }
  const slot = (name: string) => `{ bootName: ${name}, partitions: { root: { device: /dev/${name} } } }`;
  const command = (name: string, script: string, more = '') =>
    `    - { name: ${name}, kind: command, retries: 0, ${more} command: [/bin/sh, -c, ${JSON.stringify(script)}, "${folder}/${name}.pid"] }\n`;
  const config =
    `formatVersion: 1\nnode: { compatible: board-1 }\nslots: { a: ${slot('A')}, b: ${slot('B')} }\n` +
    `bootloader: { type: grub }\nhealth:\n  checks:\n` +
    command('well', 'echo all is well') +
    command('ill', 'echo it is broken; exit 3') +
    command('loud', 'yes | head -c 1000000; echo the end; exit 1') +
    command('slow', lingering, 'timeout: 500ms,') +
    command('endless', lingering, 'timeout: 10m,') +
    `    - { name: room, kind: host, retries: 0, memory: 1MiB, freeDisk: [{ path: ${folder}, min: 1KiB }] }\n` +
    `    - { name: boot, kind: greenboot, retries: 0, directories: [${folder}/boot] }\n`;
  await writeFile(join(folder, 'etc/kaon.yaml'), config, { mode: 0o644 });
  program = spawn(
    process.execPath,
    ['agent/kaon-check.ts', '--config', join(folder, 'etc/kaon.yaml'), '--listen', socket, '--idle', '600'],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await until('kaon-check', 60_000, () =>
    checkConnector(socket)().then(
      (stream) => stream.destroy(),
      () => undefined,
    ),
  );
});
afterEach(async () => {
  await end();
  await rm(folder, { recursive: true, force: true });
});

/** Ends the program in order; resolves to its exit code. */
async function end(): Promise<unknown> {
  if (program.exitCode !== null || program.signalCode !== null) return program.exitCode;
  const ended = new Promise((resolve) => program.once('exit', resolve));
  program.kill('SIGTERM');
  return ended;
}

/** Whether the process of the file still runs; `undefined` before it was started. */
async function isRunning(file: string): Promise<boolean | undefined> {
  const pid = (await readFile(join(folder, file), 'utf8').catch(() => '')).trim();
  if (pid === '') return undefined;
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return state !== '' && !/\) Z /.test(state);
}

async function startedAndGone(file: string): Promise<void> {
  await until(`the end of ${file}`, 60_000, async () => ((await isRunning(file)) !== true ? true : undefined));
}

describe('kaon-check', { timeout: 180_000 }, () => {
  it('runs what is configured, and tells its end and its output, bounded', async () => {
    expect(await attemptOf('well')).toEqual([{ status: 'passed', output: 'all is well' }]);
    expect(await attemptOf('ill')).toEqual([{ status: 'failed', output: 'exit code 3: it is broken' }]);
    const [loud] = await attemptOf('loud');
    expect(loud?.output.length).toBeLessThan(5000);
    expect(loud?.output.endsWith('the end')).toBe(true);
    const [room] = await attemptOf('room');
    expect(room).toMatchObject({ status: 'passed', output: expect.stringContaining('of memory available') as string });
    expect(problems).toEqual([]);
  });

  it("runs greenboot's scripts, and those of the verdict once there is one", async () => {
    expect(await attemptOf('boot')).toEqual([
      { status: 'passed', output: '1 scripts of check/required.d passed' },
      expect.objectContaining({ output: expect.stringContaining('exit code 1: not so well') as string }),
    ]);
    const health = await healthOf();
    await health.conclude(true, never);
    await health.conclude(false, never);
    expect(await readFile(join(folder, 'verdicts'), 'utf8')).toBe('green\nred\n');
    expect(problems).toEqual([]);
  });

  it('kills a check with all that it started, at its time-out', async () => {
    expect(await attemptOf('slow')).toEqual([{ status: 'failed', output: 'no answer within 500 ms' }]);
    await startedAndGone('slow.pid');
  });

  it('kills a check with all that it started, when who asked is gone', async () => {
    const attempt = new AbortController();
    const running = attemptOf('endless', attempt.signal).catch(() => 'given up');
    await until('the check', 60_000, async () => (await isRunning('endless.pid')) ?? undefined);
    attempt.abort();
    expect(await running).toBe('given up');
    await startedAndGone('endless.pid');
  });

  it('ends when it is told to, and what it runs with it', async () => {
    const running = attemptOf('endless');
    await until('the check', 60_000, async () => (await isRunning('endless.pid')) ?? undefined);
    expect(await end()).toBe(0);
    await startedAndGone('endless.pid');
    expect(await running).toEqual([{ status: 'failed', output: 'exit code 1: kaond ran it' }]);
  });
});

describe('kaond runs a check itself', { timeout: 180_000 }, () => {
  const itself = [{ status: 'failed', output: 'exit code 1: kaond ran it' }];

  it('where others than root may write the configuration of kaon-check, or its folder', async () => {
    for (const path of ['etc/kaon.yaml', 'etc']) {
      await chmod(join(folder, path), 0o777);
      expect(await attemptOf('well')).toEqual(itself);
      expect(problems.at(-1)).toContain('others than root may write it');
      await chmod(join(folder, path), 0o755);
    }
    expect(await attemptOf('well')).toEqual([{ status: 'passed', output: 'all is well' }]);
  });

  it('where the configuration changed since kaond read it', async () => {
    const health = await healthOf('well');
    const path = join(folder, 'etc/kaon.yaml');
    await writeFile(path, (await readFile(path, 'utf8')).replace('all is well', 'changed'));
    expect(await health.run(30_000, () => undefined, never)).toMatchObject(itself);
    expect(problems.at(-1)).toContain('restart kaond');
    expect(await attemptOf('well')).toEqual([{ status: 'passed', output: 'changed' }]);
  });

  it('where kaon-check can not read the configuration any more', async () => {
    const health = await healthOf('well');
    await rm(join(folder, 'etc/kaon.yaml'));
    expect(await health.run(30_000, () => undefined, never)).toMatchObject(itself);
  });

  it('where nobody listens', async () => {
    const health = await healthOf('well');
    await end();
    expect(await health.run(30_000, () => undefined, never)).toMatchObject(itself);
    expect(problems).toEqual([expect.stringContaining('cannot reach kaon-check')]);
  });
});
