import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { copyImage } from '../../../agent/oci/copy-image.ts';
import { LayoutWriter } from '../../../agent/oci/layout-writer.ts';
import { RegistryPusher } from '../../../agent/oci/registry-pusher.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import type { RegistryAuthOptions } from '../../fakes/registry-auth.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { sampleImage, sampleIndex, sha256, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const image = sampleImage(['v1'], 300_000, 7);

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const ports = () => ({
  credentials: async () => ({ kind: 'basic', username: 'ci', password: 'p:w' }) as const,
  clock: new EagerClock(),
  random: new SeededRandom(),
  limits: defaultTransferLimits,
});

async function start(auth?: RegistryAuthOptions): Promise<{ registry: EmbeddedRegistry; pusher: RegistryPusher }> {
  const registry = await startRegistry(auth === undefined ? {} : { auth });
  const pusher = new RegistryPusher({ registry: registry.host, name: 'os/edge' }, { insecureHttp: true }, ports());
  endings.push(
    () => registry.close(),
    async () => pusher.close(),
  );
  return { registry, pusher };
}

async function* pieces(bytes: Buffer) {
  for (let at = 0; at < bytes.byteLength; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

describe('a pusher', () => {
  it.each([undefined, 'basic', 'bearer'] as const)('uploads blobs and manifests (auth: %s)', async (kind) => {
    const { registry, pusher } = await start(kind && { kind, username: 'ci', password: 'p:w' });
    const { digest, bytes, sizeBytes } = image.layer;
    expect(await pusher.hasBlob(digest, never)).toBe(false);
    await pusher.uploadBlob(() => pieces(bytes), digest, sizeBytes, never);
    expect(await pusher.hasBlob(digest, never)).toBe(true);
    expect(registry.content.blob('os/edge', digest)?.equals(bytes)).toBe(true);
    const pushed = await pusher.putManifest('v1', image.manifest.bytes, mediaTypes.ociManifest, never);
    expect(pushed).toBe(image.manifest.digest);
    const held = await pusher.manifest('v1', never);
    expect(Buffer.from(held?.bytes ?? [])).toEqual(image.manifest.bytes);
    expect(await pusher.manifest('v2', never)).toBeUndefined();
  });

  it('uploads anew when an attempt fails', async () => {
    const { registry, pusher } = await start();
    registry.faults.add({ request: /^PUT .*uploads/, fault: { kind: 'answer', status: 502 }, times: 2 });
    const { digest, bytes, sizeBytes } = image.layer;
    await pusher.uploadBlob(() => pieces(bytes), digest, sizeBytes, never);
    expect(await pusher.hasBlob(digest, never)).toBe(true);
  });

  it('tells the failure of the content, and pushes nothing of another size', async () => {
    const { pusher } = await start();
    const { digest, bytes, sizeBytes } = image.layer;
    const broken = async function* () {
      yield bytes.subarray(0, 100_000);
      throw new AgentError('archive-invalid', 'cannot read the stick: it was pulled out');
    };
    const push = (content: () => AsyncIterable<Uint8Array>) => pusher.uploadBlob(content, digest, sizeBytes, never);
    await expect(push(broken)).rejects.toMatchObject({ code: 'archive-invalid' });
    await expect(push(() => pieces(bytes.subarray(1)))).rejects.toMatchObject({ code: 'internal' });
    await expect(push(() => pieces(Buffer.concat([bytes, bytes])))).rejects.toMatchObject({ code: 'internal' });
    expect(await pusher.hasBlob(digest, never)).toBe(false);
  });

  it('is told when it may not push', async () => {
    const { registry, pusher } = await start({ kind: 'bearer', username: 'other', password: 'x' });
    const { digest, bytes, sizeBytes } = image.layer;
    const push = pusher.uploadBlob(() => pieces(bytes), digest, sizeBytes, never);
    await expect(push).rejects.toMatchObject({ code: 'registry-unauthorized' });
    expect(registry.content.blob('os/edge', digest)).toBeUndefined();
  });
});

describe('copying an image from a layout', () => {
  it('pushes all platforms and their signatures, what is there only once, and the tag last', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'kaon-copy-'));
    endings.push(() => rm(directory, { recursive: true }));
    const second = sampleImage([], 4096, 8);
    const index = sampleIndex(
      [
        { image: image.manifest, architecture: 'amd64' },
        { image: second.manifest, architecture: 'arm64' },
      ],
      ['v1'],
    );
    const payload = Buffer.from('{"critical":{}}');
    const signature = signatureObject(index.digest, [signatureLayer(payload, 'c2ln')], [payload]);
    const writer = await LayoutWriter.open(directory);
    for (const { bytes } of [...image.blobs, ...second.blobs, ...signature.blobs]) await writer.writeBlob(bytes);
    await writer.writeBlob(image.manifest.bytes);
    await writer.writeBlob(second.manifest.bytes);
    await writer.putManifest(index.bytes, index.mediaType, 'v1');
    await writer.putManifest(signature.manifest.bytes, signature.manifest.mediaType, signature.manifest.names[0]!);

    const { registry, pusher } = await start();
    registry.content.putBlob('os/edge', image.configBytes);
    const reference = parseReference(`${registry.host}/os/edge:v1`);
    const there: string[] = [];
    const copied = await copyImage(
      { kind: 'layout', path: directory, refName: undefined },
      pusher,
      reference,
      (blob, isThere) => isThere && there.push(blob.digest),
      never,
    );
    expect(copied).toMatchObject({ digest: index.digest, signatureTags: signature.manifest.names });
    expect(there).toEqual([sha256(image.configBytes)]);
    expect(registry.requests.at(-1)).toMatchObject({ method: 'PUT', path: '/v2/os/edge/manifests/v1' });

    const source = new RegistryImageSource({
      ...ports(),
      registries: { [registry.host]: { insecureHttp: true } },
      platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    });
    endings.push(async () => source.close());
    const resolved = await source.resolve(reference, never);
    expect(resolved).toMatchObject({ resolvedDigest: index.digest, manifestDigest: second.manifest.digest });
    expect(await source.signatures(resolved, never)).toMatchObject([{ signature: 'c2ln' }]);
  });
});
