import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBootId, readNodeId } from '../../../agent/host/machine.ts';
import { NodeFactsReader } from '../../../agent/host/node-facts.ts';
import { withoutServiceVariables } from '../../../agent/host/service-environment.ts';
import { SystemClock } from '../../../agent/host/system-clock.ts';
import { PstoreMessages } from '../../../agent/host/persistent-messages.ts';
import { readSystemFacts } from '../../../agent/host/system-facts.ts';
import { SystemRandom } from '../../../agent/host/system-random.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-host-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const never = new AbortController().signal;

describe('the clock of the system', () => {
  it('never goes back and counts from the boot, alike for all processes', () => {
    const clock = new SystemClock();
    const first = clock.monotonicMs();
    expect(new SystemClock().monotonicMs()).toBeGreaterThanOrEqual(first);
    expect(Number.isInteger(first)).toBe(true);
  });

  it('ends a sleep with the reason of its signal', async () => {
    const controller = new AbortController();
    const sleep = new SystemClock().sleep(1_000_000, controller.signal);
    controller.abort(new Error('enough'));
    await expect(sleep).rejects.toThrow('enough');
    await expect(new SystemClock().sleep(5, AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    await expect(new SystemClock().sleep(0, never)).resolves.toBeUndefined();
  });
});

describe('the persistent messages of the kernel', () => {
  it('take at most 4 KiB', async () => {
    const path = join(directory, 'pmsg0');
    writeFileSync(path, '');
    expect(await new PstoreMessages(path).write('x'.repeat(10_000))).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('x'.repeat(4096));
  });

  it('are not to be had on most nodes, and no file is made in their place', async () => {
    const path = join(directory, 'pmsg0');
    expect(await new PstoreMessages(path).write('words')).toBe(false);
    expect(existsSync(path)).toBe(false);
  });
});

describe('the randomness of the system', () => {
  it('gives fractions below one and ids of letters, digits and dashes', () => {
    const random = new SystemRandom();
    for (let n = 0; n < 100; n++) {
      const fraction = random.fraction();
      expect(fraction >= 0 && fraction < 1).toBe(true);
    }
    expect(random.id()).toMatch(/^[a-z0-9-]{36}$/);
    expect(random.id()).not.toBe(random.id());
  });
});

describe('the ids of the machine', () => {
  it('are stable, and the node id does not show the machine id', async () => {
    const path = join(directory, 'machine-id');
    writeFileSync(path, '0123456789abcdef0123456789abcdef\n');
    const id = await readNodeId(path);
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(id).not.toContain('01234567');
    expect(await readNodeId(path)).toBe(id);
    expect(await readBootId()).toBe(await readBootId());
  });

  it.each(['', 'uninitialized\n', 'x'.repeat(32)])('are config-invalid for the machine id %j', async (text) => {
    const path = join(directory, 'machine-id');
    writeFileSync(path, text);
    await expect(readNodeId(path)).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('write node.id') as string,
    });
    await expect(readNodeId(join(directory, 'none'))).rejects.toMatchObject({ code: 'config-invalid' });
  });
});

describe('the facts about the node', () => {
  const clock = new ManualClock();
  const worker = new URL('../../../agent/host/system-facts-worker.ts', import.meta.url);

  it('come from systeminformation in a worker that ends', async () => {
    const { kernel, osName } = await readSystemFacts(worker, 15_000);
    expect(kernel).toMatch(/^\d+\./);
    expect(osName).toBeTypeOf('string');
  });

  it('are given up when the worker does not answer in time', async () => {
    const path = join(directory, 'hang.mjs');
    writeFileSync(path, 'setInterval(() => undefined, 1000);');
    await expect(readSystemFacts(new URL(`file://${path}`), 50)).rejects.toThrow('no answer within 50 ms');
  });

  it('can be read at once, and show what is known so far', async () => {
    const problems: unknown[] = [];
    let answer: (facts: Awaited<ReturnType<typeof readSystemFacts>>) => void = () => undefined;
    const reader = new NodeFactsReader(
      directory,
      () => new Promise((resolve) => (answer = resolve)),
      (problem) => problems.push(problem),
    );
    const started = reader.start(clock, never);
    expect(reader.read()).toMatchObject({ system: undefined, stateDirTotalBytes: undefined });
    await clock.advance(30_000);
    answer({ osName: 'Acme', osVersion: '1', kernel: '6.1', cpu: undefined, virtualization: undefined });
    await started;
    const facts = reader.read();
    expect(facts.system?.osName).toBe('Acme');
    expect(facts.memoryAvailableBytes).toBeGreaterThan(0);
    expect(facts.stateDirTotalBytes).toBeGreaterThan(facts.stateDirAvailableBytes ?? Infinity);
    expect(problems).toEqual([]);
  });

  it('start no program for half a minute, and none once the agent ends', async () => {
    let asked = 0;
    const read = async () => {
      asked += 1;
      throw new Error('no worker');
    };
    void new NodeFactsReader(directory, read, () => undefined).start(clock, never);
    await clock.advance(29_999);
    expect(asked).toBe(0);
    await clock.advance(1);
    expect(asked).toBe(1);
    const ended = new AbortController();
    const started = new NodeFactsReader(directory, read, () => undefined).start(clock, ended.signal);
    ended.abort(new Error('over'));
    await started;
    expect(asked).toBe(1);
  });

  it('tell a problem instead of failing', async () => {
    const problems: unknown[] = [];
    const reader = new NodeFactsReader(
      join(directory, 'none'),
      () => Promise.reject(new Error('no worker')),
      (problem) => problems.push(problem),
    );
    const started = reader.start(clock, never);
    await clock.advance(30_000);
    await started;
    expect(problems).toHaveLength(2);
    expect(reader.read().stateDirTotalBytes).toBeUndefined();
  });
});

describe('the environment of the programs that the service runs', () => {
  it('has none of what systemd gave to the service alone', () => {
    const given = { PATH: '/bin', NOTIFY_SOCKET: 'x', WATCHDOG_USEC: '1', LISTEN_FDS: '1', LISTEN_PID: '2' };
    expect(withoutServiceVariables(given)).toEqual({ PATH: '/bin' });
  });
});
