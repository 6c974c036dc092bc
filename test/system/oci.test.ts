import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mediaTypes } from '../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../agent/core/image-format/reference.ts';
import { copyImage } from '../../agent/oci/copy-image.ts';
import type { FoundCredentials } from '../../agent/oci/credentials.ts';
import { LayoutImageSource } from '../../agent/oci/layout-source.ts';
import { LayoutWriter } from '../../agent/oci/layout-writer.ts';
import { RegistryPusher } from '../../agent/oci/registry-pusher.ts';
import { RegistryImageSource } from '../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../agent/oci/settings.ts';
import { EagerClock } from '../fakes/eager-clock.ts';
import { startRegistry } from '../fakes/registry.ts';
import { patternBytes, sha256, signatureLayer, signatureObject } from '../fakes/sample-image.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const platform = { os: 'linux', architecture: 'amd64', variant: undefined };
const login: FoundCredentials = { kind: 'basic', username: 'node', password: 'pa:ss' };
let directory = '';
let digest = '';
const layers: { digest: string; sizeBytes: number; mediaType: string }[] = [];
const payload = Buffer.from('{"critical":{"type":"cosign container image signature"}}');

/** Lets the first connections through only for so many bytes from the server, then resets them. */
async function startCutter(target: string, cutAfterBytes: number[]): Promise<{ host: string; server: Server }> {
  const [host = '', port = ''] = target.split(':');
  const server = createServer((client: Socket) => {
    const upstream = connect(Number(port), host);
    client.pipe(upstream);
    let sentBytes = 0;
    upstream.on('data', (piece) => {
      sentBytes += piece.byteLength;
      client.write(piece);
      if (sentBytes < (cutAfterBytes[0] ?? Number.POSITIVE_INFINITY)) return;
      cutAfterBytes.shift();
      client.destroySoon();
      upstream.destroy();
    });
    upstream.on('end', () => client.end());
    for (const end of [client, upstream]) end.on('error', () => end.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return { host: `127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`, server };
}

function ports(credentials: FoundCredentials = { kind: 'none' }) {
  const limits = defaultTransferLimits;
  return { credentials: async () => credentials, clock: new EagerClock(), random: new SeededRandom(), limits };
}

function sourceFor(host: string, credentials?: FoundCredentials): RegistryImageSource {
  return new RegistryImageSource({ ...ports(credentials), registries: { [host]: { insecureHttp: true } }, platform });
}

async function digestOfLayer(source: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of source) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

/** Builds the layout `image`: one partition by `gzip`, one by `zstd`, as two frames, and one raw. */
async function buildLayout(layout: string): Promise<void> {
  const raw = join(directory, 'part.raw');
  await writeFile(raw, patternBytes(24 * 1024 * 1024, 11));
  await run('gzip', ['-1', '-k', raw]);
  await run('sh', [
    '-c',
    `head -c 9000000 '${raw}' | zstd -1 -c > '${raw}.zst'; tail -c +9000001 '${raw}' | zstd -1 -c >> '${raw}.zst'`,
  ]);
  const writer = await LayoutWriter.open(layout);
  const files = [
    ['root', `${raw}.gz`, '+gzip'],
    ['boot', `${raw}.zst`, '+zstd'],
    ['data', raw, ''],
  ] as const;
  const partitions: object[] = [];
  for (const [name, path, suffix] of files) {
    const stored = await writer.writeBlob(createReadStream(path) as AsyncIterable<Uint8Array>);
    layers.push({ ...stored, mediaType: `${mediaTypes.kaonPartition}${suffix}` });
    partitions.push({ name, layer: stored.digest });
  }
  const config = { formatVersion: 1, name: 'edge', version: '1.0.0', compatible: ['board'], partitions };
  const stored = await writer.writeBlob(Buffer.from(JSON.stringify(config)));
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonArtifact,
    config: { mediaType: mediaTypes.kaonConfig, digest: stored.digest, size: stored.sizeBytes },
    layers: layers.map((layer) => ({ mediaType: layer.mediaType, digest: layer.digest, size: layer.sizeBytes })),
  };
  const image = await writer.putManifest(Buffer.from(JSON.stringify(manifest)), mediaTypes.ociManifest, 'v1');
  digest = image.digest;
  const signature = signatureObject(digest, [signatureLayer(payload, 'c2ln')], [payload]);
  for (const { bytes } of signature.blobs) await writer.writeBlob(bytes);
  await writer.putManifest(signature.manifest.bytes, signature.manifest.mediaType, signature.manifest.names[0]!);
}

let plain: RealRegistry;
let guarded: RealRegistry;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-oci-'));
  await buildLayout(join(directory, 'image'));
  const { stdout } = await run('htpasswd', ['-nbB', 'node', 'pa:ss']);
  await writeFile(join(directory, 'htpasswd'), stdout);
  plain = await startDockerRegistry(directory, 'plain');
  guarded = await startDockerRegistry(
    directory,
    'guarded',
    `auth: {htpasswd: {realm: edge, path: ${join(directory, 'htpasswd')}}}\n`,
  );
}, 60_000);

afterAll(async () => {
  await plain.stop();
  await guarded.stop();
  await rm(directory, { recursive: true });
});

async function pushBySkopeo(host: string, credentials: readonly string[] = []): Promise<void> {
  const tag = `${digest.replace(':', '-')}.sig`;
  for (const name of ['v1', tag]) {
    const to = ['--dest-tls-verify=false', ...credentials, `docker://${host}/os/edge:${name}`];
    await run('skopeo', ['--insecure-policy', 'copy', `oci:${join(directory, 'image')}:${name}`, ...to]);
  }
}

describe('an image that skopeo pushed to docker-registry', () => {
  it('is resolved, fetched layer by layer, and its signature found', async () => {
    await pushBySkopeo(plain.host);
    const source = sourceFor(plain.host);
    const image = await source.resolve(parseReference(`${plain.host}/os/edge:v1`), never);
    expect(image).toMatchObject({ resolvedDigest: digest, manifestDigest: digest, indexBytes: undefined });
    for (const layer of layers) expect(await digestOfLayer(source.openLayer(image, layer, never))).toBe(layer.digest);
    expect(await source.signatures(image, never)).toEqual([
      expect.objectContaining({ payload: expect.toSatisfy(payload.equals.bind(payload)) as Buffer, signature: 'c2ln' }),
    ]);
    const pinned = parseReference(`${plain.host}/os/edge@${digest}`);
    expect((await source.resolve(pinned, never)).resolvedDigest).toBe(digest);
    source.close();
  }, 60_000);

  it('is fetched over connections that break, by ranges', async () => {
    await pushBySkopeo(plain.host);
    const cuts = [5_000_000, 1_000_000, 8_000_000];
    const cutter = await startCutter(plain.host, cuts);
    const source = sourceFor(cutter.host);
    const image = await source.resolve(parseReference(`${cutter.host}/os/edge:v1`), never);
    const layer = layers[2]!;
    expect(await digestOfLayer(source.openLayer(image, layer, never))).toBe(layer.digest);
    expect(cuts).toEqual([]);
    source.close();
    await promisify(cutter.server.close.bind(cutter.server))();
  }, 60_000);

  it('is behind a login only with the right password', async () => {
    await pushBySkopeo(guarded.host, ['--dest-creds', 'node:pa:ss']);
    const reference = parseReference(`${guarded.host}/os/edge:v1`);
    const source = sourceFor(guarded.host, login);
    const image = await source.resolve(reference, never);
    expect(await digestOfLayer(source.openLayer(image, layers[1]!, never))).toBe(layers[1]!.digest);
    source.close();
    for (const credentials of [undefined, { ...login, password: 'wrong' } as FoundCredentials]) {
      const refused = sourceFor(guarded.host, credentials);
      await expect(refused.resolve(reference, never)).rejects.toMatchObject({ code: 'registry-unauthorized' });
      refused.close();
    }
  }, 60_000);

  it('comes from a docker-registry that mirrors it, and from its own once that is gone', async () => {
    await pushBySkopeo(plain.host);
    const mirror = await startDockerRegistry(directory, 'mirror', `proxy: {remoteurl: "http://${plain.host}"}\n`);
    const mirrors = [{ registry: mirror.host, path: '', prefix: '', isTagged: false }];
    const registries = {
      [plain.host]: { insecureHttp: true, mirrors },
      [mirror.host]: { insecureHttp: true },
    };
    const source = new RegistryImageSource({ ...ports(), registries, platform });
    const [layer, other] = [layers[0]!, layers[1]!];
    const fileOf = (name: string) => {
      const [, hex = ''] = layer.digest.split(':');
      return join(directory, name, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
    };
    try {
      const image = await source.resolve(parseReference(`${plain.host}/os/edge:v1`), never);
      expect(await source.signatures(image, never)).toHaveLength(1);
      expect(await digestOfLayer(source.openLayer(image, layer, never))).toBe(layer.digest);
      // The mirror keeps it once it has given it; the registry itself then has it no more.
      while (!existsSync(fileOf('mirror'))) await setImmediate();
      await rm(fileOf('plain'));
      expect(await digestOfLayer(source.openLayer(image, layer, never))).toBe(layer.digest);
    } finally {
      await mirror.stop();
    }
    const image = await source.resolve(parseReference(`${plain.host}/os/edge@${digest}`), never);
    expect(await digestOfLayer(source.openLayer(image, other, never))).toBe(other.digest);
    source.close();
  }, 60_000);

  it('is not found under another tag or name', async () => {
    const source = sourceFor(plain.host);
    for (const rest of ['os/edge:v9', 'os/none:v1', `os/edge@sha256:${'0'.repeat(64)}`]) {
      const resolving = source.resolve(parseReference(`${plain.host}/${rest}`), never);
      await expect(resolving).rejects.toMatchObject({ code: 'image-not-found' });
    }
    source.close();
  });
});

describe('an image that we pushed to docker-registry', () => {
  it('is read back by skopeo byte for byte, signature included', async () => {
    const from = { kind: 'layout', path: join(directory, 'image'), refName: 'v1' } as const;
    const target = { registry: guarded.host, name: 'os/ours' };
    const pusher = new RegistryPusher(target, { insecureHttp: true }, ports(login));
    const reference = parseReference(`${guarded.host}/os/ours:v1`);
    const copied = await copyImage(from, pusher, reference, () => undefined, never);
    pusher.close();
    expect(copied).toMatchObject({ digest, signatureTags: [`${digest.replace(':', '-')}.sig`] });
    const back = join(directory, 'back');
    await mkdir(back);
    const access = ['--src-tls-verify=false', '--src-creds', 'node:pa:ss'];
    await run('skopeo', ['--insecure-policy', 'copy', ...access, `docker://${guarded.host}/os/ours:v1`, `dir:${back}`]);
    expect(sha256(await readFile(join(back, 'manifest.json')))).toBe(digest);
    const inspect = ['inspect', '--raw', '--tls-verify=false', '--creds', 'node:pa:ss'];
    const { stdout } = await run('skopeo', [
      ...inspect,
      `docker://${guarded.host}/os/ours:${copied.signatureTags[0]!}`,
    ]);
    expect(stdout).toContain('dev.cosignproject.cosign/signature');
  }, 60_000);
});

describe('skopeo and our own formats', () => {
  it('agree on the archive that skopeo writes', async () => {
    const archive = join(directory, 'image.tar');
    await run('skopeo', [
      '--insecure-policy',
      'copy',
      `oci:${join(directory, 'image')}:v1`,
      `oci-archive:${archive}:v1`,
    ]);
    const source = new LayoutImageSource({ kind: 'archive', path: archive, refName: 'v1' }, platform);
    const image = await source.resolve(parseReference('registry.test/os/edge:v1'), never);
    expect(image.resolvedDigest).toBe(digest);
    for (const layer of layers) expect(await digestOfLayer(source.openLayer(image, layer, never))).toBe(layer.digest);
  }, 60_000);

  it('agree on the embedded registry of the tests', async () => {
    const registry = await startRegistry({ auth: { kind: 'bearer', username: 'node', password: 'pa:ss' } });
    try {
      await pushBySkopeo(registry.host, ['--dest-creds', 'node:pa:ss']);
      const source = sourceFor(registry.host, login);
      const image = await source.resolve(parseReference(`${registry.host}/os/edge:v1`), never);
      expect(image.resolvedDigest).toBe(digest);
      expect(await source.signatures(image, never)).toHaveLength(1);
      source.close();
    } finally {
      await registry.close();
    }
  }, 60_000);
});
