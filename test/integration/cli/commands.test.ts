import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../agent/cli/program.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { currentIn, slot } from '../../unit/cli/samples.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';
import { TestDaemon } from './daemon.ts';

const digest = `sha256:${'1'.repeat(64)}`;
const image = 'registry.acme.io/os/edge:v2';
let daemon: TestDaemon;

beforeEach(async () => {
  daemon = await TestDaemon.start();
});
afterEach(() => daemon.remove());

describe('reading', () => {
  it('shows the status, and as JSON exactly what kaond sent', async () => {
    const { io, exitCode } = await daemon.run('status');
    expect(exitCode).toBe(0);
    expect(io.stdout).toContain('slot a runs, and boots next');
    expect((await daemon.run('status', '--json')).io.json()).toMatchObject({
      nodeId: 'node-1',
      startedAt: '1970-01-01T00:00:00.000Z',
    });
    expect((await daemon.run('--json', 'slots')).io.json()).toHaveLength(2);
  });

  it('finds the daemon by KAON_SOCKET', async () => {
    const io = new RecordingIo({ environment: { KAON_SOCKET: daemon.socket } });
    expect(await runCli(['slots'], io, testDeps())).toBe(0);
  });

  it('watches the status: each change anew, until Ctrl-C', async () => {
    const io = new RecordingIo({ isTerminal: true });
    const redraws = () => io.stdout.split('\u001b[H\u001b[2J').length - 1;
    io.onOut = () => {
      if (redraws() === 1) daemon.control.become({ primary: 'b' });
      else io.interrupt();
    };
    expect(await daemon.runWith(io, 'status', '--watch')).toBe(130);
    expect(redraws()).toBe(2);
    expect(io.stdout).toMatch(/boots next[^]*slot b is tried at the next boot/);
    expect(io.stderr).toBe('');
  });

  it('plans, and exits as the first blocker would', async () => {
    expect((await daemon.run('plan', image)).exitCode).toBe(0);
    const plan = await daemon.control.plan({ image, from: undefined, until: 'committed', requestedBy: 'operator' });
    const blockers = [{ code: 'update-held', message: 'cannot start: held' }] as const;
    daemon.control.plan = async () => ({ ...plan, blockers });
    const { io, exitCode } = await daemon.run('plan', image, '--json');
    expect(exitCode).toBe(75);
    expect(io.json()).toMatchObject({ blockers });
  });

  it('shows history, rollbacks, health and known-bad images', async () => {
    await daemon.run('update', image, '--detach');
    expect((await daemon.run('history')).io.stdout).toMatch(/^u-1 +install/m);
    expect((await daemon.run('history', '--limit', '7')).exitCode).toBe(0);
    expect(daemon.control.asked).toContain('list 7 newest');
    expect((await daemon.run('rollbacks')).io.stdout).toBe('no rollback yet\n');
    expect((await daemon.run('rollbacks', 'show', 'r-1')).exitCode).toBe(66);
    expect((await daemon.run('rollbacks', 'r-1')).exitCode).toBe(64);
    expect((await daemon.run('health')).io.stdout).toContain('no trial ran');
    expect((await daemon.run('known-bad')).io.stdout).toContain(digest);
  });

  it('examines the node: exit 1 only if something fails', async () => {
    const warned = await daemon.run('doctor', '--json');
    expect(warned.exitCode).toBe(0);
    expect(warned.io.json()).toMatchObject({ findings: expect.arrayContaining([]) as unknown });
    daemon.control.become({ degraded: [{ code: 'journal-failed', message: 'cannot write: no room' }] });
    const failed = await daemon.run('doctor');
    expect(failed.exitCode).toBe(1);
    expect(failed.io.stdout).toMatch(/^fail {2}degraded +.*\n +fix: /m);
    await daemon.stop();
    const gone = await daemon.run('doctor');
    expect(gone.exitCode).toBe(1);
    expect(gone.io.stdout).toMatch(/^fail {2}daemon +cannot reach kaond/);
    // What the node shows without kaond is looked at all the same.
    expect(gone.io.stdout).toMatch(/^ok {4}units +kaond.service/m);
  });
});

describe('waiting for health', () => {
  const inTrial = [slot('a', { isBooted: false }), slot('b', { isBooted: true, state: 'trial' })];
  const trial = { phase: 'trial', booted: 'b', slots: inTrial, current: currentIn('trial') } as const;

  it('ends at once where the booted slot is proven', async () => {
    expect((await daemon.run('health', '--wait')).exitCode).toBe(0);
  });

  it('lasts as long as the trial, and passes with it', async () => {
    daemon.control.become(trial);
    const waiting = daemon.run('health', '--wait', '--json');
    daemon.control.become({ ...trial, phase: 'committing', current: currentIn('committing') });
    daemon.control.become({ booted: 'b', slots: [slot('b', { isBooted: true })] });
    const { io, exitCode } = await waiting;
    expect(exitCode).toBe(0);
    expect(io.json()).toMatchObject({ verdict: 'unknown' });
  });

  it('fails with the trial', async () => {
    daemon.control.become(trial);
    const waiting = daemon.run('health', '--wait');
    daemon.control.become({ ...trial, phase: 'rolling-back', current: currentIn('rolling-back') });
    const { io, exitCode } = await waiting;
    expect(exitCode).toBe(1);
    expect(io.stderr).toContain('code: health-failed');
  });

  it('outlives a daemon that is started again', async () => {
    await daemon.stop();
    const io = new RecordingIo({ clock: new PausingClock(() => daemon.listen()) });
    expect(await daemon.runWith(io, 'health', '--wait')).toBe(0);
  });
});

describe('asking', () => {
  it('activates and cancels the update under way, or says that there is none', async () => {
    expect((await daemon.run('activate')).exitCode).toBe(66);
    daemon.control.become({ phase: 'staged', current: currentIn('staged') });
    await daemon.run('activate', '--reboot');
    await daemon.run('activate', 'u-7');
    await daemon.run('cancel');
    expect(daemon.control.asked.filter((one) => /activate|cancel/.test(one))).toEqual([
      'activate u-1 true',
      'activate u-7 false',
      'cancel u-1',
    ]);
  });

  it('pauses the update under way and lets it go on, by its id or without', async () => {
    expect((await daemon.run('pause')).exitCode).toBe(66);
    daemon.control.become({ phase: 'writing', current: currentIn('writing') });
    const paused = await daemon.run('pause');
    expect([paused.exitCode, paused.io.stdout]).toEqual([
      0,
      'update u-1 is paused; let it go on with: kaonctl resume\n',
    ]);
    expect((await daemon.run('pause', 'u-7', '--json')).io.json()).toEqual({ updateId: 'u-7' });
    const resumed = await daemon.run('resume');
    expect([resumed.exitCode, resumed.io.stdout]).toEqual([0, 'update u-1 goes on; see kaonctl status\n']);
    expect((await daemon.run('resume', 'u-7', '--metered', '--json')).io.json()).toEqual({ updateId: 'u-7' });
    expect(daemon.control.asked.filter((one) => /pause|resume/.test(one))).toEqual([
      'pause u-1',
      'pause u-7',
      'resume u-1',
      'resume u-7 metered',
    ]);
  });

  it.each(['pause', 'resume'])('says with 65 in which phase a %s came too late', async (verb) => {
    const message = `cannot ${verb} update u-1: it is committing`;
    daemon.control.failure = new AgentError('update-phase-wrong', message, { details: { phase: 'committing' } });
    const { io, exitCode } = await daemon.run(verb, 'u-1', '--json');
    expect(exitCode).toBe(65);
    expect(io.json()).toMatchObject({
      error: { code: 'update-phase-wrong', message, details: { phase: 'committing' } },
    });
  });

  it('reboots, marks slots and clears known-bad images', async () => {
    for (const argv of [['reboot'], ['mark', 'good', 'a'], ['mark', 'bad', 'b'], ['known-bad', 'clear', digest]]) {
      expect((await daemon.run(...argv)).exitCode).toBe(0);
    }
    expect(daemon.control.asked).toEqual(
      expect.arrayContaining(['reboot', 'mark-good a', 'mark-bad b', `clear ${digest}`]),
    );
    expect((await daemon.run('mark', 'good', 'c')).exitCode).toBe(64);
    expect((await daemon.run('known-bad', 'clear', digest)).exitCode).toBe(64);
  });

  it('sets, shows and lifts the hold, and confirms lost facts', async () => {
    expect((await daemon.run('hold', 'set', 'shop is open', '--until', '2h', '--json')).exitCode).toBe(0);
    const untilMs = new EagerClock().nowMs() + 7_200_000;
    expect(daemon.control.asked).toContain(`hold shop is open ${untilMs}`);
    expect((await daemon.run('hold')).io.stdout).toContain('shop is open');
    expect((await daemon.run('hold', 'clear')).exitCode).toBe(0);
    expect((await daemon.run('hold', '--json')).io.json()).toEqual({ hold: null });
    await daemon.run('hold', 'clear', 'facts-lost');
    expect(daemon.control.asked).toContain('confirm-facts');
  });

  it('shows, sets and ends the limit of downloads', async () => {
    expect((await daemon.run('rate-limit')).io.stdout).toBe(
      'layers are fetched as fast as they come (by the configuration)\n',
    );
    const set = await daemon.run('rate-limit', 'set', '512KiB/s');
    expect(set.io.stdout).toContain('at 512 KiB/s at most (an operator');
    expect((await daemon.run('rate-limit', '--json')).io.json()).toEqual({ bytesPerSecond: 524_288, by: 'operator' });
    expect((await daemon.run('rate-limit', 'off', '--json')).io.json()).toEqual({
      bytesPerSecond: null,
      by: 'operator',
    });
    expect((await daemon.run('rate-limit', 'clear')).io.stdout).toContain('by the configuration');
    expect((await daemon.run('rate-limit', 'set', '9B/s')).exitCode).toBe(64);
  });

  it('sends a trigger from a file or from stdin', async () => {
    const file = join(daemon.folder, 'trigger.json');
    await writeFile(file, '{"payload":"from a file"}');
    const { io, exitCode } = await daemon.run('trigger', 'send', file);
    expect([exitCode, io.stdout]).toEqual([0, 'update u-7 is accepted: stage, asked for by key fleet-1\n']);
    await daemon.run('trigger', 'send', '-');
    expect(daemon.control.asked).toEqual(['trigger {"payload":"from a file"}', 'trigger {"payload":"from stdin"}']);
    await writeFile(file, 'no json');
    expect((await daemon.run('trigger', 'send', file)).exitCode).toBe(65);
    await writeFile(file, ' '.repeat(65 * 1024));
    expect((await daemon.run('trigger', 'send', file)).io.stderr).toContain('more than 65536 bytes');
  });
});

describe('events', () => {
  it('come as a page, or as JSON lines that go on', async () => {
    daemon.control.emit('first');
    daemon.control.emit('second');
    expect((await daemon.run('events', '--after', '1')).io.stdout).toMatch(/^2 .* second second\n$/);
    const page = await daemon.run('events', '--limit', '1', '--json');
    expect(page.io.json()).toHaveLength(1);
    expect(page.io.stderr).toContain('kaonctl events --after 1');

    const io = new RecordingIo();
    const lines = () => io.stdout.trim().split('\n');
    io.onOut = () => {
      // Once it listens to the stream, not only to the pages.
      if (lines().length === 2) setImmediate(() => daemon.control.emit('third'));
      if (lines().length === 3) io.interrupt();
    };
    expect(await daemon.runWith(io, 'events', '--follow', '--json')).toBe(130);
    const kinds = lines().map((line) => (JSON.parse(line) as { kind: string }).kind);
    expect(kinds).toEqual(['first', 'second', 'third']);
  });

  it('are taken up after a lost connection where they were left', async () => {
    daemon.control.emit('first');
    const clock = new PausingClock(async () => {
      daemon.control.emit('while away');
      await daemon.listen();
    });
    const io = new RecordingIo({ clock });
    io.onOut = () => {
      if (io.stdout.includes('while away')) io.interrupt();
      else void daemon.stop();
    };
    expect(await daemon.runWith(io, 'events', '--follow')).toBe(130);
    expect(io.stdout.match(/^\d+/gm)).toEqual(['1', '2']);
  });
});

describe('a daemon that is not well', () => {
  it('that cannot be reached is exit 69, with the fix, on stderr and as JSON', async () => {
    await daemon.stop();
    const { io, exitCode } = await daemon.run('status', '--json');
    expect(exitCode).toBe(69);
    expect(io.stderr).toMatch(/^kaonctl: cannot reach kaond at .*: there is no such socket\nfix: .*group kaon.*\n/);
    expect(io.json()).toMatchObject({ error: { code: 'daemon-unreachable', details: { socket: daemon.socket } } });
  });

  it('answers its errors with their exit codes', async () => {
    daemon.control.failure = new AgentError('agent-degraded', 'cannot start: degraded \u001b[2J', {
      details: { causes: ['journal-failed'] },
    });
    const { io, exitCode } = await daemon.run('update', image, '--json');
    expect(exitCode).toBe(78);
    expect(io.json()).toMatchObject({ error: { code: 'agent-degraded', details: { causes: ['journal-failed'] } } });
    expect(io.stderr).not.toContain('\u001b');
    daemon.control.failure = new TypeError('a bug');
    expect((await daemon.run('reboot')).exitCode).toBe(70);
  });

  it.each([
    ['no JSON', 'application/json', '<html>', 'internal'],
    ['another shape', 'application/json', '{"phase":7}', 'internal'],
    ['too much', 'application/json', `"${'x'.repeat(5 * 1024 * 1024)}"`, 'response-too-large'],
  ])('or something else that answers %s is told so', async (_what, type, body, code) => {
    const socket = join(daemon.folder, 'other.sock');
    const server = createServer((_request, response) => response.writeHead(200, { 'content-type': type }).end(body));
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      const io = new RecordingIo();
      await runCli(['status', '--socket', socket, '--json'], io, testDeps());
      expect(io.json()).toMatchObject({ error: { code } });
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('that takes a request and never answers is given up', async () => {
    const socket = join(daemon.folder, 'silent.sock');
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      const io = new RecordingIo({ clock: new EagerClock(60_000) });
      expect(await runCli(['status', '--socket', socket], io, testDeps())).toBe(69);
      expect(io.stderr).toContain('did not answer within 30 s');
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

/** Does something at the first pause between two tries to reach the daemon. */
class PausingClock extends EagerClock {
  #action: (() => Promise<void>) | undefined;

  constructor(action: () => Promise<void>) {
    super();
    this.#action = action;
  }

  override async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    if (durationMs === 1000) {
      const action = this.#action;
      this.#action = undefined;
      await action?.();
    }
    await super.sleep(durationMs, signal);
  }
}
