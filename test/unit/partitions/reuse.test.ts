import { describe, expect, it } from 'vitest';
import type { BlockDevice, SlotDevices } from '../../../partitions/block-device.ts';
import { digestBlocks } from '../../../partitions/block-index/block-digest.ts';
import { blockBytes, digestBytes } from '../../../partitions/block-index/layout.ts';
import { PartitionError } from '../../../partitions/errors.ts';
import { ReadOnlyDevice } from '../../../partitions/read-only-device.ts';
import type { DigestLists } from '../../../partitions/reuse/digest-list.ts';
import { KeptDigests } from '../../../partitions/reuse/kept-digests.ts';
import type { ByteRange, LayerSource, WriteProgress } from '../../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { cutRanges } from '../../fakes/cut-ranges.ts';
import { type IndexedLayer, indexedLayer, randomFrameSizes } from '../../fakes/indexed-layer.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryIndexCache } from '../../fakes/memory-index-cache.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { codeOf, sampleBytes, sha256Of } from './samples.ts';

const deviceBlocks = 256;
const deviceBytes = deviceBlocks * blockBytes;
const bufferBytes = 64 * 1024;
const frameBlocks = 8;

const pool = new Map<number, Uint8Array>([[0, new Uint8Array(blockBytes)]]);

/** Block `seed` of a pool; 0 is a block of zeros. */
function blockOf(seed: number): Uint8Array {
  const block = pool.get(seed) ?? sampleBytes(blockBytes, seed);
  pool.set(seed, block);
  return block;
}

const contentOf = (seeds: readonly number[]) => Buffer.concat(seeds.map(blockOf));
const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index);

/** An image of one partition, in frames of `frameBlocks` blocks, or of random sizes up to that. */
function imageOf(content: Uint8Array, random?: SeededRandom): IndexedLayer {
  const sizes = random && randomFrameSizes(random, frameBlocks, content.byteLength);
  return indexedLayer('root', content, sizes ?? [frameBlocks * blockBytes]);
}

interface Node {
  readonly devices: MemorySlotDevices;
  readonly lists: DigestLists;
}

/** A node that runs slot a with `booted` on it; slot b holds `inactive`. */
function nodeWith(
  booted: Uint8Array,
  inactive: Uint8Array = new Uint8Array(0),
  beforeStep?: (name: string, devices: MemorySlotDevices) => void,
): Node {
  const sizes = { root: { sizeBytes: deviceBytes } };
  const devices: MemorySlotDevices = new MemorySlotDevices({
    slots: { a: sizes, b: sizes },
    booted: 'a',
    beforeStep: (name) => beforeStep?.(name, devices),
  });
  devices.disk('a', 'root').corrupt(0, booted);
  devices.disk('b', 'root').corrupt(0, inactive);
  return { devices, lists: new KeptDigests(new MemoryIndexCache()) };
}

/** Writes `image` onto slot b, and says what it took. */
async function update(
  { devices, lists }: { readonly devices: SlotDevices; readonly lists: DigestLists },
  image: IndexedLayer,
  onAsk: (digest: string) => void = () => undefined,
) {
  const asked: { readonly digest: string; readonly ranges: readonly ByteRange[] }[] = [];
  const faults: unknown[] = [];
  let last: WriteProgress | undefined;
  const source: LayerSource = (digest, ranges = []) => {
    onAsk(digest);
    asked.push({ digest, ranges });
    return inTurns(cutRanges(digest === image.signed.layerDigest ? image.bytes : image.indexBytes, ranges));
  };
  const writer = new StreamingSlotWriter({
    ...writerParts,
    devices,
    bufferBytes,
    digests: lists,
    onFault: (error) => faults.push(error),
  });
  const trusted = TrustedDescriptor.mintAfterVerification({
    manifestDigest: sha256Of(image.indexBytes),
    partitions: [image.signed],
  });
  const onProgress = (progress: WriteProgress) => (last = progress);
  await writer.write('b', trusted, source, onProgress, new AbortController().signal);
  const fetchedOf = (digest: string | undefined) =>
    asked
      .filter((one) => one.digest === digest)
      .flatMap(({ ranges }) => ranges)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { copiedBytes = 0, keptBytes = 0, fetchedBytes = 0 } = last ?? {};
  const indexBytes = fetchedOf(image.signed.index.layerDigest);
  const layerBytes = fetchedOf(image.signed.layerDigest);
  return { layerBytes, indexBytes, copiedBytes, keptBytes, fetchedBytes, faults };
}

async function* inTurns(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield* pieces;
}

/** What a node fetches that has nothing. */
async function fullOf(image: IndexedLayer) {
  const node = nodeWith(new Uint8Array(0));
  const { layerBytes, indexBytes } = await update(node, image);
  return { layerBytes, indexBytes };
}

function expectWritten({ devices }: Node, { content }: IndexedLayer, hint: object = {}): void {
  const want = Buffer.concat([content, Buffer.alloc(deviceBytes - content.byteLength)]);
  expect({ ...hint, isEqual: want.equals(devices.disk('b', 'root').durableBytes()) }).toEqual({
    ...hint,
    isEqual: true,
  });
}

const old = range(1, 200);
/** The old blocks moved by three, with a few new ones among them. */
const changed = [1001, 1002, 1003, ...old.slice(0, 100), 1004, ...old.slice(100, 190)];

/** A device of the booted slot whose reads fail, or see to something first. */
function withBooted(devices: MemorySlotDevices, beforeRead: () => void): SlotDevices {
  return {
    open: (slot, name) => devices.open(slot, name),
    sizes: (slot) => devices.sizes(slot),
    openBooted: async (name) => {
      const device = await devices.openBooted(name);
      return new (class extends ReadOnlyDevice {
        override async read(into: Uint8Array, offset: number): Promise<void> {
          beforeRead();
          await super.read(into, offset);
        }
      })(device);
    },
  };
}

describe('an update of what the node has already', () => {
  it('copies from the booted slot what moved, and fetches the frames of what is new', async () => {
    const node = nodeWith(contentOf(old));
    const image = imageOf(contentOf(changed));
    const full = await fullOf(image);
    const took = await update(node, image);
    expectWritten(node, image);
    expect(took.layerBytes).toBeLessThan(full.layerBytes * 0.2);
    expect(took.copiedBytes).toBeGreaterThan(160 * blockBytes);
    expect(took.fetchedBytes).toBe(took.layerBytes + took.indexBytes - full.indexBytes);
    expect(took.faults).toEqual([]);
  });

  it('leaves the booted slot as it is', async () => {
    const node = nodeWith(contentOf(old));
    const before = node.devices.disk('a', 'root').durableBytes();
    await update(node, imageOf(contentOf(changed)));
    expect(Buffer.compare(before, node.devices.disk('a', 'root').visibleBytes())).toBe(0);
    const device: BlockDevice = await node.devices.openBooted('root');
    expect(await codeOf(() => device.write(new Uint8Array(blockBytes), 0))).toBe('slot-device-refused');
    expect(await codeOf(() => device.zero(0, blockBytes))).toBe('slot-device-refused');
    expect(await codeOf(() => device.flush())).toBe('slot-device-refused');
  });

  it('fetches nothing of a layer that the inactive slot holds already', async () => {
    const whole = contentOf(changed);
    for (const cut of [0, 1, 100, 4095, blockBytes * 7 + 5, whole.byteLength - blockBytes, whole.byteLength - 3]) {
      const image = imageOf(whole.subarray(0, whole.byteLength - cut));
      const node = nodeWith(new Uint8Array(0), image.content);
      const took = await update(node, image);
      expectWritten(node, image, { cut });
      expect({ cut, ...took }).toMatchObject({
        cut,
        layerBytes: 0,
        keptBytes: image.content.byteLength,
        copiedBytes: 0,
      });
    }
  });

  it('fetches the first frame where a byte of its first block is not as signed', async () => {
    const image = imageOf(contentOf(changed));
    const node = nodeWith(new Uint8Array(0), image.content);
    node.devices.disk('b', 'root').corrupt(77, Uint8Array.of((image.content[77] ?? 0) ^ 1));
    const took = await update(node, image);
    expectWritten(node, image);
    expect(took.keptBytes).toBe(image.content.byteLength - frameBlocks * blockBytes);
    expect(took.layerBytes).toBeLessThan(frameBlocks * blockBytes * 1.1);
  });

  it('reads the first block before it is zeroed, and writes it last', async () => {
    const steps: string[] = [];
    const image = imageOf(contentOf(changed).subarray(0, -100));
    const node = nodeWith(new Uint8Array(0), image.content, (name) => steps.push(name));
    await update(node, image);
    const writes = steps.filter((step) => /^(write|zero|flush) /.test(step));
    expect(writes.slice(0, 2)).toEqual(['zero root 0+4096', 'flush root']);
    expect(writes.slice(-3)).toEqual(['flush root', 'write root 0+4096', 'flush root']);
    expect(writes.slice(2, -3).filter((step) => / 0\+/.test(step))).toEqual([]);
  });

  it('goes on where the first block cannot be read, and is told of it', async () => {
    const image = imageOf(contentOf(changed));
    let left = 1;
    const node = nodeWith(new Uint8Array(0), image.content);
    const { devices } = node;
    const failing: SlotDevices = {
      openBooted: (name) => devices.openBooted(name),
      sizes: (slot) => devices.sizes(slot),
      open: async (slot, name) => {
        const device = await devices.open(slot, name);
        const read = device.read.bind(device);
        device.read = async (into, offset) => {
          if (offset === 0 && left-- > 0) throw new PartitionError('slot-write-failed', 'cannot read: EIO');
          await read(into, offset);
        };
        return device;
      },
    };
    const took = await update({ devices: failing, lists: node.lists }, image);
    expectWritten(node, image);
    expect(took.faults).toHaveLength(1);
    expect(took.layerBytes).toBeGreaterThan(0);
  });

  it('makes zeros of what lies behind the content in its last block, though the frame is in place', async () => {
    const image = imageOf(contentOf(changed).subarray(0, -100));
    const node = nodeWith(new Uint8Array(0), contentOf(changed));
    await update(node, image);
    expectWritten(node, image);
  });

  it('keeps the digests of what it wrote, which the next update finds blocks by without reading all', async () => {
    const node = nodeWith(contentOf(old));
    const image = imageOf(contentOf(changed));
    await update(node, image);
    const list = await node.lists.find('b', 'root');
    expect(list?.blockCount).toBe(changed.length);
    const kept = await node.lists.find('a', 'root');
    expect(kept?.blockCount).toBe(deviceBlocks);
    // Slot b runs: what it holds is found by what was kept, but for samples of it, which are all of this small one.
    const content = node.devices.disk('b', 'root').durableBytes();
    const after = nodeWith(content);
    const draft = await after.lists.create('a', 'root', changed.length);
    for await (const digests of list?.read(0, changed.length) ?? []) await draft.write(0, digests);
    await draft.keep();
    const took = await update(after, imageOf(contentOf([...changed.slice(64), ...changed.slice(0, 64)])));
    expect(took.copiedBytes).toBeGreaterThan(160 * blockBytes);
    expect((await after.lists.find('a', 'root'))?.blockCount).toBe(changed.length);
  });

  it('reads nothing of the index but what every install reads, where the slots hold nothing of the image', async () => {
    const image = imageOf(contentOf(changed));
    const node = nodeWith(contentOf(range(5000, 200)), contentOf(range(6000, 200)));
    expect(await update(node, image)).toMatchObject({ ...(await fullOf(image)), copiedBytes: 0, keptBytes: 0 });
    expectWritten(node, image);
  });
});

describe('hints that lie', () => {
  it('cost bytes, and change nothing of what is written', async () => {
    const node = nodeWith(contentOf(old));
    const image = imageOf(contentOf(changed));
    // A list that agrees with the device, but says of its end that the new blocks are there.
    const truth = await node.lists.create('a', 'root', deviceBlocks);
    const claimed = node.devices.disk('a', 'root').durableBytes();
    claimed.set(contentOf([1001, 1002, 1003, 1004]), 194 * blockBytes);
    await truth.write(0, digestBlocks(claimed));
    await truth.keep();
    const took = await update(node, image);
    expectWritten(node, image);
    expect(took.layerBytes + took.indexBytes).toBeLessThanOrEqual(sumOf(await fullOf(image)));
  });

  it('are not used when samples of the slot say otherwise: it is read anew', async () => {
    const node = nodeWith(contentOf(old));
    const list = await node.lists.create('a', 'root', deviceBlocks);
    await list.write(0, new Uint8Array(deviceBlocks * digestBytes).fill(7));
    await list.keep();
    const image = imageOf(contentOf(changed));
    const took = await update(node, image);
    expectWritten(node, image);
    expect(took.copiedBytes).toBeGreaterThan(160 * blockBytes);
  });

  it('and a booted slot that changes under the reader end with the signed content', async () => {
    const image = imageOf(contentOf(changed));
    for (let nth = 1; nth <= 52; nth += 3) {
      const node = nodeWith(contentOf(old));
      let left = nth;
      const devices = withBooted(node.devices, () => {
        left -= 1;
        if (left === 0) node.devices.disk('a', 'root').corrupt(0, contentOf(range(7000, 150)));
      });
      await update({ devices, lists: node.lists }, image);
      expectWritten(node, image, { nth });
    }
  });

  it('and a booted slot that cannot be read end in fetching the rest, and are told of', async () => {
    const image = imageOf(contentOf(changed));
    for (const nth of [1, 20, 34, 40]) {
      const node = nodeWith(contentOf(old));
      let left = nth;
      const devices = withBooted(node.devices, () => {
        left -= 1;
        if (left <= 0) throw new PartitionError('slot-write-failed', 'cannot read: EIO');
      });
      const { faults } = await update({ devices, lists: node.lists }, image);
      expectWritten(node, image, { nth });
      expect(faults).toHaveLength(1);
    }
  });

  it('and a place for them that fails at any call end in the same content', async () => {
    const image = imageOf(contentOf(changed));
    for (let nth = 1; nth <= 40; nth += 2) {
      const node = nodeWith(contentOf(old));
      let left = nth;
      const failing = <T extends object>(target: T): T =>
        new Proxy(target, {
          get: (object, key) => {
            const value: unknown = Reflect.get(object, key);
            if (typeof value !== 'function') return value;
            return async (...args: unknown[]): Promise<unknown> => {
              left -= 1;
              if (left === 0) throw new Error('the data partition is full');
              const result: unknown = await (value.apply(object, args) as Promise<unknown>);
              return typeof result === 'object' && result !== null && 'read' in result ? failing(result) : result;
            };
          },
        });
      const lists = new KeptDigests(failing(new MemoryIndexCache()));
      await update({ devices: node.devices, lists }, image);
      expectWritten(node, image, { nth });
    }
  });
});

const sumOf = ({ layerBytes, indexBytes }: { layerBytes: number; indexBytes: number }) => layerBytes + indexBytes;

describe('random images from random sources', () => {
  /** Runs of blocks of a pool, of zeros, and of `other`, from anywhere. */
  function randomSeeds(random: SeededRandom, other: readonly number[], from: number): number[] {
    const seeds: number[] = [];
    const count = 1 + random.below(deviceBlocks);
    while (seeds.length < count) {
      const length = 1 + random.below(random.below(4) === 0 ? 120 : 12);
      const kind = random.below(8);
      if (kind === 0) seeds.push(...range(0, length).map(() => 0));
      else if (kind < 6 && other.length > 0) {
        const at = random.below(2) === 0 ? seeds.length % other.length : random.below(other.length);
        seeds.push(...other.slice(at, at + length));
      } else seeds.push(...range(from + random.below(2000), length));
    }
    return seeds.slice(0, count);
  }

  it('are what was signed, byte for byte, for never more than the whole of them', async () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = new SeededRandom(seed);
      const booted = randomSeeds(random, [], 1);
      const inactive = randomSeeds(random, booted, 3000);
      const seeds = randomSeeds(random, random.below(2) === 0 ? booted : inactive, 6000);
      // The last block may be cut.
      const whole = contentOf(seeds);
      const image = imageOf(whole.subarray(0, whole.byteLength - random.below(blockBytes)), random);
      let stepsLeft = random.below(3) === 0 ? random.below(60) : Infinity;
      const node = nodeWith(contentOf(booted), contentOf(inactive), (_name, devices) => {
        stepsLeft -= 1;
        if (stepsLeft === 0) devices.disk('a', 'root').corrupt(0, contentOf(seeds.slice(0, 20)));
      });
      const took = await update(node, image);
      expectWritten(node, image, { seed });
      const full = sumOf(await fullOf(image));
      expect({ seed, isMore: sumOf(took) > full }).toEqual({ seed, isMore: false });
    }
  });

  it('are found in place after a write that was killed', async () => {
    class Killed extends Error {}
    for (let seed = 1; seed <= 10; seed += 1) {
      const random = new SeededRandom(seed);
      const booted = range(1, 150);
      const image = imageOf(contentOf(randomSeeds(random, booted, 6000)), random);
      let stepsLeft = 3 + random.below(40);
      const node = nodeWith(contentOf(booted), undefined, (_name, devices) => {
        stepsLeft -= 1;
        if (stepsLeft > 0) return;
        if (stepsLeft === 0) devices.powerCut(() => (random.below(4) === 0 ? 'lost' : 'written'));
        if (stepsLeft > -50) throw new Killed();
      });
      await update(node, image).catch(() => undefined);
      stepsLeft = Infinity;
      await update(node, image);
      expectWritten(node, image, { seed });
    }
  });
});
