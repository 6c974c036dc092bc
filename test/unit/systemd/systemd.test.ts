import { describe, expect, it } from 'vitest';
import type { CommandRunner } from '../../../agent/systemd/command-runner.ts';
import { listenSockets } from '../../../agent/systemd/listen-fds.ts';
import { type NotifyEnvironment, SystemdNotifier } from '../../../agent/systemd/notifier.ts';
import { CommandRebooter } from '../../../agent/systemd/rebooter.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

/** Ends every command alike and keeps what was run. */
class FixedCommands implements CommandRunner {
  readonly ran: (readonly string[])[] = [];
  exitCode: number | undefined = 0;
  killedBy: NodeJS.Signals | undefined;

  async run(argv: readonly string[]) {
    this.ran.push(argv);
    return { exitCode: this.exitCode, killedBy: this.killedBy, output: this.exitCode === 0 ? '' : 'it broke' };
  }
}

function makeNotifier(environment: NotifyEnvironment) {
  const commands = new FixedCommands();
  const problems: string[] = [];
  const notifier = new SystemdNotifier({
    environment,
    processId: 42,
    commands,
    onProblem: (message) => problems.push(message),
  });
  return { notifier, commands, problems };
}

const NOTIFY_SOCKET = '/run/systemd/notify';

describe('notifying systemd', () => {
  it('tells readiness, status and the stop', async () => {
    const { notifier, commands } = makeNotifier({ NOTIFY_SOCKET });
    await notifier.ready('idle');
    await notifier.status('writing\nslot b');
    await notifier.stopping();
    expect(commands.ran).toEqual([
      ['systemd-notify', 'READY=1', 'STATUS=idle'],
      ['systemd-notify', 'STATUS=writing slot b'],
      ['systemd-notify', 'STOPPING=1'],
    ]);
  });

  it('does nothing where systemd does not listen', async () => {
    const { notifier, commands } = makeNotifier({ WATCHDOG_USEC: '60000000' });
    await notifier.ready('idle');
    await notifier.feedWatchdog(new ManualClock(), () => true, new AbortController().signal);
    expect(commands.ran).toEqual([]);
  });

  it('says what did not get through', async () => {
    const { notifier, commands, problems } = makeNotifier({ NOTIFY_SOCKET });
    commands.exitCode = 1;
    await notifier.stopping();
    expect(problems).toEqual(['cannot notify systemd of STOPPING=1: it broke']);
  });
});

describe('feeding the watchdog', () => {
  const environment = { NOTIFY_SOCKET, WATCHDOG_USEC: '60000000', WATCHDOG_PID: '42' };

  it('tells of life at half of the limit until it is stopped', async () => {
    const { notifier, commands } = makeNotifier(environment);
    const clock = new ManualClock();
    const stop = new AbortController();
    const done = notifier.feedWatchdog(clock, () => true, stop.signal);
    await clock.advance(65_000);
    expect(commands.ran).toEqual(Array.from({ length: 3 }, () => ['systemd-notify', 'WATCHDOG=1']));
    stop.abort();
    await done;
    await clock.advance(60_000);
    expect(commands.ran).toHaveLength(3);
  });

  it('lets it starve while the agent is not alive', async () => {
    const { notifier, commands } = makeNotifier(environment);
    const clock = new ManualClock();
    const stop = new AbortController();
    let isAlive = false;
    const done = notifier.feedWatchdog(clock, () => isAlive, stop.signal);
    await clock.advance(65_000);
    expect(commands.ran).toEqual([]);
    isAlive = true;
    await clock.advance(30_000);
    expect(commands.ran).toHaveLength(1);
    stop.abort();
    await done;
  });

  it.each([
    [{ ...environment, WATCHDOG_PID: '43' }, undefined],
    [{ ...environment, WATCHDOG_USEC: '0' }, undefined],
    [{ ...environment, WATCHDOG_USEC: 'soon' }, undefined],
    [{ NOTIFY_SOCKET }, undefined],
    [{ NOTIFY_SOCKET, WATCHDOG_USEC: '1000000' }, 500],
  ])('in %j has the interval %s', (given, interval) => {
    expect(makeNotifier(given).notifier.watchdogIntervalMs).toBe(interval);
  });
});

describe('rebooting', () => {
  it('asks systemd, or runs the command that was given', async () => {
    const commands = new FixedCommands();
    await new CommandRebooter(commands).reboot();
    await new CommandRebooter(commands, ['/bin/reboot-node', 'now']).reboot();
    await new CommandRebooter(commands).reboot('0 tryboot');
    expect(commands.ran).toEqual([
      ['systemctl', 'reboot', '-i'],
      ['/bin/reboot-node', 'now'],
      ['systemctl', 'reboot', '-i', '--reboot-argument=0 tryboot'],
    ]);
  });

  it.each([1, undefined])('is reboot-failed when the command ends with %s', async (exitCode) => {
    const commands = new FixedCommands();
    commands.exitCode = exitCode;
    await expect(new CommandRebooter(commands).reboot()).rejects.toMatchObject({ code: 'reboot-failed' });
  });

  it('takes a command that the shutdown itself ended for an accepted reboot, and no other that was killed', async () => {
    const commands = new FixedCommands();
    commands.exitCode = undefined;
    commands.killedBy = 'SIGTERM';
    await expect(new CommandRebooter(commands).reboot()).resolves.toBeUndefined();
    // Its own time limit.
    commands.killedBy = 'SIGKILL';
    await expect(new CommandRebooter(commands).reboot()).rejects.toMatchObject({ code: 'reboot-failed' });
  });
});

describe('the sockets of socket activation', () => {
  it('begin at descriptor 3 and carry their names', () => {
    expect(listenSockets({ LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'slotd' }, 42)).toEqual([
      { descriptor: 3, name: 'slotd' },
      { descriptor: 4, name: 'unknown' },
    ]);
  });

  it.each([
    [{}],
    [{ LISTEN_PID: '41', LISTEN_FDS: '1' }],
    [{ LISTEN_PID: '42' }],
    [{ LISTEN_PID: '42', LISTEN_FDS: '-1' }],
    [{ LISTEN_PID: '42', LISTEN_FDS: '999' }],
  ])('are none for %j', (environment) => {
    expect(listenSockets(environment, 42)).toEqual([]);
  });
});
