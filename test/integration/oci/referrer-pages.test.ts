import { afterEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { bundleObject, fillRegistry, sampleImage } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const endings: (() => Promise<void>)[] = [];
const never = new AbortController().signal;
const user = { username: 'node', password: 'secret' } as const;
const image = sampleImage(['v1']);
const texts = Array.from({ length: 5 }, (_, number) => `{"number":${number}}`);

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** A registry that wants tokens and lists two referrers a page, with bundles that no tag names. */
async function start(): Promise<EmbeddedRegistry> {
  const registry = await startRegistry({
    listsReferrers: true,
    referrersPerPage: 2,
    auth: { kind: 'bearer', ...user },
  });
  endings.push(() => registry.close());
  const object = bundleObject(
    image.manifest,
    texts.map((text) => Buffer.from(text)),
  );
  fillRegistry(registry.content, 'os/edge', [image, { ...object, manifests: object.manifests.slice(0, -1) }]);
  return registry;
}

async function bundlesOf(registry: EmbeddedRegistry): Promise<readonly string[]> {
  const source = new RegistryImageSource({
    registries: { [registry.host]: { insecureHttp: true } },
    credentials: async () => ({ kind: 'basic', ...user }),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock: new EagerClock(),
    random: new SeededRandom(),
    limits: defaultTransferLimits,
  });
  endings.push(async () => source.close());
  const found = await source.signatures(
    await source.resolve(parseReference(`${registry.host}/os/edge:v1`), never),
    never,
  );
  return found.flatMap((one) => ('bundle' in one ? [Buffer.from(one.bundle).toString()] : [])).toSorted();
}

describe('a registry that lists referrers in pages', () => {
  it('is read to the end of its list, by its tokens', async () => {
    expect(await bundlesOf(await start())).toEqual(texts);
  });

  it('is tried again for a page that breaks', async () => {
    const registry = await start();
    registry.faults.add({ request: /start=2/, fault: { kind: 'cut', afterBytes: 20 }, times: 1 });
    expect(await bundlesOf(registry)).toEqual(texts);
  });

  it('gives the pages before one that it does not have', async () => {
    const registry = await start();
    registry.faults.add({ request: /start=4/, fault: { kind: 'answer', status: 404 } });
    expect(await bundlesOf(registry)).toEqual(texts.slice(0, 4));
  });
});
