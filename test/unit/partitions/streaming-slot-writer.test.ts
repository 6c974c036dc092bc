import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodeFrames } from '../../../partitions/frames/encode-frames.ts';
import type { LayerSource, WriteProgress } from '../../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import {
  type LayerEncoding,
  TrustedDescriptor,
  type TrustedPartition,
} from '../../../partitions/trusted-descriptor.ts';
import { type DeviceFault, MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { codeOf, collect, inPieces, sampleBytes, sha256Of } from './samples.ts';
import { writerParts } from '../../fakes/writer-parts.ts';

const deviceBytes = 256 * 1024;
const bufferBytes = 16 * 1024;
const contents = { root: sampleBytes(150_001, 1), boot: sampleBytes(70_000, 2) };

interface Layer {
  signed: TrustedPartition;
  bytes: Uint8Array;
}

async function layerOf(name: string, content: Uint8Array, encoding: LayerEncoding = 'zstd'): Promise<Layer> {
  const encoders = {
    raw: async () => content,
    gzip: async () => zlib.gzipSync(content),
    zstd: async () => collect(encodeFrames(inPieces(content), 32_768, 1)),
  };
  const bytes = await encoders[encoding]();
  return {
    bytes,
    signed: {
      name,
      encoding,
      layerDigest: sha256Of(bytes),
      layerSizeBytes: bytes.byteLength,
      contentDigest: sha256Of(content),
      contentSizeBytes: content.byteLength,
    },
  };
}

const layers: readonly Layer[] = [await layerOf('root', contents.root), await layerOf('boot', contents.boot, 'gzip')];

function imageOf(parts: readonly Layer[]): TrustedDescriptor {
  return TrustedDescriptor.mintAfterVerification({
    manifestDigest: `sha256:${'0'.repeat(64)}`,
    partitions: parts.map(({ signed }) => signed),
  });
}

function sourceOf(parts: readonly Layer[], pieceBytes = 5000): LayerSource {
  return (digest) => inPieces(parts.find(({ signed }) => signed.layerDigest === digest)!.bytes, pieceBytes);
}

interface Setup {
  parts?: readonly Layer[];
  source?: LayerSource;
  sizeBytes?: number;
  alignmentBytes?: number;
  beforeStep?: (name: string, devices: MemorySlotDevices) => void | Promise<void>;
  faults?: readonly DeviceFault[];
  onProgress?: (progress: WriteProgress) => void;
  signal?: AbortSignal;
}

function setUp(setup: Setup = {}) {
  const parts = setup.parts ?? layers;
  const size = { sizeBytes: setup.sizeBytes ?? deviceBytes, alignmentBytes: setup.alignmentBytes ?? 512 };
  const steps: string[] = [];
  const devices: MemorySlotDevices = new MemorySlotDevices({
    slots: { a: { root: size, boot: size }, b: { root: size, boot: size, data: { ...size, keep: true } } },
    booted: 'a',
    faults: setup.faults ?? [],
    beforeStep: async (name) => {
      await setup.beforeStep?.(name, devices);
      steps.push(name);
    },
  });
  const write = () =>
    new StreamingSlotWriter({ ...writerParts, devices, bufferBytes }).write(
      'b',
      imageOf(parts),
      setup.source ?? sourceOf(parts),
      setup.onProgress ?? (() => undefined),
      setup.signal ?? new AbortController().signal,
    );
  const firstBlocksAreZero = () =>
    (['root', 'boot'] as const).map((name) =>
      devices
        .disk('b', name)
        .durableBytes()
        .subarray(0, 4096)
        .every((byte) => byte === 0),
    );
  return { devices, steps, write, firstBlocksAreZero };
}

/** What a complete partition holds: the content, and zeros to the end. */
function padded(content: Uint8Array, sizeBytes = deviceBytes): Buffer {
  return Buffer.concat([content, Buffer.alloc(sizeBytes - content.byteLength)]);
}

describe('writing a slot', () => {
  it.each([512, 4096])(
    'puts the content and zeros behind it on each partition (alignment %i)',
    async (alignmentBytes) => {
      const { devices, write } = setUp({ alignmentBytes });
      const written = await write();
      for (const name of ['root', 'boot'] as const) {
        expect(padded(contents[name]).equals(devices.disk('b', name).durableBytes())).toBe(true);
      }
      expect(written.partitions).toEqual([
        { name: 'root', sizeBytes: 150_001, digest: sha256Of(contents.root) },
        { name: 'boot', sizeBytes: 70_000, digest: sha256Of(contents.boot) },
      ]);
    },
  );

  it('leaves kept partitions and the other slot alone', async () => {
    const { devices, write } = setUp();
    await write();
    for (const disk of [devices.disk('a', 'root'), devices.disk('a', 'boot'), devices.disk('b', 'data')]) {
      expect(disk.durableBytes().every((byte) => byte === 0xa5)).toBe(true);
    }
  });

  it.each([0, 1, 4095, 4096, 4097, 16_384, 20_480, deviceBytes - 1, deviceBytes])(
    'writes content of %i bytes in every encoding',
    async (sizeBytes) => {
      for (const encoding of ['raw', 'gzip', 'zstd'] as const) {
        const root = sampleBytes(sizeBytes, 4);
        const parts = [await layerOf('root', root, encoding), layers[1]!];
        const { devices, write } = setUp({ parts });
        await write();
        expect(padded(root).equals(devices.disk('b', 'root').durableBytes())).toBe(true);
      }
    },
  );

  it('keeps the order: all first blocks zero, all bodies, all first blocks', async () => {
    const { steps, write } = setUp();
    await write();
    const isFirstBlock = (step: string) => / 0\+/.test(step);
    expect(steps.slice(0, 4)).toEqual(['zero root 0+4096', 'flush root', 'zero boot 0+4096', 'flush boot']);
    expect(steps.slice(-4)).toEqual(['write root 0+4096', 'flush root', 'write boot 0+4096', 'flush boot']);
    const bodies = steps.slice(4, -4);
    expect(bodies.filter(isFirstBlock)).toEqual([]);
    expect(bodies.filter((step) => step.startsWith('flush'))).toEqual(['flush root', 'flush boot']);
    expect(bodies.at(-1)).toBe('flush boot');
  });

  it('uses the digest computed in flight where signed bytes state none', async () => {
    const parts = layers.map(({ signed, bytes }) => ({
      bytes,
      signed: { ...signed, contentDigest: undefined, contentSizeBytes: undefined },
    }));
    const written = await setUp({ parts }).write();
    expect(written.partitions[0]).toEqual({ name: 'root', sizeBytes: 150_001, digest: sha256Of(contents.root) });
  });

  it('has two or more writes in flight, and no more than its buffers', async () => {
    let inFlight = 0;
    let most = 0;
    const { write } = setUp({
      beforeStep: async (name) => {
        if (!name.startsWith('write')) return;
        inFlight += 1;
        most = Math.max(most, inFlight);
        for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        inFlight -= 1;
      },
    });
    await write();
    expect(most).toBeGreaterThanOrEqual(2);
    expect(most).toBeLessThanOrEqual(4);
  });

  it('pulls no faster than the device takes', async () => {
    const root = sampleBytes(deviceBytes, 8);
    const parts = [await layerOf('root', root, 'raw'), layers[1]!];
    let pulled = 0;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const source: LayerSource = async function* (digest) {
      for await (const bytes of sourceOf(parts, 4096)(digest)) {
        pulled += bytes.byteLength;
        yield bytes;
      }
    };
    const { write } = setUp({ parts, source, beforeStep: (name) => (name.startsWith('write') ? gate : undefined) });
    const done = write();
    for (let turn = 0; turn < 500; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(pulled).toBeLessThanOrEqual(4096 + 4 * bufferBytes + 4096);
    release();
    await done;
  });

  it('tells its progress at least with each buffer', async () => {
    const seen: WriteProgress[] = [];
    await setUp({ onProgress: (progress) => seen.push(progress) }).write();
    const total = layers[0]!.signed.layerSizeBytes + layers[1]!.signed.layerSizeBytes;
    const writes = seen.filter(({ step }) => step === 'write');
    expect(writes.length).toBeGreaterThanOrEqual(150_001 / bufferBytes + 70_000 / bufferBytes);
    expect(seen.every((progress) => progress.layerSizeBytes === total)).toBe(true);
    expect(writes.map(({ fetchedBytes }) => fetchedBytes)).toEqual(
      writes.map(({ fetchedBytes }) => fetchedBytes).sort((a, b) => a - b),
    );
    expect(seen.filter(({ step }) => step === 'read-back').length).toBeGreaterThanOrEqual(15);
    expect(seen.at(-1)).toEqual({
      step: 'finish',
      partition: 'boot',
      fetchedBytes: total,
      layerSizeBytes: total,
      writtenBytes: 220_001,
      keptBytes: 0,
      copiedBytes: 0,
      resumedBytes: 0,
      durableBytes: 0,
      missingBytes: 0,
      isResumable: false,
    });
  });
});

describe('what is refused before anything is touched', () => {
  const untouched = async (setup: Setup): Promise<string> => {
    const { steps, write } = setUp(setup);
    const code = await codeOf(write);
    expect(steps).toEqual([]);
    return code;
  };

  it('is an image without proof of trust', async () => {
    const { devices, steps } = setUp();
    const forged = Object.create(TrustedDescriptor.prototype, {
      facts: { value: imageOf(layers).facts },
    }) as TrustedDescriptor;
    const writer = new StreamingSlotWriter({ ...writerParts, devices });
    await expect(
      writer.write('b', forged, sourceOf(layers), () => undefined, new AbortController().signal),
    ).rejects.toThrow(/^internal: /);
    expect(steps).toEqual([]);
  });

  it('is an image that misses a partition, has one more, names one twice, or one that is kept', async () => {
    const extra = { ...layers[0]!, signed: { ...layers[0]!.signed, name: 'extra' } };
    const kept = { ...layers[0]!, signed: { ...layers[0]!.signed, name: 'data' } };
    for (const parts of [[layers[0]!], [...layers, extra], [...layers, layers[0]!], [...layers, kept], []]) {
      expect(await untouched({ parts })).toBe('slot-device-refused');
    }
  });

  it('is signed content that does not fit', async () => {
    expect(await untouched({ sizeBytes: 149_504 })).toBe('slot-too-small');
  });

  it('is the booted slot, and a device that another holds', async () => {
    const { devices, write, steps } = setUp();
    const writer = new StreamingSlotWriter({ ...writerParts, devices });
    const signal = new AbortController().signal;
    expect(await codeOf(() => writer.write('a', imageOf(layers), sourceOf(layers), () => undefined, signal))).toBe(
      'slot-busy',
    );
    const held = await devices.open('b', 'boot');
    expect(await codeOf(write)).toBe('slot-busy');
    expect(steps).toEqual([]);
    await held.close();
    await write(); // root was let go
  });

  it('is a call that was aborted already', async () => {
    const { steps, write } = setUp({ signal: AbortSignal.abort(new RangeError('stop')) });
    await expect(write()).rejects.toThrow(RangeError);
    expect(steps).toEqual([]);
  });
});

describe('what ends a write, with first blocks zero again', () => {
  const fails = async (setup: Setup): Promise<string> => {
    const { devices, write, firstBlocksAreZero } = setUp(setup);
    const code = await codeOf(write);
    expect(firstBlocksAreZero()).toEqual([true, true]);
    // Everything was closed.
    for (const name of ['root', 'boot']) await (await devices.open('b', name)).close();
    return code;
  };
  const withRoot = (change: Partial<TrustedPartition>): Layer[] => [
    { ...layers[0]!, signed: { ...layers[0]!.signed, ...change } },
    layers[1]!,
  ];
  const delivering =
    (bytes: Uint8Array): LayerSource =>
    (digest) =>
      digest === layers[0]!.signed.layerDigest ? inPieces(bytes, 5000) : sourceOf(layers)(digest);

  it('is a layer that ends early', async () => {
    expect(await fails({ source: delivering(layers[0]!.bytes.subarray(0, -1)) })).toBe('download-truncated');
  });

  it('is a layer with more bytes than signed', async () => {
    expect(await fails({ source: delivering(Buffer.concat([layers[0]!.bytes, Buffer.alloc(1)])) })).toBe(
      'layer-too-large',
    );
  });

  it.each(['raw', 'gzip', 'zstd'] as const)('is a layer with another digest (%s)', async (encoding) => {
    const layer = await layerOf('root', contents.root, encoding);
    const signed = { ...layer.signed, layerDigest: `sha256:${'1'.repeat(64)}` };
    const parts = [{ ...layer, signed }, layers[1]!];
    expect(await fails({ parts })).toBe('digest-mismatch');
  });

  it('is a layer that does not decode', async () => {
    const bytes = Uint8Array.from(layers[0]!.bytes);
    bytes[0]! ^= 1;
    expect(await fails({ source: delivering(bytes) })).toBe('layer-corrupt');
  });

  it('is content beyond its signed size, or short of it, or with another digest', async () => {
    expect(await fails({ parts: withRoot({ contentSizeBytes: 150_000 }) })).toBe('layer-too-large');
    expect(await fails({ parts: withRoot({ contentSizeBytes: 150_002 }) })).toBe('digest-mismatch');
    expect(await fails({ parts: withRoot({ contentDigest: `sha512:${'1'.repeat(128)}` }) })).toBe('digest-mismatch');
  });

  it('is unsigned content beyond the device', async () => {
    const unsigned = { contentDigest: undefined, contentSizeBytes: undefined };
    expect(await fails({ parts: withRoot(unsigned), sizeBytes: 98_304 })).toBe('slot-too-small');
  });

  it('is a bomb: it is cut off at the size of the device', async () => {
    const bomb = zlib.zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    const signed = {
      layerDigest: sha256Of(bomb),
      layerSizeBytes: bomb.byteLength,
      contentDigest: undefined,
      contentSizeBytes: undefined,
    };
    const parts = [{ bytes: bomb, signed: { ...layers[0]!.signed, ...signed } }, layers[1]!];
    expect(await fails({ parts })).toBe('slot-too-small');
  });

  it.each([
    { partition: 'root', operation: 'write', nth: 1, errno: 'EIO' },
    { partition: 'boot', operation: 'write', nth: 3, errno: 'ENOSPC' },
    { partition: 'root', operation: 'zero', nth: 2, errno: 'EIO' },
    { partition: 'boot', operation: 'flush', nth: 2, errno: 'EIO' },
    { partition: 'root', operation: 'flush', nth: 3, errno: 'EIO' },
    { partition: 'root', operation: 'read', nth: 2, errno: 'EIO' },
  ] as const)('is a device that fails: $operation $nth of $partition with $errno', async (fault) => {
    expect(await fails({ faults: [fault] })).toBe('slot-write-failed');
  });

  it('is a device that gives back other bytes than it took', async () => {
    const beforeStep = (name: string, devices: MemorySlotDevices): void => {
      if (name === 'write boot 0+4096') devices.disk('b', 'root').corrupt(100_000, Uint8Array.of(0xff));
    };
    expect(await fails({ beforeStep })).toBe('slot-verify-failed');
  });

  it('is a source that throws: its error comes out as it is', async () => {
    const source: LayerSource = async function* () {
      yield layers[0]!.bytes.subarray(0, 20_000);
      throw new RangeError('the network is gone');
    };
    const { write, firstBlocksAreZero } = setUp({ source });
    await expect(write()).rejects.toThrow(RangeError);
    expect(firstBlocksAreZero()).toEqual([true, true]);
  });

  it.each(['write', 'read-back'])('is an abort during %s', async (step) => {
    const controller = new AbortController();
    const { write, firstBlocksAreZero } = setUp({
      signal: controller.signal,
      onProgress: (progress) => {
        if (progress.step === step && progress.partition === 'boot') controller.abort(new RangeError('stop'));
      },
    });
    await expect(write()).rejects.toThrow(RangeError);
    expect(firstBlocksAreZero()).toEqual([true, true]);
  });

  it('still zeroes the partitions that answer when one does not', async () => {
    const { write, firstBlocksAreZero } = setUp({
      beforeStep: (name) => {
        if (name === 'write root 0+4096' || name === 'zero boot 0+4096') return;
        if (name === 'write boot 0+4096') throw new RangeError('gone');
      },
      faults: [{ partition: 'root', operation: 'zero', nth: 3, errno: 'EIO' }],
    });
    await expect(write()).rejects.toThrow(RangeError);
    expect(firstBlocksAreZero()).toEqual([false, true]);
  });
});

describe('a power cut before any step', () => {
  class PowerCut extends Error {}

  async function cutAt(stepIndex: number, fate: (sector: number) => 'lost' | 'written') {
    let index = 0;
    let isCut = false;
    const { devices, steps, write } = setUp({
      beforeStep: (_, all) => {
        if (isCut) throw new PowerCut();
        index += 1;
        if (index <= stepIndex) return;
        isCut = true;
        all.powerCut(fate);
        throw new PowerCut();
      },
    });
    const isDone = await write().then(
      () => true,
      () => false,
    );
    const restorePower = (): void => {
      isCut = false;
      index = Number.NEGATIVE_INFINITY;
    };
    return { devices, steps, isDone, isCut, write, restorePower };
  }

  const fates: Record<string, (sector: number) => 'lost' | 'written'> = {
    'loses all': () => 'lost',
    'writes all': () => 'written',
    'tears every write': (sector: number) => (sector % 2 === 0 ? 'written' : 'lost'),
    'tears the other way': (sector: number) => (sector % 2 === 0 ? 'lost' : 'written'),
  };

  it.each(Object.entries(fates))('never leaves a first block over an incomplete body (%s)', async (_, fate) => {
    const { steps } = await cutAt(Number.POSITIVE_INFINITY, fate);
    const bodiesDone = steps.length - 4;
    const untouched = new Uint8Array(4096).fill(0xa5);
    for (let cut = 0; cut < steps.length; cut += 1) {
      const { devices, isDone, isCut } = await cutAt(cut, fate);
      expect({ cut, isDone, isCut }).toEqual({ cut, isDone: false, isCut: true });
      for (const name of ['root', 'boot'] as const) {
        const bytes = devices.disk('b', name).durableBytes();
        const first = Buffer.from(bytes.subarray(0, 4096));
        if (cut < 4) {
          // Zeroing: the old image's first block, or zeros, by sectors.
          const isOldOrZero = first.every((byte, at) => byte === 0 || byte === untouched[at]);
          expect({ cut, name, isOldOrZero }).toEqual({ cut, name, isOldOrZero: true });
          expect(bytes.subarray(4096).every((byte) => byte === 0xa5)).toBe(true);
        } else if (first.some((byte) => byte !== 0)) {
          expect(cut).toBeGreaterThan(bodiesDone);
          const isBodyWhole = padded(contents[name]).subarray(4096).equals(bytes.subarray(4096));
          expect({ cut, name, isBodyWhole }).toEqual({ cut, name, isBodyWhole: true });
        }
      }
    }
  });

  it('is survived by writing again', async () => {
    const { devices, write, restorePower } = await cutAt(12, (sector) => (sector % 2 === 0 ? 'written' : 'lost'));
    restorePower();
    await write();
    expect(padded(contents.root).equals(devices.disk('b', 'root').durableBytes())).toBe(true);
  });
});
