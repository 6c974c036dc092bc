import { createCipheriv } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

const imageBytes = 4 * 1024 * 1024;

let bench: NodeBench;
beforeEach(async () => {
  bench = await NodeBench.open();
  for (const slot of ['a', 'b'] as const) await bench.resizeSlot(slot, imageBytes);
  await bench.powerOn();
});
afterEach(() => bench.close());

/** Bytes that no compression makes smaller, the same for the same seed. */
function noise(seed: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(imageBytes));
}

interface Status {
  readonly phase: string;
  readonly current?: { readonly pausedAt?: string };
  readonly waitingFor: readonly { readonly code: string }[];
  readonly last?: { readonly result: string };
}

const statusNow = async () => (await bench.node.read('/v1/status')) as Status | undefined;

async function statusOnce(what: string, isSo: (status: Status) => boolean): Promise<Status> {
  return until(what, 20_000, async () => {
    const status = await statusNow();
    return status !== undefined && isSo(status) ? status : undefined;
  });
}

const isPaused = ({ current }: Status) => current?.pausedAt !== undefined;
const layerGets = () =>
  bench.registry.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));

/** Starts an update whose registry goes silent in the middle of its layer, and waits until most of what came is written. */
async function stuckInTheMiddle(): Promise<{ readonly content: Buffer; readonly reference: string }> {
  const content = noise(1);
  const { reference, layerDigest } = await bench.pushIndexed(content);
  bench.registry.faults.add({
    request: new RegExp(`^GET .*/blobs/${layerDigest}`),
    fault: { kind: 'stall', afterBytes: 3_400_000 },
  });
  const started = await bench.kaonctl('stage', reference, '--detach');
  expect(started.exitCode).toBe(0);
  const end = 3_000_000;
  await until('most of the image on the device', 60_000, async () =>
    (await bench.slot('b')).subarray(4096, end).equals(content.subarray(4096, end)) ? true : undefined,
  );
  return { content, reference };
}

/** What the registry sends from now on. */
function countSent(): () => number {
  const before = bench.registry.sentBytes;
  return () => bench.registry.sentBytes - before;
}

async function resumeToTheEnd(content: Buffer): Promise<number> {
  bench.registry.faults.clear();
  const sent = countSent();
  expect((await bench.kaonctl('resume')).exitCode).toBe(0);
  await statusOnce('the staged slot', ({ phase }) => phase === 'staged');
  expect((await bench.slot('b')).equals(content)).toBe(true);
  return sent();
}

describe('an update that is paused while it writes', { timeout: 180_000 }, () => {
  it('lets go of network and device, keeps what is there, and fetches only the rest when it is resumed', async () => {
    const { content } = await stuckInTheMiddle();
    expect((await bench.kaonctl('pause')).exitCode).toBe(0);
    expect((await bench.kaonctl('pause')).exitCode).toBe(0);
    expect((await statusNow())?.waitingFor).toMatchObject([{ code: 'resume-needed' }]);
    const lock = join(bench.folder, 'slot-b.img.lock');
    await until('the device to be let go', 60_000, () =>
      readFile(lock).then(
        () => undefined,
        () => true,
      ),
    );
    // The half-written slot has no first block, and its checkpoint outlives the pause.
    expect((await bench.slot('b')).subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
    const gets = layerGets().length;
    expect(await resumeToTheEnd(content)).toBeLessThan(imageBytes / 2);
    expect(layerGets().length).toBeGreaterThan(gets);
  });

  it('stays paused when the agent is killed and the node is started again, and goes on from its checkpoint', async () => {
    const { content } = await stuckInTheMiddle();
    expect((await bench.kaonctl('pause')).exitCode).toBe(0);
    await statusOnce('the pause', isPaused);
    await bench.node.endAgent('SIGKILL');
    await bench.node.powerOff();
    const gets = layerGets().length;
    await bench.powerOn();
    expect((await statusNow())?.waitingFor).toMatchObject([{ code: 'resume-needed' }]);
    expect(layerGets()).toHaveLength(gets);
    expect(await resumeToTheEnd(content)).toBeLessThan(imageBytes / 2);
  });

  it('can be cancelled, and the slot is not booted', async () => {
    await stuckInTheMiddle();
    await bench.kaonctl('pause');
    expect((await bench.kaonctl('cancel')).exitCode).toBe(0);
    expect((await statusOnce('the end', ({ phase }) => phase === 'idle')).last).toMatchObject({ result: 'cancelled' });
    expect(await bench.loader()).toMatchObject({ B_OK: '0' });
    expect((await bench.kaonctl('resume', 'u-1', '--json')).exitCode).toBe(65);
  });
});
