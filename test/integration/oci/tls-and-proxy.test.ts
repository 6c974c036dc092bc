import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits, type RegistrySettings } from '../../../agent/oci/settings.ts';
import { ConnectProxy, type ServeTunnel } from '../../fakes/connect-proxy.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const image = sampleImage(['v1'], 64 * 1024, 5);
let directory = '';
let tls = { key: '', cert: '' };

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-tls-'));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=kaon test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await promisify(execFile)('openssl', [...request, ...subject, '-keyout', key, '-out', cert]);
  tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
});

afterAll(() => rm(directory, { recursive: true }));

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function startSecure(isRedirecting = false): Promise<EmbeddedRegistry> {
  const registry = await startRegistry({ tls, isRedirecting });
  endings.push(() => registry.close());
  fillRegistry(registry.content, 'os/edge', [image]);
  return registry;
}

async function startProxy(serve?: ServeTunnel): Promise<ConnectProxy> {
  const proxy = await ConnectProxy.start(serve);
  endings.push(() => proxy.close());
  return proxy;
}

async function fetchSize(registry: EmbeddedRegistry, settings: RegistrySettings): Promise<number> {
  const source = new RegistryImageSource({
    registries: { [registry.host]: settings },
    credentials: async () => ({ kind: 'none' }),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock: new EagerClock(),
    random: new SeededRandom(),
    limits: defaultTransferLimits,
  });
  try {
    const resolved = await source.resolve(parseReference(`${registry.host}/os/edge:v1`), never);
    let sizeBytes = 0;
    for await (const piece of source.openLayer(resolved, image.layer, never)) sizeBytes += piece.byteLength;
    return sizeBytes;
  } finally {
    source.close();
  }
}

describe('a registry over https', () => {
  it('is trusted by the CA of its settings, the store that it redirects to as well', async () => {
    expect(await fetchSize(await startSecure(true), { ca: tls.cert })).toBe(image.layer.sizeBytes);
  });

  it('is refused at once when nothing vouches for its certificate', async () => {
    const registry = await startSecure();
    await expect(fetchSize(registry, {})).rejects.toMatchObject({
      code: 'registry-unreachable',
      message: expect.stringContaining('caFile') as string,
      details: { isFinal: true },
    });
    expect(registry.requests).toHaveLength(0);
  });

  it('does not lead to plain http', async () => {
    const registry = await startSecure();
    const fault = { kind: 'answer', status: 302, headers: { location: 'http://127.0.0.1:9/blob' } } as const;
    registry.faults.add({ request: /blobs/, fault });
    await expect(fetchSize(registry, { ca: tls.cert })).rejects.toMatchObject({
      code: 'registry-protocol-invalid',
    });
  });
});

describe('a registry that wants a client certificate', () => {
  const own = () => ({ ca: tls.cert, client: { cert: tls.cert, key: tls.key } });
  const startMutual = async () => {
    const registry = await startRegistry({ tls, clientCa: tls.cert, isRedirecting: true });
    endings.push(() => registry.close());
    fillRegistry(registry.content, 'os/edge', [image]);
    return registry;
  };

  it('is shown it, and the store that it redirects to is not', async () => {
    const registry = await startMutual();
    expect(await fetchSize(registry, own())).toBe(image.layer.sizeBytes);
    const shown = registry.requests.map(({ at, isCertified }) => `${at} ${isCertified}`);
    expect(new Set(shown)).toEqual(new Set(['registry true', 'storage false']));
  });

  it('is shown it through a tunnel as well', async () => {
    const registry = await startMutual();
    const { url } = await startProxy();
    expect(await fetchSize(registry, { ...own(), proxy: { url, except: [] } })).toBe(image.layer.sizeBytes);
    expect(registry.requests.some(({ at, isCertified }) => at === 'storage' && isCertified)).toBe(false);
  });

  it('is not reached without one', async () => {
    const registry = await startMutual();
    await expect(fetchSize(registry, { ca: tls.cert })).rejects.toMatchObject({ code: 'registry-unreachable' });
    expect(registry.requests).toHaveLength(0);
  });
});

describe('a proxy', () => {
  it('is tunnelled through, for plain http as well', async () => {
    const registry = await startSecure();
    const { url, tunnels } = await startProxy();
    expect(await fetchSize(registry, { ca: tls.cert, proxy: { url, except: [] } })).toBe(image.layer.sizeBytes);
    const plain = await startRegistry();
    endings.push(() => plain.close());
    fillRegistry(plain.content, 'os/edge', [image]);
    expect(await fetchSize(plain, { insecureHttp: true, proxy: { url, except: [] } })).toBe(image.layer.sizeBytes);
    expect(new Set(tunnels)).toEqual(new Set([registry.host, plain.host]));
  });

  it('is left out for excepted hosts', async () => {
    const registry = await startSecure();
    const { url, tunnels } = await startProxy();
    const settings = { ca: tls.cert, proxy: { url, except: [registry.host] } };
    expect(await fetchSize(registry, settings)).toBe(image.layer.sizeBytes);
    expect(tunnels).toEqual([]);
  });

  it('that refuses makes the registry unreachable, and does not answer in its place', async () => {
    const registry = await startSecure();
    const refusing = await startProxy((_target, client) => client.end('HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n'));
    const settings = { ca: tls.cert, proxy: { url: refusing.url, except: [] } };
    await expect(fetchSize(registry, settings)).rejects.toMatchObject({
      code: 'registry-unreachable',
      details: { reason: 'PROXY_REFUSED_407' },
    });
  });

  it('that does not answer makes the registry unreachable', async () => {
    const registry = await startSecure();
    const settings = { ca: tls.cert, proxy: { url: 'http://127.0.0.1:9', except: [] } };
    await expect(fetchSize(registry, settings)).rejects.toMatchObject({ code: 'registry-unreachable' });
  });
});
