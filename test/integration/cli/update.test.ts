import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CurrentUpdate, Waiting } from '../../../agent/core/control.ts';
import type { Outcome, Phase } from '../../../agent/core/update-state.ts';
import { RecordingIo } from '../../unit/cli/recording-io.ts';
import { currentIn, digest, moved, written } from '../../unit/cli/samples.ts';
import { TestDaemon } from './daemon.ts';

const image = 'registry.acme.io/os/edge:v2';
let daemon: TestDaemon;

beforeEach(async () => {
  daemon = await TestDaemon.start();
});
afterEach(() => daemon.remove());

function enter(phase: Phase, changes: Partial<CurrentUpdate> = {}, waitingFor: readonly Waiting[] = []): void {
  const current = currentIn(phase, changes);
  daemon.control.become({ phase, current, waitingFor }, { phase, current });
}

function end(outcome: Partial<Outcome>): void {
  const base = { updateId: 'u-1', kind: 'install', result: 'committed', atMs: 0, digest } as const;
  daemon.control.become({}, { outcome: { ...base, ...outcome } });
}

/** Runs kaonctl; each line of `steps` is taken once stderr has shown what it names. */
function play(steps: readonly (readonly [shown: string, act: () => void])[], isTerminal = false): RecordingIo {
  const io = new RecordingIo({ isTerminal });
  let next = 0;
  io.onErr = () => {
    const step = steps[next];
    if (step === undefined || !io.stderr.includes(step[0])) return;
    next += 1;
    step[1]();
  };
  return io;
}

describe('an update that is followed', () => {
  it('tells phases, tenths and reasons on stderr, the result on stdout, and exits 0 when it is committed', async () => {
    const hold: Waiting = { gate: 'hold', code: 'update-held', text: 'the shop is open', untilMs: undefined };
    const io = play([
      ['is accepted', () => enter('preparing', { target: undefined })],
      ['preparing:', () => enter('writing', { progress: written(400) })],
      ['40 %', () => enter('staged', {}, [hold])],
      ['waiting: the shop is open', () => enter('committing')],
      ['committing:', () => end({})],
    ]);
    expect(await daemon.runWith(io, 'update', image, '--from', 'oci:/media/usb')).toBe(0);
    expect(io.stdout).toBe(`update u-1 is committed (${digest})\n`);
    expect(io.stderr).not.toContain('\r');
    expect(daemon.control.asked[0]).toBe(`update ${image} oci:/media/usb committed operator id-0001`);
  });

  it('draws a bar on a terminal, and cleans up behind it', async () => {
    const io = play(
      [
        ['is accepted', () => enter('writing', { progress: written(400) })],
        ['writing  40 % [', () => enter('committing')],
        ['committing:', () => end({})],
      ],
      true,
    );
    expect(await daemon.runWith(io, 'update', image)).toBe(0);
    expect(io.stderr).toContain('\r\u001b[2Kwriting  40 % [##########..............]  400 B of 1000 B');
    expect(io.stderr).toContain('\r\u001b[2Kcommitting: slot b is marked good\n');
  });

  it('says at its end what it moved', async () => {
    const current = currentIn('staged');
    const io = play([
      ['is accepted', () => daemon.control.become({ phase: 'staged', current }, { current, transfer: moved })],
    ]);
    expect(await daemon.runWith(io, 'stage', image)).toBe(0);
    expect(io.stdout).toContain('is staged in slot b: 12 MiB fetched, 3.0 MiB found on the node');
  });

  it.each([
    ['staged', ['stage', image], 'activate it with: kaonctl activate'],
    ['staged', ['update', image, '--until', 'staged'], 'activate it with: kaonctl activate'],
    ['activated', ['update', image, '--until', 'activated'], 'try it with: kaonctl reboot'],
  ] as const)('until %s (%j) exits 0 there and says what is next', async (phase, argv, hint) => {
    const io = play([['is accepted', () => enter(phase)]]);
    expect(await daemon.runWith(io, ...argv)).toBe(0);
    expect(io.stdout).toBe(`update u-1 is ${phase} in slot b; ${hint}\n`);
  });

  it('asks for one that may use a metered link', async () => {
    for (const verb of ['stage', 'update']) {
      const io = play([['is accepted', () => end({ code: 'already-running', message: 'it runs' })]]);
      await daemon.runWith(io, verb, image, '--metered');
    }
    const asked = daemon.control.asked.filter((one) => one.startsWith('update '));
    expect(asked.map((one) => one.endsWith(' metered'))).toEqual([true, true]);
  });

  it('exits 0 for an image that is already running', async () => {
    const io = play([['is accepted', () => end({ code: 'already-running', message: 'it runs and is proven' })]]);
    expect(await daemon.runWith(io, 'update', image)).toBe(0);
    expect(io.stdout).toContain('nothing to do: it runs and is proven');
  });

  it.each([
    ['failed', 'known-bad', 65],
    ['rolled-back', 'health-failed', 1],
    ['rolled-back', 'power-lost', 75],
    ['cancelled', 'update-cancelled', 1],
  ] as const)('%s with %s exits %d, with message and fix', async (result, code, exitCode) => {
    const io = play([['is accepted', () => end({ result, code, message: 'for a reason' })]]);
    expect(await daemon.runWith(io, 'update', image, '--json')).toBe(exitCode);
    expect(io.stderr).toMatch(/kaonctl: cannot finish update u-1: .*: for a reason\nfix: .*\ncode: /);
    expect(io.json()).toMatchObject({ error: { code, details: { outcome: { updateId: 'u-1', result } } } });
  });

  it('with --json is one value on stdout, however long it took', async () => {
    const io = play([
      ['is accepted', () => enter('writing')],
      ['writing:', () => end({})],
    ]);
    await daemon.runWith(io, 'update', image, '--json');
    expect(io.json()).toMatchObject({ request: { id: 'u-1' }, outcome: { result: 'committed' } });
  });

  it('goes on when Ctrl-C is pressed: exit 130, and how to follow or cancel it', async () => {
    const io = play([
      ['is accepted', () => enter('writing', { progress: written(400) })],
      ['40 %', () => io.interrupt()],
    ]);
    expect(await daemon.runWith(io, 'update', image, '--json')).toBe(130);
    expect(io.stderr).toContain('update u-1 goes on; follow it with: kaonctl status --watch');
    expect(io.stderr).toContain('kaonctl cancel u-1');
    expect(io.json()).toEqual({ updateId: 'u-1', isDetached: true });
    expect(daemon.control.asked).not.toContain('cancel u-1');
  });

  it('is a rollback too', async () => {
    const { io, exitCode } = await daemon.run('rollback', '--detach', '--json');
    expect(exitCode).toBe(0);
    expect(io.json()).toEqual({ updateId: 'u-9', isRepeated: false });
    expect(daemon.control.asked).toEqual(['rollback id-0001']);
  });

  it('from a path of this directory is asked for by its full path', async () => {
    await daemon.run('stage', image, '--from', 'oci:edge:v2', '--detach');
    await daemon.run('plan', image, '--from', 'oci-archive:../edge.tar');
    expect(daemon.control.asked[0]).toContain(` oci:${process.cwd()}/edge:v2 staged `);
    expect((await daemon.run('plan', image, '--from', 'docker:edge')).exitCode).toBe(64);
  });

  it('is not followed with --detach', async () => {
    const { io, exitCode } = await daemon.run('update', image, '--detach');
    expect([exitCode, io.stderr]).toEqual([0, '']);
    expect(io.stdout).toContain('update u-1 is accepted');
  });
});

describe('a daemon that goes away', () => {
  it.each(['activated', 'trial'] as const)('while the update is %s is the reboot that was asked for', async (phase) => {
    const io = play([
      ['is accepted', () => enter(phase)],
      [`${phase}:`, () => void daemon.stop()],
    ]);
    expect(await daemon.runWith(io, 'update', image)).toBe(0);
    expect(io.stdout).toBe(`the node reboots: update u-1 is ${phase} for slot b; see kaonctl status after that\n`);
  });

  it('in any other phase is waited for, and found again though it counts anew', async () => {
    const io = play([
      ['is accepted', () => enter('writing')],
      ['writing:', () => void daemon.stop()],
      [
        'kaond is gone',
        () => {
          end({});
          daemon.control.startOver();
          void daemon.listen();
        },
      ],
    ]);
    expect(await daemon.runWith(io, 'update', image)).toBe(0);
    expect(io.stdout).toContain('is committed');
  });

  it('for longer than 30 s is exit 69', async () => {
    const io = play([
      ['is accepted', () => enter('writing')],
      ['writing:', () => void daemon.stop()],
    ]);
    expect(await daemon.runWith(io, 'update', image)).toBe(69);
    expect(io.stderr).toContain('cannot follow update u-1: kaond did not come back within 30 s');
    expect(io.clock.monotonicMs()).toBeLessThan(40_000);
  });
});
