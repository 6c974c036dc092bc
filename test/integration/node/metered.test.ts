import { createCipheriv } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

const imageBytes = 4 * 1024 * 1024;
const timeout = 60_000;

let bench: NodeBench;
beforeEach(async () => {
  bench = await NodeBench.open();
  for (const slot of ['a', 'b'] as const) await bench.resizeSlot(slot, imageBytes);
  const metered = 'update: { retry: { attempts: 1 }, metered: { link: metered, rule: wait } }';
  await bench.node.configure(bench.config([['update: { retry: { attempts: 1 } }', metered]]));
});
afterEach(() => bench.close());

/** Bytes that no compression makes smaller, the same for the same seed. */
function noise(seed: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(imageBytes));
}

interface Status {
  readonly phase: string;
  readonly waitingFor: readonly { readonly code: string; readonly text: string }[];
}

const statusOnce = (what: string, isSo: (status: Status) => boolean) =>
  until(what, 20_000, async () => {
    const status = (await bench.node.read('/v1/status')) as Status | undefined;
    return status !== undefined && isSo(status) ? status : undefined;
  });

it(
  'an image that the node has nothing of waits with its index alone fetched, until an operator allows it',
  { timeout },
  async () => {
    await bench.powerOn();
    const content = noise(1);
    const { reference } = await bench.pushIndexed(content);
    const before = bench.registry.sentBytes;
    expect((await bench.kaonctl('stage', reference, '--detach')).exitCode).toBe(0);
    const { phase } = await statusOnce('the wait', ({ waitingFor }) => waitingFor[0]?.code === 'link-metered');
    expect(phase).toBe('writing');
    expect(bench.registry.sentBytes - before).toBeLessThan(imageBytes / 20);
    expect((await bench.kaonctl('resume', '--metered')).exitCode).toBe(0);
    await statusOnce('the staged slot', (status) => status.phase === 'staged');
    expect((await bench.slot('b')).equals(content)).toBe(true);
  },
);

it('an image that differs little from what runs is fetched as a delta over a metered link', { timeout }, async () => {
  const content = noise(1);
  await writeFile(join(bench.folder, 'slot-a.img'), content);
  await bench.powerOn();
  const next = Buffer.from(content);
  next.fill(7, 2_000_000, 2_004_000);
  const { reference } = await bench.pushIndexed(next);
  const staged = await bench.kaonctl('stage', reference);
  expect(staged).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('found on the node') as string });
  expect((await bench.slot('b')).equals(next)).toBe(true);
});
