import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { Clock } from '../../../agent/core/ports.ts';
import type { FoundCredentials } from '../../../agent/oci/credentials.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits, type RegistrySettings, type TransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import type { RegistryAuthOptions } from '../../fakes/registry-auth.ts';
import { type EmbeddedRegistry, type RegistryOptions, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage, sampleIndex, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const image = sampleImage(['v1'], 1024 * 1024, 5);
const layerPath = /blobs|signature=/;

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function start(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
  const registry = await startRegistry(options);
  endings.push(() => registry.close());
  fillRegistry(registry.content, 'os/edge', [image]);
  return registry;
}

interface SourceOptions {
  readonly settings?: RegistrySettings;
  readonly credentials?: FoundCredentials;
  readonly clock?: Clock;
  readonly limits?: TransferLimits;
}

function sourceFor(registry: EmbeddedRegistry, options: SourceOptions = {}): RegistryImageSource {
  const source = new RegistryImageSource({
    registries: { [registry.host]: { insecureHttp: true, ...options.settings } },
    credentials: async () => options.credentials ?? { kind: 'none' },
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock: options.clock ?? new EagerClock(),
    random: new SeededRandom(),
    limits: options.limits ?? defaultTransferLimits,
  });
  endings.push(async () => source.close());
  return source;
}

const once = { attempts: 1, baseDelayMs: 1, maxDelayMs: 1, totalTimeMs: 1000 };
const noRetries: TransferLimits = { ...defaultTransferLimits, retry: once, layerRetry: once };
const refer = (registry: EmbeddedRegistry, rest = ':v1') => parseReference(`${registry.host}/os/edge${rest}`);
const resolve = (source: RegistryImageSource, registry: EmbeddedRegistry) => source.resolve(refer(registry), never);

async function fetchLayer(source: RegistryImageSource, registry: EmbeddedRegistry): Promise<Buffer> {
  const resolved = await resolve(source, registry);
  const pieces: Uint8Array[] = [];
  for await (const piece of source.openLayer(resolved, image.layer, never)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function failureOf(action: Promise<unknown>): Promise<Error> {
  return action.then(
    () => new Error('it did not fail'),
    (error: unknown) => error as Error,
  );
}

const layerOf = (registry: EmbeddedRegistry) =>
  registry.requests.filter(({ path }) => path.includes(image.layer.digest));

describe('a layer over a bad line', () => {
  it('is gone on with by closed ranges after broken connections', async () => {
    const registry = await start();
    const request = new RegExp(image.layer.digest);
    registry.faults.add({ request, fault: { kind: 'cut', afterBytes: 300_000 }, times: 2 });
    expect((await fetchLayer(sourceFor(registry), registry)).equals(image.layer.bytes)).toBe(true);
    expect(layerOf(registry).map(({ range }) => range)).toEqual([
      undefined,
      'bytes=300000-1048575',
      'bytes=600000-1048575',
    ]);
  });

  it('skips what it has when a registry answers a range with the whole', async () => {
    const registry = await start();
    const request = new RegExp(image.layer.digest);
    registry.faults.add({ request, fault: { kind: 'cut', afterBytes: 100_000 }, times: 1 });
    registry.faults.add({ request, fault: { kind: 'ignore-range' } });
    expect((await fetchLayer(sourceFor(registry), registry)).equals(image.layer.bytes)).toBe(true);
  });

  const someRanges = [
    { offset: 100_000, sizeBytes: 50_000 },
    { offset: 150_000, sizeBytes: 50_000 },
    { offset: 700_000, sizeBytes: 300_000 },
  ];
  const someBytes = Buffer.concat([
    image.layer.bytes.subarray(100_000, 200_000),
    image.layer.bytes.subarray(700_000, 1_000_000),
  ]);
  const fetchRanges = async (registry: EmbeddedRegistry): Promise<Buffer> => {
    const source = sourceFor(registry);
    const pieces: Uint8Array[] = [];
    const resolved = await resolve(source, registry);
    for await (const piece of source.openLayer(resolved, image.layer, never, someRanges)) pieces.push(piece);
    return Buffer.concat(pieces);
  };

  it('gives each range by one closed request, those that touch by one', async () => {
    const registry = await start();
    expect((await fetchRanges(registry)).equals(someBytes)).toBe(true);
    expect(layerOf(registry).map(({ range }) => range)).toEqual(['bytes=100000-199999', 'bytes=700000-999999']);
  });

  it('goes on with what is left of a range after a broken connection', async () => {
    const registry = await start();
    const request = new RegExp(image.layer.digest);
    registry.faults.add({ request, fault: { kind: 'cut', afterBytes: 60_000 }, times: 3 });
    expect((await fetchRanges(registry)).equals(someBytes)).toBe(true);
    const asked = layerOf(registry).map(({ range = '' }) => range);
    expect(asked.filter((range) => range.endsWith('-199999'))).toEqual(['bytes=100000-199999', 'bytes=160000-199999']);
    expect(asked.every((range) => /-(199999|999999)$/.test(range))).toBe(true);
  });

  it('takes all ranges from one answer when a registry gives the whole', async () => {
    const registry = await start();
    registry.faults.add({ request: new RegExp(image.layer.digest), fault: { kind: 'ignore-range' } });
    expect((await fetchRanges(registry)).equals(someBytes)).toBe(true);
    expect(layerOf(registry)).toHaveLength(1);
  });

  it('refuses a range answer that goes on after its end', async () => {
    const registry = await start();
    const fault = { kind: 'extend', byBytes: 1, isDeclared: false } as const;
    registry.faults.add({ request: new RegExp(image.layer.digest), fault });
    expect(await failureOf(fetchRanges(registry))).toMatchObject({ code: 'response-too-large' });
  });

  it('asks the registry for a new link when a presigned one has expired', async () => {
    const registry = await start({ isRedirecting: true });
    const source = sourceFor(registry);
    const resolved = await resolve(source, registry);
    registry.faults.add({ request: /signature=/, fault: { kind: 'cut', afterBytes: 100_000 }, times: 1 });
    registry.faults.add({ request: /signature=/, fault: { kind: 'answer', status: 403 }, times: 2 });
    let sizeBytes = 0;
    for await (const piece of source.openLayer(resolved, image.layer, never)) sizeBytes += piece.byteLength;
    expect(sizeBytes).toBe(image.layer.sizeBytes);
    expect(layerOf(registry).map(({ at }) => at)).toEqual(Array(4).fill(['registry', 'storage']).flat());
  });

  it('refuses a range answer that is of another range', async () => {
    for (const value of ['bytes 0-948575/1048576', 'bytes 100000-1048575/2097152', 'chunks 1-2/3']) {
      const registry = await start();
      const request = new RegExp(image.layer.digest);
      registry.faults.add({ request, fault: { kind: 'cut', afterBytes: 100_000 }, times: 1 });
      registry.faults.add({ request, fault: { kind: 'headers', headers: { 'content-range': value } } });
      const failure = failureOf(fetchLayer(sourceFor(registry), registry));
      expect(await failure).toMatchObject({ code: 'registry-protocol-invalid' });
    }
  });

  it('refuses a layer that is shorter or longer than the manifest says', async () => {
    const cases = [
      { fault: { kind: 'truncate', toBytes: 1000 }, code: 'download-truncated' },
      { fault: { kind: 'extend', byBytes: 1, isDeclared: true }, code: 'response-too-large' },
      { fault: { kind: 'extend', byBytes: 1, isDeclared: false }, code: 'response-too-large' },
      { fault: { kind: 'cut', afterBytes: 0 }, code: 'download-truncated' },
    ] as const;
    for (const { fault, code } of cases) {
      const registry = await start();
      registry.faults.add({ request: new RegExp(image.layer.digest), fault });
      expect(await failureOf(fetchLayer(sourceFor(registry), registry))).toMatchObject({ code });
    }
  });

  it('gives up after its attempts when no connection brings enough', async () => {
    const registry = await start();
    registry.faults.add({ request: new RegExp(image.layer.digest), fault: { kind: 'cut', afterBytes: 10 } });
    const failure = await failureOf(fetchLayer(sourceFor(registry), registry));
    expect(failure).toMatchObject({ code: 'download-truncated' });
    expect(layerOf(registry)).toHaveLength(defaultTransferLimits.layerRetry.attempts);
  });

  it('gives up a connection that stalls', async () => {
    const registry = await start();
    const clock = new ManualClock();
    const source = sourceFor(registry, { clock, limits: noRetries });
    const resolved = await resolve(source, registry);
    registry.faults.add({ request: layerPath, fault: { kind: 'stall', afterBytes: 1000 } });
    const pieces = source.openLayer(resolved, image.layer, never)[Symbol.asyncIterator]();
    expect((await pieces.next()).value).toHaveLength(1000);
    const next = failureOf(pieces.next());
    await clock.advance(noRetries.stallTimeoutMs);
    expect(await next).toMatchObject({ code: 'registry-unreachable' });
  });

  it('takes no offence at a slow consumer', async () => {
    const registry = await start();
    const clock = new ManualClock();
    const source = sourceFor(registry, { clock, limits: noRetries });
    const resolved = await resolve(source, registry);
    let sizeBytes = 0;
    for await (const piece of source.openLayer(resolved, image.layer, never)) {
      sizeBytes += piece.byteLength;
      await clock.advance(noRetries.stallTimeoutMs * 2);
    }
    expect(sizeBytes).toBe(image.layer.sizeBytes);
  });

  it('is pulled only as fast as it is consumed', async () => {
    const registry = await start();
    const huge = sampleImage(['huge'], 64 * 1024 * 1024, 6);
    fillRegistry(registry.content, 'os/edge', [huge]);
    const source = sourceFor(registry);
    const resolved = await source.resolve(refer(registry, ':huge'), never);
    const pieces = source.openLayer(resolved, huge.layer, never)[Symbol.asyncIterator]();
    await pieces.next();
    for (let turn = 0; turn < 2000; turn++) {
      await new Promise<void>((done) => {
        setImmediate(done);
      });
    }
    // What fits into the kernel's socket buffers is sent at once; the rest waits for the consumer.
    expect(registry.sentBytes).toBeLessThan(24 * 1024 * 1024);
    await pieces.return?.();
  });
});

describe('a registry as teams run it', () => {
  it('may be an IPv6 address with a port', async () => {
    const registry = await start({ address: '::1' });
    expect(registry.host).toMatch(/^\[::1\]:\d+$/);
    expect((await fetchLayer(sourceFor(registry), registry)).equals(image.layer.bytes)).toBe(true);
  });

  it('may name everything by sha512', async () => {
    const registry = await start();
    const sha512 = (bytes: Uint8Array) => `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
    const configDigest = sha512(image.configBytes);
    const value = JSON.parse(image.manifest.bytes.toString()) as { config: object; layers: object[] };
    const layerDigest = sha512(image.layer.bytes);
    const bytes = Buffer.from(
      JSON.stringify({
        ...value,
        config: { ...value.config, digest: configDigest },
        layers: [{ ...value.layers[0], digest: layerDigest }],
      }),
    );
    registry.content.putBlob('os/edge', image.configBytes, configDigest);
    registry.content.putBlob('os/edge', image.layer.bytes, layerDigest);
    registry.content.putManifest('os/edge', bytes, image.manifest.mediaType, undefined, sha512(bytes));
    const source = sourceFor(registry);
    const resolved = await source.resolve(refer(registry, `@${sha512(bytes)}`), never);
    expect(resolved.manifestDigest).toBe(sha512(bytes));
    let sizeBytes = 0;
    const layer = { digest: layerDigest, sizeBytes: image.layer.sizeBytes };
    for await (const piece of source.openLayer(resolved, layer, never)) sizeBytes += piece.byteLength;
    expect(sizeBytes).toBe(image.layer.sizeBytes);
    registry.content.putBlob('os/edge', Buffer.from('{}'), configDigest);
    expect(await failureOf(source.resolve(refer(registry, `@${sha512(bytes)}`), never))).toMatchObject({
      code: 'digest-mismatch',
    });
  });

  it('may give images for many machines, and one of them is taken', async () => {
    const registry = await start();
    const other = sampleImage([], 4096, 9);
    const index = sampleIndex(
      [
        { image: other.manifest, architecture: 'arm64' },
        { image: image.manifest, architecture: 'amd64' },
      ],
      ['multi'],
    );
    fillRegistry(registry.content, 'os/edge', [{ manifests: [index], blobs: [] }]);
    const resolved = await sourceFor(registry).resolve(refer(registry, ':multi'), never);
    expect([resolved.resolvedDigest, resolved.manifestDigest]).toEqual([index.digest, image.manifest.digest]);
  });

  it('may limit how often a layer is asked for, and say for how long', async () => {
    const registry = await start();
    const clock = new EagerClock();
    const busy = { kind: 'answer', status: 429, headers: { 'retry-after': '17' } } as const;
    registry.faults.add({ request: layerPath, fault: busy, times: 2 });
    const source = sourceFor(registry, { clock });
    const resolved = await resolve(source, registry);
    registry.faults.add({ request: new RegExp(image.layer.digest), fault: busy, times: 2 });
    for await (const _piece of source.openLayer(resolved, image.layer, never));
    expect(clock.sleptMs.filter((sleptMs) => sleptMs === 17_000).length).toBeGreaterThanOrEqual(2);
  });

  it('may let a token end in the middle of a layer', async () => {
    const registry = await start({ auth: bearer });
    const source = sourceFor(registry, { credentials: user });
    const resolved = await resolve(source, registry);
    registry.faults.add({ request: layerPath, fault: { kind: 'cut', afterBytes: 300_000 }, times: 1 });
    const pieces: Uint8Array[] = [];
    for await (const piece of source.openLayer(resolved, image.layer, never)) {
      if (pieces.length === 0) registry.guard?.revokeTokens();
      pieces.push(piece);
    }
    expect(Buffer.concat(pieces).equals(image.layer.bytes)).toBe(true);
    expect(registry.guard?.issuedCount).toBe(2);
    // The rest was asked for with the old token, and again with the new one.
    expect(layerOf(registry).map(({ range }) => range)).toEqual([
      undefined,
      'bytes=300000-1048575',
      'bytes=300000-1048575',
    ]);
  });
});

describe('a registry that answers badly', () => {
  it('is asked again after a failure, and waits as long as it was told', async () => {
    const registry = await start();
    const clock = new EagerClock();
    const manifests = /manifests/;
    const busy = { kind: 'answer', status: 503, headers: { 'retry-after': '7' } } as const;
    registry.faults.add({ request: manifests, fault: busy, times: 1 });
    registry.faults.add({ request: manifests, fault: { ...busy, status: 429 }, times: 1 });
    registry.faults.add({ request: manifests, fault: { kind: 'cut', afterBytes: 20 }, times: 1 });
    await resolve(sourceFor(registry, { clock }), registry);
    expect(clock.sleptMs.slice(0, 2)).toEqual([7000, 7000]);
    expect(clock.sleptMs).toHaveLength(3);
  });

  it.each([
    [{ kind: 'answer', status: 500 }, 'registry-unreachable', 5],
    [{ kind: 'answer', status: 429 }, 'registry-rate-limited', 5],
    [{ kind: 'answer', status: 429, headers: { 'retry-after': '3600' } }, 'registry-rate-limited', 1],
    [{ kind: 'answer', status: 403, body: '{"errors":[{"code":"DENIED"}]}' }, 'registry-unauthorized', 1],
    [{ kind: 'answer', status: 404 }, 'image-not-found', 1],
    [{ kind: 'answer', status: 418 }, 'registry-protocol-invalid', 1],
    [
      { kind: 'answer', status: 200, headers: { 'content-type': 'text/html' }, body: '<p>log in' },
      'registry-protocol-invalid',
      1,
    ],
    [{ kind: 'headers', headers: { 'content-encoding': 'gzip' } }, 'registry-protocol-invalid', 1],
    [{ kind: 'corrupt' }, 'digest-mismatch', 1],
    [{ kind: 'cut', afterBytes: 5 }, 'download-truncated', 5],
    [{ kind: 'extend', byBytes: 4 * 1024 * 1024, isDeclared: true }, 'response-too-large', 1],
    [{ kind: 'extend', byBytes: 4 * 1024 * 1024, isDeclared: false }, 'response-too-large', 1],
  ] as const)('answers %o with %s after %i attempts', async (fault, code, attempts) => {
    const registry = await start();
    registry.faults.add({ request: /manifests/, fault });
    expect(await failureOf(resolve(sourceFor(registry), registry))).toMatchObject({ code });
    expect(registry.requests).toHaveLength(attempts);
  });

  it('is unreachable when nobody listens, and when it never answers', async () => {
    const registry = await start();
    await registry.close();
    expect(await failureOf(resolve(sourceFor(registry), registry))).toMatchObject({ code: 'registry-unreachable' });
    const silent = await start();
    silent.faults.add({ request: /./, fault: { kind: 'silence' } });
    const clock = new ManualClock();
    const failure = failureOf(resolve(sourceFor(silent, { clock, limits: noRetries }), silent));
    await clock.advance(noRetries.stallTimeoutMs);
    expect(await failure).toMatchObject({ code: 'registry-unreachable' });
  });

  it('is never asked in plain http unless it is configured so', async () => {
    const registry = await start();
    const failure = failureOf(resolve(sourceFor(registry, { settings: { insecureHttp: false } }), registry));
    expect(await failure).toMatchObject({ code: 'registry-unreachable' });
    expect(registry.requests).toHaveLength(0);
  });

  it('never makes an image look unsigned by failing', async () => {
    const registry = await start();
    const source = sourceFor(registry);
    const resolved = await resolve(source, registry);
    registry.faults.add({ request: /\.sig$/, fault: { kind: 'answer', status: 502 } });
    expect(await failureOf(source.signatures(resolved, never))).toMatchObject({ code: 'registry-unreachable' });
    registry.faults.clear();
    const payload = Buffer.from('{}');
    const object = signatureObject(image.manifest.digest, [signatureLayer(payload, 'c2ln')], [payload]);
    fillRegistry(registry.content, 'os/edge', [object]);
    registry.faults.add({ request: /blobs/, fault: { kind: 'answer', status: 500 } });
    expect(await failureOf(source.signatures(resolved, never))).toMatchObject({ code: 'registry-unreachable' });
  });

  it('leads nowhere with more than five redirects', async () => {
    const registry = await start();
    const fault = { kind: 'answer', status: 302, headers: { location: '/v2/again/manifests/v1' } } as const;
    registry.faults.add({ request: /manifests/, fault });
    expect(await failureOf(resolve(sourceFor(registry), registry))).toMatchObject({
      code: 'registry-protocol-invalid',
    });
    expect(registry.requests).toHaveLength(6);
  });
});

const user: FoundCredentials = { kind: 'basic', username: 'node', password: 'pa:ss-word' };
const bearer: RegistryAuthOptions = { kind: 'bearer', username: 'node', password: 'pa:ss-word' };

describe('a registry that wants a login', () => {
  it('is sent credentials by basic auth at once after the first challenge', async () => {
    const registry = await start({ auth: { ...bearer, kind: 'basic' } });
    await fetchLayer(sourceFor(registry, { credentials: user }), registry);
    expect(registry.requests.map(({ authorization }) => authorization === undefined)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  it('gets one token for a repository as long as it lives, and a new one after', async () => {
    const registry = await start({ auth: bearer });
    const clock = new EagerClock();
    const source = sourceFor(registry, { credentials: user, clock });
    await fetchLayer(source, registry);
    await resolve(source, registry);
    expect(registry.guard?.issuedCount).toBe(1);
    clock.pass(300_000);
    await resolve(source, registry);
    expect(registry.guard?.issuedCount).toBe(2);
    registry.guard?.revokeTokens();
    await resolve(source, registry);
    expect(registry.guard?.issuedCount).toBe(3);
  });

  it('takes an anonymous token, and an identity token by its refresh', async () => {
    const open = await start({ auth: { ...bearer, isPullAnonymous: true } });
    await fetchLayer(sourceFor(open), open);
    const registry = await start({ auth: { ...bearer, identityToken: 'id-token' } });
    await fetchLayer(sourceFor(registry, { credentials: { kind: 'identity-token', token: 'id-token' } }), registry);
    expect(registry.requests.some(({ method, path }) => method === 'POST' && path === '/token')).toBe(true);
  });

  it.each([
    ['no credentials, basic', 'basic', { kind: 'none' }],
    ['no credentials, token', 'bearer', { kind: 'none' }],
    ['a wrong password, basic', 'basic', { ...user, password: 'wrong-secret' }],
    ['a wrong password, token', 'bearer', { ...user, password: 'wrong-secret' }],
    ['a credential helper', 'bearer', { kind: 'helper', helper: 'osxkeychain', file: '/etc/kaon/auth.json' }],
    ['an identity token, basic', 'basic', { kind: 'identity-token', token: 'wrong-secret' }],
  ] as const)('refuses %s, and says so without the secret', async (_name, kind, credentials) => {
    const registry = await start({ auth: { ...bearer, kind } });
    const failure = await failureOf(resolve(sourceFor(registry, { credentials }), registry));
    expect(failure).toMatchObject({ code: 'registry-unauthorized' });
    expect(JSON.stringify([failure.message, failure, failure.cause])).not.toMatch(/secret|d3Jvbmct/);
  });

  it('gives credentials to no other token server than its own, or one that is listed', async () => {
    const server = await start({ auth: bearer });
    const registry = await start({ auth: { ...bearer, realm: `${server.url}/token` } });
    const failure = await failureOf(resolve(sourceFor(registry, { credentials: user }), registry));
    expect(failure).toMatchObject({ code: 'registry-unauthorized' });
    expect(server.requests).toHaveLength(0);
    const listed = sourceFor(registry, { credentials: user, settings: { authHosts: [server.host] } });
    expect(await failureOf(resolve(listed, registry))).toMatchObject({ code: 'registry-unauthorized' });
    expect(server.requests.map(({ authorization }) => authorization?.startsWith('Basic '))).toEqual([true]);
  });

  it('keeps its authorization from the store that it redirects to', async () => {
    const registry = await start({ auth: bearer, isRedirecting: true });
    await fetchLayer(sourceFor(registry, { credentials: user }), registry);
    const stored = registry.requests.filter(({ at }) => at === 'storage');
    expect(stored.length).toBeGreaterThan(0);
    expect(stored.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('does not answer a challenge of the store that it redirects to', async () => {
    const registry = await start({ auth: bearer, isRedirecting: true });
    const challenge = `Basic realm="give it to me"`;
    const fault = { kind: 'answer', status: 401, headers: { 'www-authenticate': challenge } } as const;
    registry.faults.add({ request: /signature=/, fault });
    const failure = await failureOf(fetchLayer(sourceFor(registry, { credentials: user }), registry));
    expect(failure).toMatchObject({ code: 'registry-unreachable' });
    expect(JSON.stringify([failure.message, failure])).not.toContain('secret-');
  });
});
