import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';
import { makeImageByHand, makeKeyByOpenssl, pushBySkopeo, signByOpenssl } from './hand-made-image.ts';
import { LoopNode, type SystemContent } from './loop-node.ts';

const run = promisify(execFile);

let directory = '';
let key = { key: '', pub: '' };
let registry: RealRegistry;
let loop: LoopNode;
let mounts: string[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-state-'));
  key = await makeKeyByOpenssl(directory, 'release');
  registry = await startDockerRegistry(directory, 'registry');
}, 60_000);

afterAll(async () => {
  await registry.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  loop = await LoopNode.open();
}, 60_000);

afterEach(async () => {
  await loop.node.powerOff();
  for (const mount of mounts) await run('umount', [mount]);
  mounts = [];
  await loop.close();
}, 60_000);

async function publish(system: SystemContent): Promise<string> {
  const parts = { version: system.version, compression: 'gzip', partitions: system.files } as const;
  const image = await makeImageByHand(directory, parts);
  await signByOpenssl(image.path, image.digest, key.key);
  const reference = `${registry.host}/os/edge:${system.version}`;
  await pushBySkopeo(image.path, reference);
  return reference;
}

/** Mounts something where the state directory is. */
async function mountAtState(...args: readonly string[]): Promise<string> {
  const path = join(loop.folder, 'state');
  await mkdir(path, { recursive: true });
  await run('mount', [...args, path]);
  mounts.push(path);
  return path;
}

describe('the state directory', () => {
  it(
    'on a disk that is full: journal-failed, nothing changed, and the next update works with room',
    { timeout: 120_000 },
    async () => {
      const state = await mountAtState('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
      await loop.powerOn(key.pub, { [registry.host]: '' });
      const system = await loop.makeSystem('v2', 'healthy');
      const reference = await publish(system);
      const before = await loop.loader();
      // Whatever is left, down to the last page.
      await run('sh', ['-c', `dd if=/dev/zero of=${state}/filler bs=4k 2>/dev/null || true`]);
      const refused = await loop.node.kaonctl(['update', reference]);
      expect(refused).toMatchObject({ exitCode: 74, stderr: expect.stringContaining('journal-failed') as string });
      expect(refused.stderr).toContain('Check room and health of the data partition.');
      expect(await loop.loader()).toEqual(before);
      expect(await loop.node.read('/v1/status')).toMatchObject({ phase: 'idle', booted: 'a' });
      await rm(join(state, 'filler'));
      expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 0 });
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(await loop.holds('b', system)).toBe(true);
    },
  );

  it(
    'on a disk that fills up while an update runs: it waits, says so, and goes on with room',
    { timeout: 120_000 },
    async () => {
      const state = await mountAtState('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
      await loop.powerOn(key.pub, { [registry.host]: '' });
      const system = await loop.makeSystem('v2', 'healthy');
      const reference = await publish(system);
      registry.pause();
      await loop.node.kaonctl(['update', reference, '--detach']);
      await run('sh', ['-c', `dd if=/dev/zero of=${state}/filler bs=4k 2>/dev/null || true`]);
      registry.resume();
      await expect
        .poll(async () => JSON.stringify(await loop.node.read('/v1/status')), { timeout: 30_000, interval: 100 })
        .toContain('"code":"journal-failed"');
      expect((await loop.loader())['ORDER']).toBe('A B');
      await rm(join(state, 'filler'));
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(await loop.holds('b', system)).toBe(true);
    },
  );

  it('on a slot: state-dir-invalid, and no update starts', { timeout: 120_000 }, async () => {
    const device = loop.device('b', 'root');
    await run('mkfs.ext4', ['-q', device]);
    await mountAtState(device);
    await loop.powerOn(key.pub, { [registry.host]: '' });
    const status = (await loop.node.read('/v1/status')) as { readonly degraded: readonly { readonly code: string }[] };
    expect(status.degraded).toEqual(expect.arrayContaining([expect.objectContaining({ code: 'state-dir-invalid' })]));
    const reference = await publish(await loop.makeSystem('v2', 'healthy'));
    const refused = await loop.node.kaonctl(['update', reference]);
    expect(refused).toMatchObject({ exitCode: 78, stderr: expect.stringContaining('it lies on a slot') as string });
    await loop.node.endAgent('SIGTERM');
    await run('umount', mounts.splice(0));
    await writeFile(join(loop.folder, 'state/.keep'), '');
    await loop.node.restartAgent();
    await loop.agentUp();
    expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 0 });
    expect(await loop.outcome()).toMatchObject({ result: 'committed' });
  });
});
