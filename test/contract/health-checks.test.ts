import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { CheckUnit } from '../../agent/checkd/check-unit.ts';
import { CheckServer } from '../../agent/checkd/server.ts';
import { buildHealth, configuredChecks } from '../../agent/compose/build-health.ts';
import { parseConfig } from '../../agent/config/parse-config.ts';
import type { CommandOutcome, CommandRunner } from '../../agent/health/health-check.ts';
import type { HealthRunner } from '../../agent/health/health-runner.ts';
import type { HostProbe, HostReadings, RegistryProbe } from '../../agent/core/ports.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const never = new AbortController().signal;

/** Programs of a node, by the name of the program: how each ends, or that it never does until it is killed. */
class NodePrograms implements CommandRunner {
  readonly ran: string[] = [];
  killed = 0;
  readonly #ends: Readonly<Record<string, CommandOutcome | 'hangs'>>;

  constructor(ends: Readonly<Record<string, CommandOutcome | 'hangs'>>) {
    this.#ends = ends;
  }

  async run(argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome> {
    const name = argv.slice(0, 2).join(' ');
    this.ran.push(name);
    const end = this.#ends[name] ?? this.#ends[argv[0] ?? ''] ?? { exitCode: undefined, output: 'no such program' };
    if (end !== 'hangs') return Promise.resolve(end);
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        this.killed += 1;
        resolve({ exitCode: undefined, output: 'killed by SIGKILL' });
      });
    });
  }
}

const readings: HostReadings = {
  disks: {},
  memoryAvailableBytes: 2 ** 30,
  temperatureCelsius: 40,
  timeSynchronised: true,
  hasDefaultRoute: true,
};
const host: HostProbe = { read: async () => Promise.resolve(readings) };
const registry: RegistryProbe = {
  probe: async () => Promise.resolve({ kind: 'reached', text: 'the registry is there' }),
};

function healthConfig(...checks: readonly string[]) {
  const text = `formatVersion: 1
node: { compatible: board-1 }
slots:
  a: { bootName: A, partitions: { root: { device: /dev/a } } }
  b: { bootName: B, partitions: { root: { device: /dev/b } } }
bootloader: { type: grub }
health: { deadline: 60s, hardDeadline: 90s, registryReachable: false, checks: [${checks.join(', ')}] }
`;
  return parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] }).health;
}

interface Made {
  readonly runner: HealthRunner;
  readonly clock: ManualClock;
  readonly programs: NodePrograms;
  readonly problems: readonly string[];
}

type Ends = Readonly<Record<string, CommandOutcome | 'hangs'>>;

function inProcess(ends: Ends, ...checks: readonly string[]): Made {
  const clock = new ManualClock();
  const programs = new NodePrograms(ends);
  const runner = buildHealth(healthConfig(...checks), { commands: programs, host, registry }, clock, undefined);
  return { runner, clock, programs, problems: [] };
}

/** kaond has no programs and no host here: what it would run itself fails. */
function overTheSocket(ends: Ends, ...checks: readonly string[]): Made {
  const clock = new ManualClock();
  const programs = new NodePrograms(ends);
  const health = healthConfig(...checks);
  const problems: string[] = [];
  const server = new CheckServer(
    async () => Promise.resolve(configuredChecks(health.checks, { commands: programs, host }, clock)),
    clock,
    (error) => problems.push(String(error)),
  );
  const connector = async () => {
    const [mine, theirs] = duplexPair();
    void server.serve(theirs);
    return Promise.resolve(mine);
  };
  const unit = new CheckUnit(connector, clock, ({ message }) => problems.push(message));
  const none = {
    commands: new NodePrograms({}),
    host: { read: async () => Promise.reject(new Error('none')) },
    registry,
  };
  return { runner: buildHealth(health, none, clock, unit), clock, programs, problems };
}

async function run({ runner, clock }: Made, durationMs = 0) {
  const results = runner.run(60_000, () => undefined, never);
  await clock.advance(durationMs);
  return (await results).map(({ name, status, attempts, output }) => ({ name, status, attempts, output }));
}

describe.each([
  ['in kaond', inProcess],
  ['in a unit of their own', overTheSocket],
])('health checks, %s', (_name, make) => {
  it('pass, and say what the program said', async () => {
    const made = make({ '/bin/web': { exitCode: 0, output: 'up' } }, '{name: web, kind: command, command: [/bin/web]}');
    expect(await run(made)).toEqual([{ name: 'web', status: 'passed', attempts: 1, output: 'up' }]);
    expect(made.problems).toEqual([]);
  });

  it('fail with the exit code and the output of the program', async () => {
    const made = make(
      { '/bin/web': { exitCode: 3, output: 'broken' } },
      '{name: web, kind: command, retries: 0, command: [/bin/web]}',
    );
    expect(await run(made)).toEqual([{ name: 'web', status: 'failed', attempts: 1, output: 'exit code 3: broken' }]);
    expect(made.problems).toEqual([]);
  });

  it('may take until the hard deadline while they say that they still work', async () => {
    const made = make(
      { '/bin/web': { exitCode: 75, output: 'migrating' } },
      '{name: web, kind: command, retries: 0, interval: 10s, command: [/bin/web]}',
    );
    const results = run(made, 90_000);
    expect(await results).toMatchObject([{ status: 'failed', attempts: 9, output: 'exit code 75: migrating' }]);
    expect(made.problems).toEqual([]);
  });

  it('are ended at their time-out, and what they started is killed', async () => {
    const made = make(
      { '/bin/web': 'hangs' },
      '{name: web, kind: command, retries: 0, timeout: 7s, command: [/bin/web]}',
    );
    const results = run(made, 7_000);
    expect(await results).toMatchObject([{ status: 'failed', output: 'no answer within 7000 ms' }]);
    await made.clock.advance(0);
    expect({ killed: made.programs.killed, problems: made.problems }).toEqual({ killed: 1, problems: [] });
  });

  it('are ended with the run, and what they started is killed', async () => {
    const made = make({ '/bin/web': 'hangs' }, '{name: web, kind: command, command: [/bin/web]}');
    const ended = new AbortController();
    const results = made.runner.run(60_000, () => undefined, ended.signal).catch(() => 'given up');
    await made.clock.advance(0);
    expect(made.programs).toMatchObject({ ran: ['/bin/web'], killed: 0 });
    ended.abort();
    expect(await results).toBe('given up');
    await made.clock.advance(0);
    expect({ killed: made.programs.killed, problems: made.problems }).toEqual({ killed: 1, problems: [] });
  });

  it('tell by their names the units that failed, so that a baseline knows them', async () => {
    const made = make(
      {
        'systemctl list-units': { exitCode: 0, output: 'old.service loaded failed failed Old' },
        'systemctl list-jobs': { exitCode: 0, output: '' },
      },
      '{name: units, kind: systemd-state, retries: 0}',
    );
    const taking = made.runner.takeBaseline(never);
    await made.clock.advance(10_000);
    const checks = await taking;
    expect(checks).toEqual([{ name: 'units', isPassed: false, faults: ['old.service'] }]);
    const results = made.runner.run(60_000, () => undefined, never, { atMs: 0, checks });
    await made.clock.advance(0);
    expect(await results).toMatchObject([{ status: 'passed', output: 'as before the update: failed: old.service' }]);
    expect(made.problems).toEqual([]);
  });

  it('keep of an output 4 KiB at most', async () => {
    const made = make(
      { '/bin/web': { exitCode: 1, output: `${'é"'.repeat(4000)}the end` } },
      '{name: web, kind: command, retries: 0, command: [/bin/web]}',
    );
    const [found] = await run(made);
    expect(found?.output).toHaveLength(4096);
    expect(found?.output.endsWith('the end')).toBe(true);
    expect(made.problems).toEqual([]);
  });

  it('look at the host, and ask the registry', async () => {
    const made = make({}, '{name: room, kind: host, memory: 1MiB}', '{name: reach, kind: registry-reachable}');
    expect(await run(made)).toMatchObject([
      { name: 'room', status: 'passed', output: '1024 MiB of memory available' },
      { name: 'reach', status: 'passed', output: 'the registry is there' },
    ]);
    expect(made.problems).toEqual([]);
  });
});
