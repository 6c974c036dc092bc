import { afterEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { ResolvedImage } from '../../../agent/core/ports.ts';
import type { CredentialLookup } from '../../../agent/oci/credentials.ts';
import type { Mirror } from '../../../agent/oci/mirrors.ts';
import { parseRegistriesConf } from '../../../agent/oci/registries-conf.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { type EmbeddedRegistry, type RegistryOptions, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const image = sampleImage(['v1'], 512 * 1024, 5);
const layerPath = new RegExp(image.layer.digest);

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function start(options: RegistryOptions = {}, name = 'os/edge'): Promise<EmbeddedRegistry> {
  const registry = await startRegistry(options);
  endings.push(() => registry.close());
  const payload = Buffer.from('{}');
  const signatures = signatureObject(image.manifest.digest, [signatureLayer(payload, 'c2ln')], [payload]);
  fillRegistry(registry.content, name, [image, signatures]);
  return registry;
}

interface Site {
  readonly origin: EmbeddedRegistry;
  readonly mirrors: readonly EmbeddedRegistry[];
  readonly change?: Partial<Mirror>;
  readonly credentials?: CredentialLookup;
  /** A registries.conf. */
  readonly conf?: string;
}

function sourceOf({ origin, mirrors, change = {}, credentials, conf = '' }: Site) {
  const clock = new EagerClock();
  const listed = mirrors.map(({ host }) => ({ registry: host, path: '', prefix: '', isTagged: false, ...change }));
  const plain = Object.fromEntries(mirrors.map(({ host }) => [host, { insecureHttp: true }]));
  const source = new RegistryImageSource({
    registries: { ...plain, [origin.host]: { insecureHttp: true, mirrors: conf === '' ? listed : [] } },
    rules: parseRegistriesConf([{ path: 'registries.conf', text: conf }]),
    credentials: credentials ?? (async () => ({ kind: 'none' })),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock,
    random: new SeededRandom(),
    limits: defaultTransferLimits,
  });
  endings.push(async () => source.close());
  const resolve = (rest = ':v1') => source.resolve(parseReference(`${origin.host}/os/edge${rest}`), never);
  const read = async (resolved: ResolvedImage): Promise<Buffer> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of source.openLayer(resolved, image.layer, never)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  return { source, clock, resolve, read };
}

const layersOf = ({ requests }: EmbeddedRegistry) => requests.filter(({ path }) => layerPath.test(path));
const tagsOf = ({ requests }: EmbeddedRegistry) => requests.filter(({ path }) => /manifests\/(?!sha256:)/.test(path));

describe('a mirror', () => {
  it('is asked by digest for all that has one, and says nothing of tags and signatures', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { source, resolve, read } = sourceOf({ origin, mirrors: [mirror] });
    const resolved = await resolve();
    await source.signatures(resolved, never);
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
    expect(resolved.reference.repository).toBe(`${origin.host}/os/edge`);
    expect(tagsOf(mirror)).toEqual([]);
    expect(origin.requests.every(({ path }) => /\/(manifests|referrers)\//.test(path))).toBe(true);
    expect(layersOf(mirror)).toHaveLength(1);
    mirror.requests.length = 0;
    origin.requests.length = 0;
    await resolve(`@${image.manifest.digest}`);
    expect([mirror.requests.length, origin.requests.length]).toEqual([2, 0]);
  });

  it('that may say what tags mean lets the registry alone', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { source, resolve, read } = sourceOf({ origin, mirrors: [mirror], change: { isTagged: true } });
    const resolved = await resolve();
    expect(origin.requests).toEqual([]);
    expect(await source.signatures(resolved, never)).toHaveLength(1);
    await read(resolved);
    // Asked for no more than what the mirror does not have: lists of bundles and attestations.
    expect(origin.requests.filter(({ path }) => /sha256-[0-9a-f]+\.sig$|\/blobs\//.test(path))).toEqual([]);
  });

  it('that has the signatures and nothing else beside the image is enough where the registry is out of reach', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { source, resolve, read } = sourceOf({ origin, mirrors: [mirror], change: { isTagged: true } });
    await origin.close();
    const resolved = await resolve();
    expect(await source.signatures(resolved, never)).toHaveLength(1);
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
  });

  it('has its repositories at its own path', async () => {
    const [origin, mirror] = [await start(), await start({}, 'copies/edge')];
    const { resolve, read } = sourceOf({ origin, mirrors: [mirror], change: { prefix: 'os', path: 'copies' } });
    await read(await resolve());
    expect(layersOf(origin)).toEqual([]);
    expect(layersOf(mirror).map(({ path }) => path)).toEqual([`/v2/copies/edge/blobs/${image.layer.digest}`]);
  });

  it('may be named by a registries.conf, and the registry may be moved by it', async () => {
    const origin = await startRegistry();
    endings.push(() => origin.close());
    const [mirror, moved] = [await start({}, 'copies/edge'), await start({}, 'elsewhere/edge')];
    const table = `[[registry]]\nprefix = "${origin.host}/os"\nlocation = "${moved.host}/elsewhere"\n`;
    const conf = `${table}mirror-by-digest-only = true\nmirror = [{ location = "${mirror.host}/copies" }]\n`;
    const { resolve, read } = sourceOf({ origin, mirrors: [mirror, moved], conf });
    const resolved = await resolve();
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
    expect(resolved.reference.repository).toBe(`${origin.host}/os/edge`);
    expect([origin.requests.length, layersOf(moved).length, layersOf(mirror).length]).toEqual([0, 0, 1]);
    expect(tagsOf(moved)).toHaveLength(1);
  });

  it('that has nothing, is down, or lies, is followed by the next one and then by the registry', async () => {
    const origin = await start();
    const empty = await startRegistry();
    endings.push(() => empty.close());
    const [down, liar] = [await start(), await start()];
    await down.close();
    liar.content.putBlob('os/edge', Buffer.from('{"formatVersion":9}'), image.manifest.digest);
    liar.faults.add({ request: /./, fault: { kind: 'corrupt' } });
    const { resolve, read } = sourceOf({ origin, mirrors: [empty, down, liar] });
    const resolved = await resolve(`@${image.manifest.digest}`);
    expect(Buffer.from(resolved.configBytes).equals(image.configBytes)).toBe(true);
    expect(empty.requests.length).toBeGreaterThan(0);
    expect(liar.requests.length).toBeGreaterThan(0);
    liar.faults.clear();
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
  });

  it('that failed is asked last for five minutes', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { clock, resolve, read } = sourceOf({ origin, mirrors: [mirror] });
    mirror.faults.add({ request: /./, fault: { kind: 'answer', status: 503 } });
    const resolved = await resolve();
    const asked = mirror.requests.length;
    expect(asked).toBe(2);
    await read(resolved);
    expect(mirror.requests).toHaveLength(asked);
    mirror.faults.clear();
    clock.pass(300_000);
    await read(resolved);
    expect([layersOf(mirror).length, layersOf(origin).length]).toEqual([1, 1]);
  });

  it('that asks to come back in a minute is not waited for', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { clock, resolve, read } = sourceOf({ origin, mirrors: [mirror] });
    const busy = { kind: 'answer', status: 429, headers: { 'retry-after': '60' } } as const;
    mirror.faults.add({ request: layerPath, fault: busy });
    expect((await read(await resolve())).equals(image.layer.bytes)).toBe(true);
    expect([layersOf(mirror).length, Math.max(0, ...clock.sleptMs)]).toEqual([1, 0]);
  });

  it('that breaks in the middle of a layer is followed from there', async () => {
    const [origin, mirror] = [await start(), await start()];
    mirror.faults.add({ request: layerPath, fault: { kind: 'cut', afterBytes: 100_000 }, times: 1 });
    mirror.faults.add({ request: layerPath, fault: { kind: 'answer', status: 500 } });
    const { resolve, read } = sourceOf({ origin, mirrors: [mirror] });
    const resolved = await resolve();
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
    expect(layersOf(origin).map(({ range }) => range)).toEqual(['bytes=100000-524287']);
    mirror.requests.length = 0;
    await read(resolved);
    expect(mirror.requests).toEqual([]);
  });

  it('that gave what nobody signed is asked last, and only once more is there somewhere else to ask', async () => {
    const [origin, mirror] = [await start(), await start()];
    const wrong = Buffer.from(image.layer.bytes).fill(1, 1000, 2000);
    mirror.content.putBlob('os/edge', wrong, image.layer.digest);
    const { source, resolve, read } = sourceOf({ origin, mirrors: [mirror] });
    const resolved = await resolve();
    expect((await read(resolved)).equals(wrong)).toBe(true);
    expect(source.distrust(resolved)).toBe(true);
    expect((await read(resolved)).equals(image.layer.bytes)).toBe(true);
    expect(source.distrust(resolved)).toBe(false);
  });

  it('gets its own credentials and never those of the registry', async () => {
    const auth = { kind: 'basic', username: 'node', password: 'secret' } as const;
    const [origin, mirror] = [await start({ auth }), await start({ auth: { ...auth, password: 'other' } })];
    const credentials: CredentialLookup = async (registry) => ({
      ...auth,
      password: registry === origin.host ? 'secret' : 'other',
    });
    const { resolve, read } = sourceOf({ origin, mirrors: [mirror], credentials });
    await read(await resolve());
    const secret = Buffer.from('node:secret').toString('base64');
    expect(JSON.stringify(mirror.requests)).not.toContain(secret);
    expect(layersOf(origin)).toEqual([]);
  });

  it('that fails as the registry does is named in the error of the registry', async () => {
    const [origin, mirror] = [await start(), await start()];
    const { resolve } = sourceOf({ origin, mirrors: [mirror] });
    for (const each of [origin, mirror]) each.faults.add({ request: /./, fault: { kind: 'answer', status: 403 } });
    await expect(resolve(`@${image.manifest.digest}`)).rejects.toMatchObject({
      code: 'registry-unauthorized',
      details: { mirrors: [{ place: `${mirror.host}/os/edge`, code: 'registry-unauthorized' }] },
    });
  });
});
