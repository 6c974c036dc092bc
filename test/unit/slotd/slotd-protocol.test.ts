import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type {
  ByteRange,
  LayerSource,
  NodeBoot,
  PartitionWays,
  PatchOffer,
  RebootPurpose,
  SignedImage,
  SlotService,
  WriteProgress,
  WrittenSlot,
} from '../../../agent/core/ports.ts';
import type { SlotName } from '../../../agent/core/update-state.ts';
import { SlotdClient } from '../../../agent/slotd/client.ts';
import { SlotdServer } from '../../../agent/slotd/server.ts';
import { encodeMessage, FrameReader } from '../../../agent/slotd/wire-frames.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const layerDigest = digestOf(bytes('layer'));

const signed: SignedImage = {
  image: {
    reference: parseReference('registry.acme.io/os/edge:v2'),
    resolvedDigest: digestOf(bytes('index')),
    indexBytes: bytes('index'),
    manifestDigest: digestOf(bytes('manifest')),
    manifestBytes: bytes('manifest'),
    configBytes: bytes('{"config":"ü"}'),
  },
  signatures: [
    { payload: bytes('payload'), signature: 'c2ln', source: 'sha256-x.sig' },
    { payload: bytes('p'), signature: 'c2ln', attested: { certificate: 'PEM', logEntry: '{}' }, source: 'y.sig' },
    { bundle: bytes('{"bundle":"ü"}'), source: 'os/edge@sha256:x' },
    { envelope: bytes('{"payload":""}'), source: 'sha256-x.att' },
  ],
};

const node: NodeBoot = {
  booted: 'a',
  boot: {
    primary: 'a',
    trial: undefined,
    trialTries: 0,
    slots: { a: { state: 'good', triesLeft: 4 }, b: { state: 'bad', triesLeft: 0 } },
  },
  maxTries: 9,
  partitionSizes: { a: { root: 8192 }, b: { root: 8192 } },
};

async function readAll(layer: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of layer) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A slot service that keeps what it was asked for and writes into memory. */
class MemorySlotService implements SlotService {
  readonly asked: string[] = [];
  received: Buffer = Buffer.alloc(0);
  image: SignedImage | undefined;
  offered: readonly PatchOffer[] | undefined;
  ranges: readonly ByteRange[] | undefined;
  fail: AgentError | undefined;
  loaderTest: boolean | undefined;

  async readNode(): Promise<NodeBoot> {
    return this.#answer('read-node', node);
  }

  async repairLoader(isOtherGood: boolean): Promise<boolean> {
    return this.#answer(`repair-loader ${isOtherGood}`, true);
  }

  async writeSlot(
    slot: SlotName,
    image: SignedImage,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches: readonly PatchOffer[] = [],
  ): Promise<WrittenSlot> {
    this.offered = patches;
    this.image = image;
    for await (const piece of layers(layerDigest, this.ranges)) {
      signal.throwIfAborted();
      this.received = Buffer.concat([this.received, piece]);
    }
    onProgress({ step: 'finish', partition: 'root', fetchedBytes: 5, layerSizeBytes: 5, writtenBytes: 8192 });
    return this.#answer(`write-slot ${slot}`, { manifestDigest: image.image.manifestDigest, partitions: [] });
  }

  async estimateWrite(
    slot: SlotName,
    image: SignedImage,
    layers: LayerSource,
    signal: AbortSignal,
    patches: readonly PatchOffer[],
  ): Promise<readonly PartitionWays[]> {
    this.offered = patches;
    this.image = image;
    signal.throwIfAborted();
    const { byteLength } = await readAll(layers(layerDigest));
    const way = { name: 'root', fullBytes: 900, indexBytes: byteLength, way: 'index' } as const;
    return this.#answer(`estimate-write ${slot}`, [way]);
  }

  async activate(slot: SlotName, tries: number, digest: string | undefined): Promise<void> {
    this.#answer(`activate ${slot} ${tries} ${digest ?? 'none'}`, undefined);
  }

  async markGood(slot: SlotName): Promise<void> {
    this.#answer(`mark-good ${slot}`, undefined);
  }

  async markBad(slot: SlotName): Promise<void> {
    this.#answer(`mark-bad ${slot}`, undefined);
  }

  async reboot(purpose?: RebootPurpose): Promise<void> {
    this.#answer(`reboot ${purpose ?? ''}`.trim(), undefined);
  }

  async armLoaderTest(): Promise<void> {
    this.#answer('arm-loader-test', undefined);
  }

  async readLoaderTest(): Promise<boolean | undefined> {
    return this.#answer('read-loader-test', this.loaderTest);
  }

  async clearLoaderTest(): Promise<void> {
    this.#answer('clear-loader-test', undefined);
  }

  async keepEvidence(text: string): Promise<boolean> {
    return this.#answer(`keep-evidence ${text.length}`, true);
  }

  #answer<T>(asked: string, value: T): T {
    if (this.fail !== undefined) throw this.fail;
    this.asked.push(asked);
    return value;
  }
}

function pair(service: SlotService): { client: SlotdClient; server: SlotdServer } {
  const server = new SlotdServer(
    async () => service,
    () => 0,
    () => undefined,
  );
  const client = new SlotdClient(async () => {
    const [mine, theirs] = duplexPair();
    void server.serve(theirs);
    return mine;
  });
  return { client, server };
}

async function* layer(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytes(text);
}

const noProgress = () => undefined;
const never = new AbortController().signal;

describe('kaond and kaon-slotd', () => {
  it('carry each verb and its answer', async () => {
    const service = new MemorySlotService();
    const { client } = pair(service);
    expect(await client.readNode()).toEqual(node);
    expect(await client.repairLoader(true)).toBe(true);
    await client.activate('b', 4, layerDigest);
    await client.activate('b', 1, undefined);
    await client.markGood('a');
    await client.markBad('b');
    await client.reboot();
    await client.reboot('b');
    await client.reboot('loader-test');
    await client.armLoaderTest();
    for (const result of [true, false, undefined]) {
      service.loaderTest = result;
      expect(await client.readLoaderTest()).toBe(result);
    }
    await client.clearLoaderTest();
    expect(await client.keepEvidence('x'.repeat(9000))).toBe(true);
    expect(service.asked).toEqual([
      'read-node',
      'repair-loader true',
      `activate b 4 ${layerDigest}`,
      'activate b 1 none',
      'mark-good a',
      'mark-bad b',
      'reboot',
      'reboot b',
      'reboot loader-test',
      'arm-loader-test',
      'read-loader-test',
      'read-loader-test',
      'read-loader-test',
      'clear-loader-test',
      'keep-evidence 4096',
    ]);
  });

  it('carry an image, its signatures and its layers byte by byte', async () => {
    const service = new MemorySlotService();
    const { client } = pair(service);
    const large = 'x'.repeat(3 * 1024 * 1024);
    const heard: WriteProgress[] = [];
    await client.writeSlot(
      'b',
      signed,
      () => layer('la', large, 'yer'),
      (progress) => heard.push(progress),
      never,
    );
    expect(service.image).toEqual(signed);
    expect(service.received.toString()).toBe(`la${large}yer`);
    expect(heard).toMatchObject([{ step: 'finish', writtenBytes: 8192 }]);
  });

  it('carry the ranges of a layer that are asked for, however many', async () => {
    const service = new MemorySlotService();
    service.ranges = Array.from({ length: 5000 }, (_, index) => ({ offset: index * 10, sizeBytes: 1 + (index % 3) }));
    const { client } = pair(service);
    const content = Buffer.from(Array.from({ length: 50_010 }, (_, at) => at % 251));
    async function* parts(_digest: string, ranges: readonly ByteRange[] = []): AsyncGenerator<Uint8Array> {
      for (const { offset, sizeBytes } of ranges) yield content.subarray(offset, offset + sizeBytes);
    }
    await client.writeSlot('b', signed, parts, noProgress, never);
    const want = service.ranges.map(({ offset, sizeBytes }) => content.subarray(offset, offset + sizeBytes));
    expect(service.received.equals(Buffer.concat(want))).toBe(true);
  });

  it('carry the patches that are offered', async () => {
    const service = new MemorySlotService();
    const offer = { partition: 'root', layerDigest, layerSizeBytes: 50, headSizeBytes: 10 };
    const { client } = pair(service);
    await client.writeSlot('b', signed, () => layer(), noProgress, never, [offer]);
    expect(service.offered).toEqual([offer]);
    await client.writeSlot('b', signed, () => layer(), noProgress, never);
    expect(service.offered).toEqual([]);
  });

  it('carry an estimate, and the layers that it is made of', async () => {
    const service = new MemorySlotService();
    const offer = { partition: 'root', layerDigest, layerSizeBytes: 50, headSizeBytes: 10 };
    const { client } = pair(service);
    const ways = await client.estimateWrite('b', signed, () => layer('lay', 'er'), never, [offer]);
    expect(ways).toEqual([{ name: 'root', fullBytes: 900, indexBytes: 5, way: 'index' }]);
    expect(service.offered).toEqual([offer]);
    expect(service.image).toEqual(signed);
    expect(service.asked).toEqual(['estimate-write b']);
  });

  it('let another layer be asked for after one whose source failed', async () => {
    const service = new MemorySlotService();
    service.writeSlot = async (_slot, _image, layers) => {
      await expect(readAll(layers(digestOf(bytes('patch'))))).rejects.toMatchObject({ code: 'download-truncated' });
      service.received = await readAll(layers(layerDigest));
      return { manifestDigest: layerDigest, partitions: [] };
    };
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield bytes('pa');
      throw new AgentError('registry-unreachable', 'cannot fetch: no route');
    }
    const { client } = pair(service);
    await client.writeSlot(
      'b',
      signed,
      (digest) => (digest === layerDigest ? layer('layer') : failing()),
      noProgress,
      never,
    );
    expect(service.received.toString()).toBe('layer');
  });

  it('refuse a layer that is asked for while another is being read', async () => {
    const service = new MemorySlotService();
    service.writeSlot = async (_slot, _image, layers) => {
      const first = layers(layerDigest)[Symbol.asyncIterator]();
      await first.next();
      for await (const piece of layers(layerDigest)) expect(piece).toBeUndefined();
      throw new Error('it was read');
    };
    const { client } = pair(service);
    await expect(client.writeSlot('b', signed, () => layer('la', 'yer'), noProgress, never)).rejects.toMatchObject({
      code: 'internal',
    });
  });

  it('carry errors with their code, message and details', async () => {
    const service = new MemorySlotService();
    service.fail = new AgentError('slot-busy', 'cannot write slot b: it is mounted', { details: { device: '/dev/x' } });
    await expect(pair(service).client.markBad('b')).rejects.toMatchObject({
      code: 'slot-busy',
      message: 'cannot write slot b: it is mounted',
      details: { device: '/dev/x' },
    });
  });

  it('give the reason of the source when the source fails', async () => {
    const reason = new AgentError('registry-unreachable', 'cannot fetch: no route');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield bytes('la');
      throw reason;
    }
    const { client, server } = pair(new MemorySlotService());
    await expect(client.writeSlot('b', signed, failing, noProgress, never)).rejects.toBe(reason);
    await new Promise((resolve) => setImmediate(resolve));
    expect(server.active).toBe(0);
  });

  it('give the reason of a source that does not even begin', async () => {
    const reason = new AgentError('image-not-found', 'cannot fetch: no such layer');
    const refusing = () => {
      throw reason;
    };
    const { client } = pair(new MemorySlotService());
    await expect(client.writeSlot('b', signed, refusing, noProgress, never)).rejects.toBe(reason);
  });

  it('end the write when it is cancelled', async () => {
    const cancelling = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        yield bytes('layer');
        cancelling.abort(new AgentError('update-cancelled', 'cannot go on: cancelled'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const { client } = pair(new MemorySlotService());
    await expect(client.writeSlot('b', signed, endless, noProgress, cancelling.signal)).rejects.toMatchObject({
      code: 'update-cancelled',
    });
  });

  it('say that kaon-slotd ended without an answer', async () => {
    const client = new SlotdClient(async () => {
      const [mine, theirs] = duplexPair();
      theirs.end();
      theirs.resume();
      return mine;
    });
    await expect(client.readNode()).rejects.toMatchObject({ code: 'slotd-unreachable' });
  });
});

describe('kaon-slotd', () => {
  async function answerTo(message: unknown): Promise<unknown> {
    const [mine, theirs] = duplexPair();
    const server = new SlotdServer(
      async () => new MemorySlotService(),
      () => 0,
      () => undefined,
    );
    void server.serve(theirs);
    mine.write(encodeMessage(message));
    const frame = await new FrameReader(mine).next();
    return frame?.kind === 'message' ? frame.value : undefined;
  }

  it.each([
    ['another protocol', { protocol: 1, method: 'read-node' }],
    ['an unknown verb', { protocol: 2, method: 'format' }],
    ['a slot that is none', { protocol: 2, method: 'mark-bad', slot: 'c' }],
    ['a device', { protocol: 2, method: 'mark-bad', slot: 'a', device: '/dev/sda' }],
    ['tries without bound', { protocol: 2, method: 'activate', slot: 'b', tries: 1_000_000 }],
    ['a digest that is none', { protocol: 2, method: 'activate', slot: 'b', tries: 1, digest: 'sha256:x' }],
    ['nothing', null],
  ])('refuses a request with %s', async (_name, message) => {
    expect(await answerTo(message)).toMatchObject({ type: 'error', code: 'slotd-protocol-invalid' });
  });

  it('answers each request with why it can do nothing', async () => {
    const server = new SlotdServer(
      () => Promise.reject(new AgentError('config-invalid', 'cannot use the configuration: slots.a is missing')),
      () => 0,
      () => undefined,
    );
    const client = new SlotdClient(async () => {
      const [mine, theirs] = duplexPair();
      void server.serve(theirs);
      return mine;
    });
    await expect(client.readNode()).rejects.toMatchObject({ code: 'config-invalid' });
  });
});
