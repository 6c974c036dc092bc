import { afterEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { until } from '../../fakes/simulated-node.ts';

const mebibyte = 1024 * 1024;
const image = sampleImage(['v1'], 12 * mebibyte, 5);
const layer = new RegExp(`blobs/${image.layer.digest}`);
const endings: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** Every answer with bytes of the layer is held until the test lets it go. */
class HeldAnswers {
  readonly held: (() => void)[] = [];
  most = 0;
  #let = 0;

  readonly until = (): Promise<void> =>
    new Promise((resolve) => {
      this.held.push(resolve);
      this.most = Math.max(this.most, this.held.length - this.#let);
    });

  /** Resolves when the `index`-th request is there. */
  async arrived(index: number): Promise<void> {
    await until(`request ${index}`, 60_000, async () => (this.held.length > index ? true : undefined));
  }

  async letGo(index: number): Promise<void> {
    await this.arrived(index);
    this.#let += 1;
    this.held[index]?.();
  }
}

async function setUp() {
  const registry = await startRegistry();
  endings.push(() => registry.close());
  fillRegistry(registry.content, 'os/edge', [image]);
  const source = new RegistryImageSource({
    registries: { [registry.host]: { insecureHttp: true } },
    credentials: async () => ({ kind: 'none' }),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    clock: new EagerClock(),
    random: new SeededRandom(),
    limits: defaultTransferLimits,
  });
  endings.push(async () => source.close());
  const resolved = await source.resolve(parseReference(`${registry.host}/os/edge:v1`), new AbortController().signal);
  return { registry, source, resolved };
}

/** `count` ranges of `sizeBytes`, a mebibyte apart. */
const rangesOf = (count: number, sizeBytes: number) =>
  Array.from({ length: count }, (_, index) => ({ offset: index * mebibyte + 100, sizeBytes }));
const bytesOf = (ranges: readonly { offset: number; sizeBytes: number }[]) =>
  Buffer.concat(ranges.map(({ offset, sizeBytes }) => image.layer.bytes.subarray(offset, offset + sizeBytes)));
const askedRanges = (registry: EmbeddedRegistry) =>
  registry.requests.filter(({ path }) => layer.test(path)).map(({ range }) => range);

/** Lets what is under way in this process go on. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise<void>((done) => void setImmediate(done));
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const found: Uint8Array[] = [];
  for await (const piece of pieces) found.push(piece);
  return Buffer.concat(found);
}

describe('ranges over a link with latency', () => {
  it('are asked for ahead, four at once, and come in their order, each by one request', async () => {
    const { registry, source, resolved } = await setUp();
    const answers = new HeldAnswers();
    registry.faults.add({ request: layer, fault: { kind: 'wait', until: answers.until } });
    const ranges = rangesOf(10, 3000);
    const bytes = collect(source.openLayer(resolved, image.layer, new AbortController().signal, ranges));
    await answers.letGo(0);
    await answers.arrived(3);
    for (const index of [3, 2, 1, 4, 5, 6, 7, 8, 9]) await answers.letGo(index);
    expect((await bytes).equals(bytesOf(ranges))).toBe(true);
    expect(askedRanges(registry).toSorted()).toEqual(
      ranges.map(({ offset, sizeBytes }) => `bytes=${offset}-${offset + sizeBytes - 1}`).toSorted(),
    );
    expect(answers.most).toBeLessThanOrEqual(4);
    expect(answers.most).toBeGreaterThanOrEqual(3);
  });

  it('are asked for one at a time until the registry gave a part, as it may give the whole for each', async () => {
    const { registry, source, resolved } = await setUp();
    registry.faults.add({ request: layer, fault: { kind: 'ignore-range' } });
    const ranges = rangesOf(10, 3000);
    const bytes = await collect(source.openLayer(resolved, image.layer, new AbortController().signal, ranges));
    expect(bytes.equals(bytesOf(ranges))).toBe(true);
    expect(askedRanges(registry)).toHaveLength(1);
  });

  it('are not asked for while much is left before their turn', async () => {
    const { registry, source, resolved } = await setUp();
    const ranges = [
      { offset: 0, sizeBytes: 5 * mebibyte },
      { offset: 6 * mebibyte, sizeBytes: 3000 },
    ];
    const pieces = source.openLayer(resolved, image.layer, new AbortController().signal, ranges);
    let sizeBytes = 0;
    let isHalted = false;
    for await (const piece of pieces) {
      sizeBytes += piece.byteLength;
      if (isHalted || sizeBytes < mebibyte) continue;
      isHalted = true;
      await turns(300);
      expect(askedRanges(registry)).toHaveLength(1);
    }
    expect(sizeBytes).toBe(5 * mebibyte + 3000);
    expect(askedRanges(registry)).toHaveLength(2);
  });

  it('come all the same when the requests ahead fail', async () => {
    for (const fault of [
      { kind: 'answer', status: 503 },
      { kind: 'cut', afterBytes: 1000 },
      { kind: 'ignore-range' },
    ] as const) {
      const { registry, source, resolved } = await setUp();
      registry.faults.add({ request: layer, fault, after: 1, times: 3 });
      const ranges = rangesOf(10, 3000);
      const bytes = await collect(source.openLayer(resolved, image.layer, new AbortController().signal, ranges));
      expect({ fault, isEqual: bytes.equals(bytesOf(ranges)) }).toEqual({ fault, isEqual: true });
    }
  });

  it.each(['stops', 'cancels'] as const)('leave no connection open when the reader %s', async (how) => {
    const { registry, source, resolved } = await setUp();
    const answers = new HeldAnswers();
    registry.faults.add({ request: layer, fault: { kind: 'wait', until: answers.until } });
    const cancel = new AbortController();
    const pieces = source.openLayer(resolved, image.layer, cancel.signal, rangesOf(10, 3000))[Symbol.asyncIterator]();
    const first = pieces.next();
    await answers.letGo(0);
    await first;
    await answers.arrived(3);
    // One is answered, and nobody has read it; the others are not.
    await answers.letGo(1);
    if (how === 'stops') await pieces.return?.();
    else {
      cancel.abort(new RangeError('stop'));
      await expect(
        (async () => {
          while ((await pieces.next()).done !== true);
        })(),
      ).rejects.toThrow(RangeError);
    }
    await until('the end of all connections', 60_000, async () =>
      (await registry.openConnections()) === 0 ? true : undefined,
    );
    expect(askedRanges(registry)).toHaveLength(4);
  });
});
