import { duplexPair, type Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import {
  lineLimits,
  parseAttempt,
  parseConcluded,
  parseGreeting,
  parseRequest,
} from '../../../agent/checkd/messages.ts';
import { readLine } from '../../../agent/checkd/read-line.ts';
import { CheckServer, type Configured, type ConfiguredChecks } from '../../../agent/checkd/server.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import type { CheckAttempt } from '../../../agent/health/health-check.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const settings = 'a'.repeat(64);
const passed: CheckAttempt = { isPassed: true, output: 'all is well' };

/** What root configured: it ends when it is told to, or when it is aborted, as a killed program does. */
class ManualRun implements Configured<CheckAttempt> {
  readonly settings = settings;
  started = 0;
  aborted = 0;
  #end: (attempt: CheckAttempt) => void = () => undefined;

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    this.started += 1;
    return new Promise((resolve) => {
      this.#end = resolve;
      signal.addEventListener('abort', () => {
        this.aborted += 1;
        resolve({ isPassed: false, output: 'killed' });
      });
    });
  }

  end(attempt: CheckAttempt): void {
    this.#end(attempt);
  }
}

function serverWith(checks: Readonly<Record<string, Configured<CheckAttempt>>>, fail?: Error) {
  const clock = new ManualClock();
  const faults: unknown[] = [];
  const verdicts: string[] = [];
  const after = (verdict: string): Configured<void> => ({
    settings,
    run: async () => {
      verdicts.push(verdict);
      return Promise.resolve();
    },
  });
  const configured: ConfiguredChecks = {
    checks: new Map(Object.entries(checks)),
    after: { passed: after('passed'), failed: after('failed') },
  };
  const server = new CheckServer(
    async () => (fail === undefined ? Promise.resolve(configured) : Promise.reject(fail)),
    clock,
    (error) => faults.push(error),
  );
  const open = (): Duplex => {
    const [mine, theirs] = duplexPair();
    mine.on('error', () => undefined);
    void server.serve(theirs);
    return mine;
  };
  return { clock, faults, server, open, verdicts };
}

/** What kaon-check answers to `bytes`, after its greeting. */
async function answerTo(mine: Duplex, bytes: string): Promise<unknown> {
  const greeting = await readLine(mine, lineLimits.answerBytes);
  parseGreeting(greeting ?? '');
  mine.write(bytes);
  const line = await readLine(mine, lineLimits.answerBytes);
  return line === undefined ? 'no answer' : JSON.parse(line);
}

const ask = (check: unknown, more = {}) => `${JSON.stringify({ protocol: 1, check, settings, ...more })}\n`;
const tell = (verdict: unknown, more = {}) => `${JSON.stringify({ protocol: 1, verdict, settings, ...more })}\n`;
const refusal = (words: string) => ({ code: 'check-refused', message: expect.stringContaining(words) as string });

describe('who took kaond over', () => {
  it.each<[string, string, string]>([
    ['a check that is not configured', ask('other'), 'no check other is configured'],
    ['a path for a name', ask('../../bin/sh'), 'cannot understand the request'],
    ['a name of another kind', ask(['web']), 'cannot understand the request'],
    ['an inherited name', ask('constructor'), 'no check constructor is configured'],
    ['a command of its own', ask('web', { command: ['/bin/sh', '-c', 'id'] }), 'cannot understand the request'],
    ['a time-out of its own', ask('web', { timeoutMs: 1e9 }), 'cannot understand the request'],
    ['other settings', ask('web', { settings: 'b'.repeat(64) }), 'other settings of check web'],
    ['settings in words', ask('web', { settings: { command: ['/bin/sh'] } }), 'cannot understand the request'],
    ['a verdict that there is not', tell('../../bin'), 'cannot understand the request'],
    ['scripts of its own', tell('passed', { directories: ['/tmp'] }), 'cannot understand the request'],
    ['what follows a verdict by other settings', tell('failed', { settings: 'b'.repeat(64) }), 'other settings'],
    ['both at once', ask('web', { verdict: 'passed' }), 'cannot understand the request'],
    ['another protocol', ask('web', { protocol: 2 }), 'cannot understand the request'],
    ['no JSON', 'web\n', 'cannot understand the request'],
    ['nothing in a line', '\n', 'cannot understand the request'],
    ['a line without an end', 'x'.repeat(600), 'it is over 512 bytes'],
    ['a line that is too long', `${' '.repeat(600)}\n`, 'it is over 512 bytes'],
  ])('gets nothing for %s', async (_name, bytes, words) => {
    const web = new ManualRun();
    const { open, faults, verdicts } = serverWith({ web });
    expect(await answerTo(open(), bytes)).toEqual(refusal(words));
    expect({ started: web.started, verdicts, faults }).toEqual({ started: 0, verdicts: [], faults: [] });
  });

  it('can not hold a connection by saying nothing', async () => {
    const { open, clock, server } = serverWith({});
    const answer = answerTo(open(), '{"protocol"');
    await clock.advance(10_000);
    expect(await answer).toEqual(refusal('did not come within 10000 ms'));
    expect(server.active).toBe(0);
  });

  it('can not run a check twice at once, nor more than a few', async () => {
    const checks = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`check-${n}`, new ManualRun()]));
    const { open, clock, server } = serverWith(checks);
    open().write(ask('check-0'));
    await clock.advance(0);
    expect(await answerTo(open(), ask('check-0'))).toEqual(refusal('check check-0 is running already'));
    for (let n = 1; n < 16; n++) open().write(ask(`check-${n}`));
    await clock.advance(0);
    expect(server.active).toBe(16);
    const line = await readLine(open(), lineLimits.answerBytes);
    expect(JSON.parse(line ?? '')).toEqual(refusal('16 connections are open'));
  });

  it('can not have more by what it sends after its request', async () => {
    const web = new ManualRun();
    const db = new ManualRun();
    const { open, clock } = serverWith({ web, db });
    const mine = open();
    const answer = answerTo(mine, ask('web') + ask('db'));
    await clock.advance(0);
    mine.write('x'.repeat(1_000_000));
    await clock.advance(0);
    web.end(passed);
    expect(await answer).toEqual(passed);
    expect(db.started).toBe(0);
  });

  it('is told why where the configuration can not be trusted', async () => {
    const fault = new AgentError('config-invalid', 'cannot run checks by /etc/kaon/kaon.yaml: others may write it');
    const { open } = serverWith({}, fault);
    expect(await answerTo(open(), ask('web'))).toEqual({ code: 'config-invalid', message: fault.message });
  });

  it('learns nothing of a bug but that there is one, which goes to the log', async () => {
    const { open, faults } = serverWith({}, new Error('a secret'));
    const answer = await answerTo(open(), ask('web'));
    expect(answer).toMatchObject({ code: 'internal' });
    expect(JSON.stringify(answer)).not.toContain('secret');
    expect(faults).toHaveLength(1);
  });
});

describe('kaon-check', () => {
  it('ends what runs with its connection, and may then run it again', async () => {
    const web = new ManualRun();
    const { open, clock, server } = serverWith({ web });
    const first = open();
    first.write(ask('web'));
    await clock.advance(0);
    expect({ started: web.started, aborted: web.aborted }).toEqual({ started: 1, aborted: 0 });
    first.destroy();
    await clock.advance(0);
    expect({ aborted: web.aborted, active: server.active }).toEqual({ aborted: 1, active: 0 });
    const second = answerTo(open(), ask('web'));
    await clock.advance(0);
    web.end(passed);
    expect(await second).toEqual(passed);
  });

  it('does what follows a verdict, and says when it is done', async () => {
    const { open, verdicts } = serverWith({});
    expect(await answerTo(open(), tell('failed'))).toEqual({ isConcluded: true });
    expect(verdicts).toEqual(['failed']);
  });
});

describe('a message', () => {
  it('is refused with a coded error whatever is cut off or changed in it', () => {
    const lines = [ask('web'), tell('passed')].map((line) => line.trimEnd());
    const refused: unknown = expect.objectContaining({ code: 'check-refused' });
    for (const line of lines) {
      for (let n = 0; n < line.length; n++) {
        for (const text of [line.slice(0, n), `${line.slice(0, n)}\u0000${line.slice(n + 1)}`]) {
          for (const parse of [parseRequest, parseGreeting, parseAttempt, parseConcluded]) {
            // A greeting says no more than its protocol.
            if (parse === parseGreeting && text.includes('"protocol":1') && text.endsWith('}')) continue;
            expect(() => parse(text), text).toThrow(refused);
          }
        }
      }
    }
  });
});
