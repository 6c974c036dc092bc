import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hasDefaultIn } from '../../../agent/host/default-route.ts';
import { parseSynchronised, SystemHostProbe } from '../../../agent/host/host-readings.ts';

const directory = mkdtempSync(join(tmpdir(), 'kaon-readings-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const worker = new URL('../../../agent/host/host-readings-worker.ts', import.meta.url);
const commands = { run: async () => ({ exitCode: 0, output: 'yes\n' }) };
const never = new AbortController().signal;

describe('reading the host', () => {
  it('measures room and memory in a worker, and says of a path why its room cannot be told', async () => {
    const none = join(directory, 'none');
    const found = await new SystemHostProbe(worker, commands).read([directory, none], never);
    expect(found.disks[directory]).toMatchObject({ availableBytes: expect.any(Number) as number });
    expect(found.disks[none]).toContain('ENOENT');
    expect(found.memoryAvailableBytes).toBeGreaterThan(1024 ** 2);
    expect(found.timeSynchronised).toBe(true);
  });

  it('ends with the reason when it is aborted, though the worker hangs', async () => {
    const path = join(directory, 'hang.mjs');
    writeFileSync(path, 'setInterval(() => undefined, 1000);');
    const ending = new AbortController();
    const reading = new SystemHostProbe(new URL(`file://${path}`), commands).read([], ending.signal);
    ending.abort(new Error('too slow'));
    await expect(reading).rejects.toThrow('too slow');
  });

  it('says that a worker ended without an answer', async () => {
    const path = join(directory, 'end.mjs');
    writeFileSync(path, 'process.exit(3);');
    const reading = new SystemHostProbe(new URL(`file://${path}`), commands).read([], never);
    await expect(reading).rejects.toThrow('ended with 3');
  });
});

describe('the default route', () => {
  const head4 = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
  const route6 = (destination: string, length: string, device: string) =>
    `${destination} ${length} ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000400 00000001 00000000 00000003 ${device}\n`;
  const all = '0'.repeat(32);

  it('is found in either table', () => {
    expect(hasDefaultIn(`${head4}eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n`, '')).toBe(true);
    expect(hasDefaultIn(head4, route6(all, '00', 'eth0'))).toBe(true);
  });

  it('is none of a network, nor one that only rejects', () => {
    expect(hasDefaultIn(`${head4}eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n`, '')).toBe(false);
    expect(hasDefaultIn('', route6(all, '00', 'lo') + route6(`fe80${'0'.repeat(28)}`, '40', 'eth0'))).toBe(false);
    expect(hasDefaultIn('', '')).toBe(false);
  });
});

describe('whether the clock follows a time source', () => {
  it('is what timedatectl says, or that it says nothing', () => {
    expect(parseSynchronised({ exitCode: 0, output: 'yes' })).toBe(true);
    expect(parseSynchronised({ exitCode: 0, output: 'no\n' })).toBe(false);
    expect(parseSynchronised({ exitCode: undefined, output: 'cannot run timedatectl: ENOENT' })).toBe(
      'timedatectl does not answer: cannot run timedatectl: ENOENT',
    );
    expect(parseSynchronised({ exitCode: 0, output: '' })).toContain('does not answer');
  });
});
