import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createChecks } from '../../../agent/health/create-checks.ts';
import type { CommandOutcome, CommandRunner } from '../../../agent/health/health-check.ts';
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

const common = { name: 'one', isRequired: true, timeoutMs: 1000, intervalMs: 1000, retries: undefined };

describe('a command check', () => {
  const run = async (outcome: CommandOutcome) => {
    const commands = new FixedCommands(outcome);
    const [made] = createChecks([{ kind: 'command', ...common, command: ['/bin/check', '$HOME; rm'] }], commands);
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
});

describe('a systemd-unit check', () => {
  const run = async (outcome: CommandOutcome, maxRestarts?: number) => {
    const commands = new FixedCommands(outcome);
    const settings = { kind: 'systemd-unit', ...common, unit: 'web.service', maxRestarts } as const;
    const [made] = createChecks([settings], commands);
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
