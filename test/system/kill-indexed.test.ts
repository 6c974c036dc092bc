import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultFrameSizeBytes } from '../../agent/image/build-layer.ts';
import { CheckpointFile } from '../../agent/store/checkpoint-file.ts';
import { Link } from '../bench/link.ts';
import { until } from '../fakes/simulated-node.ts';
import { buildImage, type BuiltImage, mustRun } from '../integration/node/built-image.ts';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';
import { LoopNode, type SystemContent } from './loop-node.ts';

const mebibyte = 1024 * 1024;
const rootBytes = 20 * mebibyte;
/** So slow that some checkpoints are kept on the way: one is due each second. */
const bytesPerSecond = 4 * mebibyte;
/** Manifests, signatures, indexes and headers, which are asked for again, and what comes until the link is closed. */
const againBytes = 2 * mebibyte;
/** In a checkpoint when it is time to kill: no less, so that a write that begins anew always fetches more than is allowed. */
const leastDurableBytes = againBytes;

let directory = '';
let registry: RealRegistry;
let link: Link;
let loop: LoopNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-kill-indexed-'));
  registry = await startDockerRegistry(directory, 'registry');
  link = await Link.open(registry.host);
}, 60_000);

afterAll(async () => {
  link.close();
  await registry.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  link.reset();
  loop = await LoopNode.open();
  await mustRun(kaonctl, 'keygen', '--output', join(loop.folder, 'release'));
  await loop.powerOn(join(loop.folder, 'release.pub'), { [link.host]: '' });
}, 60_000);

afterEach(async () => {
  await loop.close();
}, 60_000);

const kaonctl = (args: readonly string[]) => loop.node.kaonctl(args);

interface Published extends BuiltImage {
  readonly reference: string;
  /** Of all layers with content. */
  readonly sizeBytes: number;
}

async function publish(system: SystemContent): Promise<Published> {
  const { version, files } = system;
  const layout = join(loop.folder, `layout-${version}`);
  const image = await buildImage(kaonctl, layout, { version, compatible: 'system-board', files });
  const name = `os/edge:${version}-${image.digest.slice(-12)}`;
  const pushed = `${registry.host}/${name}`;
  await mustRun(kaonctl, 'image', 'push', layout, pushed, '--insecure-http');
  await mustRun(kaonctl, 'image', 'sign', '--key', join(loop.folder, 'release.key'), pushed, '--insecure-http');
  const sizeBytes = image.content.reduce((sum, { size }) => sum + size, 0);
  return { ...image, reference: `${link.host}/${name}`, sizeBytes };
}

/** `older` with 5 MiB of new content before 10 MiB of its own, which are elsewhere by that, and 5 MiB behind it. */
async function makeSuccessor(older: SystemContent): Promise<{ system: SystemContent; newBytes: number }> {
  const system = await loop.makeSystem('v2', 'healthy', rootBytes);
  const root = older.bytes['root'] ?? Buffer.alloc(0);
  root.copy(system.bytes['root'] ?? Buffer.alloc(0), 5 * mebibyte, 7 * mebibyte, 17 * mebibyte);
  older.bytes['boot']?.copy(system.bytes['boot'] ?? Buffer.alloc(0), 4096, 4096);
  for (const [name, file] of Object.entries(system.files)) await writeFile(file, system.bytes[name] ?? '');
  return { system, newBytes: 10 * mebibyte };
}

type Victim = 'kaond' | 'kaon-slotd';

/** Bytes of content in the frames that the checkpoint of the slot that is written names. */
async function checkpointBytes(): Promise<number> {
  const slot = loop.node.booted === 'a' ? 'b' : 'a';
  const checkpoint = await new CheckpointFile(join(loop.folder, 'slotd')).load(slot);
  const bits = Object.values(checkpoint?.frames ?? {}).flatMap((bytes) => [...bytes]);
  return bits.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0) * defaultFrameSizeBytes;
}

/**
 * Starts the update over the slow link, and kills when `atBytes` went to the node and a checkpoint has some of them. Resolves
 * to how many of these the last checkpoint does not have; `reusedBytes` of the content are on the node.
 */
async function killAt(reference: string, atBytes: number, who: Victim, reusedBytes = 0): Promise<number> {
  link.reset({ bytesPerSecond });
  await mustRun(kaonctl, 'update', reference, '--detach');
  const durableBytes = await until('the bytes', 60_000, async () => {
    const bytes = (await checkpointBytes()) - reusedBytes;
    return link.toNodeBytes >= atBytes && bytes >= leastDurableBytes ? bytes : undefined;
  });
  expect(await loop.newest()).toMatchObject({ phase: 'writing' });
  if (who === 'kaond') await loop.node.killAgentAlone();
  else expect(await loop.node.killSlotd()).toBe(true);
  const lostBytes = link.toNodeBytes - durableBytes;
  if (who === 'kaond') await loop.node.restartAgent();
  await loop.agentUp();
  return lostBytes;
}

const killsAt = (...shares: readonly number[]) =>
  shares.flatMap((share) =>
    (['kaond', 'kaon-slotd'] as const).map((who) => ({ share, who, name: `${who} at ${share * 100} %` })),
  );

describe('killed in the write of an image with a block index', () => {
  it.each(killsAt(0.25, 0.6, 0.9))(
    '$name of the whole: ends as it would have, and fetches what was not there',
    { timeout: 120_000 },
    async ({ share, who }) => {
      const system = await loop.makeSystem('v2', 'healthy', rootBytes);
      const image = await publish(system);
      const lostBytes = await killAt(image.reference, share * image.sizeBytes, who);
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(loop.node.booted).toBe('b');
      expect(await loop.holds('b', system)).toBe(true);
      expect(link.toNodeBytes - image.sizeBytes).toBeLessThan(lostBytes + againBytes);
    },
  );

  it.each(killsAt(0.5, 0.9))(
    '$name of what the node lacks: goes on as a delta',
    { timeout: 120_000 },
    async ({ share, who }) => {
      const older = await loop.makeSystem('v1', 'healthy', rootBytes);
      await mustRun(kaonctl, 'update', (await publish(older)).reference, '--detach');
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      await loop.agentUp();
      const { system, newBytes } = await makeSuccessor(older);
      const image = await publish(system);
      const allBytes = Object.values(system.bytes).reduce((sum, { byteLength }) => sum + byteLength, 0);
      const lostBytes = await killAt(image.reference, share * newBytes, who, allBytes - newBytes);
      await until('the second update', 60_000, async () => {
        const newest = await loop.newest();
        return loop.node.booted === 'a' && newest?.phase === 'idle' ? true : undefined;
      });
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(await loop.holds('a', system)).toBe(true);
      expect(link.toNodeBytes - newBytes).toBeLessThan(lostBytes + againBytes);
    },
  );

  it('forgets its checkpoint when another image comes', { timeout: 120_000 }, async () => {
    const checkpoint = async () => readFile(join(loop.folder, 'slotd/checkpoint-b.json'), 'utf8').catch(() => '');
    const first = await publish(await loop.makeSystem('v2', 'healthy', rootBytes));
    await killAt(first.reference, 0.7 * first.sizeBytes, 'kaon-slotd');
    expect(await checkpoint()).toContain(first.digest);
    await mustRun(kaonctl, 'cancel');
    const system = await loop.makeSystem('v3', 'healthy', rootBytes);
    const second = await publish(system);
    link.reset({ bytesPerSecond });
    await mustRun(kaonctl, 'update', second.reference, '--detach');
    await until('another checkpoint', 60_000, async () =>
      (await checkpoint()).includes(first.digest) ? undefined : true,
    );
    expect(await loop.outcome()).toMatchObject({ result: 'committed' });
    expect(await loop.holds('b', system)).toBe(true);
    expect(link.toNodeBytes).toBeGreaterThan(second.sizeBytes);
  });
});
