import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createChecks } from '../../../agent/health/create-checks.ts';
import type { HostProbe, HostReadings, RegistryProbe } from '../../../agent/core/ports.ts';
import { HostCheck, type HostSettings } from '../../../agent/health/host-check.ts';
import type { CommandOutcome, CommandRunner } from '../../../agent/health/health-check.ts';
import { RegistryCheck } from '../../../agent/health/registry-check.ts';
import { SystemdStateCheck } from '../../../agent/health/systemd-state-check.ts';
import { TcpCheck } from '../../../agent/health/tcp-check.ts';

const never = new AbortController().signal;

/** Answers every command with one outcome and keeps what was run. */
class FixedCommands implements CommandRunner {
  readonly ran: (readonly string[])[] = [];
  readonly #outcome: CommandOutcome;

  constructor(outcome: CommandOutcome) {
    this.#outcome = outcome;
  }

  async run(argv: readonly string[]): Promise<CommandOutcome> {
    this.ran.push(argv);
    return this.#outcome;
  }
}

const noHost: HostProbe = { read: async () => Promise.reject(new Error('there is no host')) };

const noRegistry: RegistryProbe = { probe: async () => ({ kind: 'reached', text: 'it is there' }) };
const order = { startDelayMs: 0, passes: 1, after: [], baseline: 'none' } as const;
const common = { name: 'one', isRequired: true, timeoutMs: 1000, intervalMs: 1000, retries: undefined, ...order };

describe('a command check', () => {
  const run = async (outcome: CommandOutcome) => {
    const commands = new FixedCommands(outcome);
    const [made] = createChecks([{ kind: 'command', ...common, command: ['/bin/check', '$HOME; rm'] }], {
      commands,
      host: noHost,
      registry: noRegistry,
    });
    return { attempt: await made!.check.run(never), ran: commands.ran };
  };

  it('passes on exit code 0 and hands its arguments over as they are', async () => {
    expect(await run({ exitCode: 0, output: 'fine' })).toEqual({
      attempt: { isPassed: true, output: 'fine' },
      ran: [['/bin/check', '$HOME; rm']],
    });
  });

  it.each([
    [{ exitCode: 3, output: 'no modem' }, 'exit code 3: no modem'],
    [{ exitCode: 1, output: '' }, 'exit code 1'],
    [{ exitCode: undefined, output: 'cannot run /bin/check: ENOENT' }, 'cannot run /bin/check: ENOENT'],
  ])('fails on %j', async (outcome, output) => {
    expect((await run(outcome)).attempt).toEqual({ isPassed: false, output });
  });

  it('still works, by its own word, on exit code 75', async () => {
    expect((await run({ exitCode: 75, output: '3 of 9 images' })).attempt).toEqual({
      isPassed: false,
      isWorking: true,
      output: 'exit code 75: 3 of 9 images',
    });
  });
});

describe('a systemd-unit check', () => {
  const run = async (outcome: CommandOutcome, maxRestarts?: number) => {
    const commands = new FixedCommands(outcome);
    const settings = { kind: 'systemd-unit', ...common, unit: 'web.service', maxRestarts } as const;
    const [made] = createChecks([settings], { commands, host: noHost, registry: noRegistry });
    return { ...(await made!.check.run(never)), ran: commands.ran };
  };
  const shown = (active: string, restarts: number) => ({
    exitCode: 0,
    output: `LoadState=loaded\nActiveState=${active}\nSubState=x\nResult=success\nNRestarts=${restarts}\n`,
  });

  it('asks systemd without a shell and passes for an active unit', async () => {
    const { isPassed, ran } = await run(shown('active', 9));
    expect(isPassed).toBe(true);
    expect(ran[0]?.slice(0, 2)).toEqual(['systemctl', 'show']);
    expect(ran[0]?.slice(-2)).toEqual(['--', 'web.service']);
  });

  it.each(['inactive', 'failed', 'activating', 'deactivating', ''])('fails for a unit that is %j', async (active) => {
    expect((await run(shown(active, 0))).isPassed).toBe(false);
  });

  it('fails for a unit that restarts too often', async () => {
    expect((await run(shown('active', 2), 2)).isPassed).toBe(true);
    expect(await run(shown('active', 3), 2)).toMatchObject({
      isPassed: false,
      output: expect.stringContaining('restarted more than 2 times') as string,
    });
    expect((await run({ exitCode: 0, output: 'ActiveState=active\nNRestarts=many' }, 2)).isPassed).toBe(false);
  });

  it('fails where systemd does not answer', async () => {
    const { isPassed, output } = await run({ exitCode: 1, output: 'Failed to connect to bus' });
    expect(isPassed).toBe(false);
    expect(output).toContain('Failed to connect to bus');
  });
});

describe('a tcp check', () => {
  it('passes where somebody takes the connection, and fails once nobody does', async () => {
    const server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const check = new TcpCheck('db', true, '127.0.0.1', port);
    expect(await check.run(never)).toEqual({ isPassed: true, output: `127.0.0.1:${port} takes connections` });
    await new Promise((resolve) => server.close(resolve));
    expect(await check.run(never)).toMatchObject({
      isPassed: false,
      output: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  it('fails when it is aborted', async () => {
    expect((await new TcpCheck('db', true, '127.0.0.1', 1).run(AbortSignal.abort())).isPassed).toBe(false);
  });
});

describe('a host check', () => {
  const wanted: HostSettings = {
    freeDisk: [{ path: '/var', minBytes: 100 * 1024 ** 2 }],
    memoryMinBytes: 50 * 1024 ** 2,
    temperatureMaxCelsius: 85,
    isTimeSynchronised: true,
    hasDefaultRoute: true,
  };
  const well: HostReadings = {
    disks: { '/var': { availableBytes: 200 * 1024 ** 2 } },
    memoryAvailableBytes: 60 * 1024 ** 2,
    temperatureCelsius: 61,
    timeSynchronised: true,
    hasDefaultRoute: true,
  };
  const run = (found: Partial<HostReadings>, settings: Partial<HostSettings> = {}) =>
    new HostCheck('host', true, { ...wanted, ...settings }, { read: async () => ({ ...well, ...found }) }).run(never);

  it('passes for a host that has all that is wanted, and says what it has', async () => {
    expect(await run({})).toEqual({
      isPassed: true,
      output:
        '200 MiB free at /var; 60 MiB of memory available; 61 °C; the clock follows a time source; there is a default route',
    });
  });

  it.each([
    [{ disks: { '/var': { availableBytes: 1 } } }, '0 MiB free at /var, want 100 MiB'],
    [{ disks: { '/var': 'ENOENT' } }, 'the room at /var is not known: ENOENT'],
    [{ memoryAvailableBytes: 1024 ** 2 }, '1 MiB of memory available, want 50 MiB'],
    [{ temperatureCelsius: 85.5 }, '85.5 °C, want at most 85 °C'],
    [{ temperatureCelsius: undefined }, 'no sensor tells the temperature'],
    [{ timeSynchronised: false }, 'the clock follows no time source'],
    [{ timeSynchronised: 'timedatectl does not answer' }, 'timedatectl does not answer'],
    [{ hasDefaultRoute: false }, 'there is no default route'],
  ])('fails for %j and says that alone', async (found, output) => {
    expect(await run(found)).toEqual({ isPassed: false, output });
  });

  it('looks at nothing that is not wanted', async () => {
    const nothing = { memoryMinBytes: undefined, temperatureMaxCelsius: undefined, isTimeSynchronised: false };
    const found = { temperatureCelsius: 300, timeSynchronised: false, memoryAvailableBytes: 0 };
    expect((await run(found, nothing)).isPassed).toBe(true);
  });

  it('fails where the host cannot be read', async () => {
    expect(await new HostCheck('host', true, wanted, noHost).run(never)).toEqual({
      isPassed: false,
      output: 'cannot read the host: there is no host',
    });
  });
});

describe('a systemd-state check', () => {
  const run = async (failed: string, jobs: string, ignore: readonly string[] = []) => {
    const answers: CommandRunner = {
      run: async (argv) => ({ exitCode: 0, output: argv[1] === 'list-jobs' ? jobs : failed }),
    };
    return new SystemdStateCheck('units', true, ignore, answers).run(never);
  };
  const failed = 'web.service loaded failed failed The web\nvar-lib.mount loaded failed failed /var/lib\n';
  const jobs =
    '  12 slow.service             start running\n  13 boot-complete.target start waiting\n 14 kaon-health.service start running\n';

  it('passes where nothing failed and nothing but the wait for the verdict is starting', async () => {
    expect(await run('', '14 kaon-health.service start running\n')).toEqual({
      isPassed: true,
      output: 'no unit failed, none is still starting',
      faults: [],
    });
  });

  it('names the units that failed, and those that are still starting', async () => {
    expect(await run(failed, jobs)).toEqual({
      isPassed: false,
      output: 'failed: var-lib.mount, web.service; still starting: slow.service',
      faults: ['var-lib.mount', 'web.service', 'slow.service (still starting)'],
    });
  });

  it('passes where kaon-check does not start, as kaond then runs the checks itself', async () => {
    const own = 'kaon-check.socket loaded failed failed kaon health check socket\n';
    expect((await run(own, '14 kaon-check.service start running\n')).isPassed).toBe(true);
  });

  it('looks at no unit that it is told to ignore', async () => {
    expect((await run(failed, jobs, ['web.service', 'var-lib.mount', 'slow.service'])).isPassed).toBe(true);
  });

  it('fails where systemd does not answer, with no names that could be excused', async () => {
    const silent: CommandRunner = { run: async () => ({ exitCode: 1, output: 'Failed to connect to bus' }) };
    expect(await new SystemdStateCheck('units', true, [], silent).run(never)).toEqual({
      isPassed: false,
      output: 'cannot ask systemd about its units: Failed to connect to bus',
    });
  });
});

describe('a registry check', () => {
  it.each([
    ['reached', { isPassed: true, output: 'x' }],
    ['not-asked', { isPassed: true, output: 'x' }],
    ['cut-off', { isPassed: false, output: 'x' }],
    ['silent', { isPassed: false, output: 'x', excuse: 'an outage of the registry would look the same' }],
  ] as const)('of a registry that is %s comes to %j', async (kind, attempt) => {
    const check = new RegistryCheck('registry', true, { probe: async () => ({ kind, text: 'x' }) });
    expect(await check.run(never)).toEqual(attempt);
    expect(check.lateExcuse).toBe('an outage of the registry would look the same');
  });
});
