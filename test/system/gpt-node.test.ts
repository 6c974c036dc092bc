import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../fakes/simulated-node.ts';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';
import { makeImageByHand, makeKeyByOpenssl, pushBySkopeo, signByOpenssl } from './hand-made-image.ts';
import { LoopGpt } from './loop-loaders.ts';
import { type Behaviour, LoopNode, type SystemContent } from './loop-node.ts';

let directory = '';
let key = { key: '', pub: '' };
let registry: RealRegistry;
let gpt: LoopGpt;
let loop: LoopNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-gpt-node-'));
  key = await makeKeyByOpenssl(directory, 'release');
  registry = await startDockerRegistry(directory, 'open');
}, 60_000);

afterAll(async () => {
  await registry.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  gpt = new LoopGpt();
  loop = await LoopNode.open(gpt);
}, 60_000);

afterEach(async () => {
  await gpt.close();
  await loop.close();
}, 60_000);

async function publish(version: string, behaviour: Behaviour): Promise<{ system: SystemContent; reference: string }> {
  const system = await loop.makeSystem(version, behaviour);
  const image = await makeImageByHand(directory, { version, compression: 'zstd', partitions: system.files });
  await signByOpenssl(image.path, image.digest, key.key);
  const reference = `${registry.host}/os/edge:${version}`;
  await pushBySkopeo(image.path, reference);
  return { system, reference };
}

describe('a node whose loader reads a GPT, on a loop device', () => {
  it('commits a good image, and sgdisk finds both tables sound', { timeout: 120_000 }, async () => {
    await loop.powerOn(key.pub, { [registry.host]: '' });
    const { system, reference } = await publish('v2', 'healthy');
    expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 0 });
    expect(await loop.outcome()).toMatchObject({ result: 'committed' });
    expect(loop.node.boots).toEqual(['a:factory', 'b:v2']);
    expect(await loop.holds('b', system)).toBe(true);
    expect(await gpt.flags()).toEqual(['0101000000000000', '0102000000000000']);
    expect(await gpt.verify()).toContain('No problems found');
  });

  it('falls back from an image that never comes up, after its tries', { timeout: 120_000 }, async () => {
    await loop.powerOn(key.pub, { [registry.host]: '' });
    const { reference } = await publish('v3', 'dies-early');
    expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 1 });
    expect(await loop.outcome()).toMatchObject({ result: 'rolled-back', code: 'boot-tries-exhausted' });
    expect(loop.node.boots).toEqual(['a:factory', 'b:v3', 'b:v3', 'b:v3', 'a:factory']);
    expect(await gpt.flags()).toEqual(['0102000000000000', '0000000000000000']);
    expect(await gpt.verify()).toContain('No problems found');
  });

  it('shows in a test that its loader writes back, in the slot that runs', { timeout: 120_000 }, async () => {
    await loop.powerOn(key.pub, { [registry.host]: '' }, '');
    const before = await gpt.flags();
    const { stdout: unknown } = await loop.node.kaonctl(['bootloader', 'selftest']);
    expect(unknown).toContain('not known yet');
    expect(await loop.node.kaonctl(['bootloader', 'selftest', '--reboot'])).toMatchObject({ exitCode: 0 });
    await until('the result of the test', 60_000, async () => {
      const status = (await loop.node.read('/v1/status')) as { loader?: { isProven?: boolean } } | undefined;
      return status?.loader?.isProven;
    });
    expect(loop.node.boots).toEqual(['a:factory', 'a:factory']);
    const { exitCode, stdout } = await loop.node.kaonctl(['bootloader', 'selftest']);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('the loader wrote back in a test')]);
    expect(await gpt.flags()).toEqual(['0102000000000000', before[1]]);
  });
});
