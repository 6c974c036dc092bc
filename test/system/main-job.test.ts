import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';
import { copyBySkopeo, makeImageByHand, makeKeyByOpenssl, pushBySkopeo, signByOpenssl } from './hand-made-image.ts';
import { LoopNode, type SystemContent } from './loop-node.ts';

const run = promisify(execFile);
const login = 'node:pa:ss';

let directory = '';
let key = { key: '', pub: '' };
let open: RealRegistry;
let guarded: RealRegistry;
let loop: LoopNode;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-main-'));
  key = await makeKeyByOpenssl(directory, 'release');
  open = await startDockerRegistry(directory, 'open');
  const htpasswd = join(directory, 'htpasswd');
  const { stdout } = await run('htpasswd', ['-nbB', 'node', 'pa:ss']);
  await writeFile(htpasswd, stdout);
  guarded = await startDockerRegistry(directory, 'guarded', `auth: {htpasswd: {realm: r, path: ${htpasswd}}}\n`);
}, 60_000);

afterAll(async () => {
  await open.stop();
  await guarded.stop();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  loop = await LoopNode.open();
}, 60_000);

afterEach(async () => {
  await loop.close();
}, 60_000);

/** Makes, signs and pushes an image of `system` with nothing of ours. */
async function publish(
  system: SystemContent,
  compression: 'gzip' | 'zstd',
  registry: RealRegistry = open,
  signer = key.key,
): Promise<string> {
  const image = await makeImageByHand(directory, { version: system.version, compression, partitions: system.files });
  await signByOpenssl(image.path, image.digest, signer);
  const reference = `${registry.host}/os/edge-${compression}:${system.version}`;
  await pushBySkopeo(image.path, reference, registry === guarded ? login : undefined);
  return reference;
}

describe('the main job on loop devices, GRUB, docker-registry, skopeo and openssl', () => {
  it.each(['gzip', 'zstd'] as const)('commits a good image of %s layers', { timeout: 120_000 }, async (compression) => {
    await loop.powerOn(key.pub, { [open.host]: '' });
    const system = await loop.makeSystem('v2', 'healthy', 20 * 1024 * 1024 + 1);
    const reference = await publish(system, compression);
    expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 0 });
    expect(await loop.outcome()).toMatchObject({ result: 'committed' });
    expect(loop.node.boots).toEqual(['a:factory', 'b:v2']);
    expect(await loop.holds('b', system)).toBe(true);
    expect(await loop.loader()).toMatchObject({
      ORDER: 'B A',
      A_OK: '1',
      B_OK: '1',
      B_LEFT: '4',
      kaon_trial: '-',
      saved_entry: '0',
    });
  });

  it(
    'asks a registry with basic auth by the node’s credentials, and refuses wrong ones',
    { timeout: 120_000 },
    async () => {
      const authFile = join(loop.folder, 'auth.json');
      const write = (credentials: string) =>
        writeFile(
          authFile,
          JSON.stringify({ auths: { [guarded.host]: { auth: Buffer.from(credentials).toString('base64') } } }),
          { mode: 0o600 },
        );
      await write('node:wrong');
      await loop.powerOn(key.pub, { [guarded.host]: `, authFile: ${authFile}` });
      const system = await loop.makeSystem('v2', 'healthy');
      const reference = await publish(system, 'zstd', guarded);
      const refused = await loop.node.kaonctl(['update', reference]);
      expect(refused).toMatchObject({
        exitCode: 77,
        stderr: expect.stringContaining('registry-unauthorized') as string,
      });
      await write(login);
      expect(await loop.node.kaonctl(['update', reference])).toMatchObject({ exitCode: 0 });
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(await loop.holds('b', system)).toBe(true);
    },
  );

  it('rolls a bad image back with its reason, and then takes a good one', { timeout: 180_000 }, async () => {
    await loop.powerOn(key.pub, { [open.host]: '' });
    const dying = await publish(await loop.makeSystem('v3', 'dies-early'), 'zstd');
    await loop.node.kaonctl(['update', dying]);
    expect(await loop.outcome()).toMatchObject({ result: 'rolled-back', code: 'boot-tries-exhausted' });
    expect(loop.node.boots).toEqual(['a:factory', 'b:v3', 'b:v3', 'b:v3', 'b:v3', 'a:factory']);
    expect((await loop.node.kaonctl(['rollbacks'])).stdout).toContain('used up all tries');
    expect(await loop.node.kaonctl(['update', dying])).toMatchObject({ exitCode: 65 });

    const failing = await publish(await loop.makeSystem('v4', 'unhealthy'), 'gzip');
    await loop.node.kaonctl(['update', failing]);
    expect(await loop.outcome()).toMatchObject({ result: 'rolled-back', code: 'health-failed' });
    expect((await loop.node.kaonctl(['rollbacks'])).stdout).toContain('what the service says');
    expect(loop.node.booted).toBe('a');

    const good = await loop.makeSystem('v5', 'healthy');
    expect(await loop.node.kaonctl(['update', await publish(good, 'zstd')])).toMatchObject({ exitCode: 0 });
    expect(await loop.outcome()).toMatchObject({ result: 'committed' });
    expect(await loop.holds('b', good)).toBe(true);
  });

  it(
    'refuses a stranger’s image before its first write, and takes the same from an offline archive once it is signed',
    { timeout: 120_000 },
    async () => {
      await loop.powerOn(key.pub, { [open.host]: '' });
      const stranger = await makeKeyByOpenssl(loop.folder, 'stranger');
      const system = await loop.makeSystem('v6', 'healthy');
      const before = await loop.loader();
      const refused = await loop.node.kaonctl(['update', await publish(system, 'zstd', open, stranger.key)]);
      expect(refused).toMatchObject({ exitCode: 65, stderr: expect.stringContaining('signer-untrusted') as string });
      expect(await loop.loader()).toEqual(before);
      const reference = `${open.host}/os/offline:v6`;
      const image = await makeImageByHand(directory, { version: 'v6', compression: 'zstd', partitions: system.files });
      await signByOpenssl(image.path, image.digest, key.key);
      await pushBySkopeo(image.path, reference);
      const archive = join(loop.folder, 'edge.tar');
      const signature = image.digest.replace(':', '-');
      await copyBySkopeo(`docker://${reference}`, `oci:${loop.folder}/layout:v6`);
      await copyBySkopeo(
        `docker://${open.host}/os/offline:${signature}.sig`,
        `oci:${loop.folder}/layout:${signature}.sig`,
      );
      await run('tar', ['-cf', archive, '-C', join(loop.folder, 'layout'), '.']);
      const staged = await loop.node.kaonctl(['update', reference, '--from', `oci-archive:${archive}:v6`]);
      expect(staged).toMatchObject({ exitCode: 0 });
      expect(await loop.outcome()).toMatchObject({ result: 'committed' });
      expect(await loop.holds('b', system)).toBe(true);
    },
  );
});
