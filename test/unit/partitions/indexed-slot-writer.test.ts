import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { ByteRange, LayerSource, WriteProgress } from '../../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { cutRanges } from '../../fakes/cut-ranges.ts';
import { type IndexedLayer, indexedLayer } from '../../fakes/indexed-layer.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { type DeviceFault, MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryCheckpoints } from '../../fakes/memory-checkpoints.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import type { TrustedPartition } from '../../../partitions/trusted-descriptor.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { codeOf, sampleBytes, sha256Of } from './samples.ts';

const frameBytes = 8192;
const bufferBytes = 32 * 1024;
const deviceBytes = 512 * 1024;
const digestOfImage = (salt: string) => sha256Of(Buffer.from(`image ${salt}`));

/** One with an index, or one whose index nothing was signed of. */
type Layer = Omit<IndexedLayer, 'signed'> & { readonly signed: TrustedPartition };

/** Content with zeros in places: whole frames, and parts of them. */
function contentOf(sizeBytes: number, seed: number): Uint8Array {
  const content = sampleBytes(sizeBytes, seed);
  content.fill(0, 3 * frameBytes, 9 * frameBytes);
  content.fill(0, 11 * frameBytes + 100, 12 * frameBytes);
  return content;
}

const layers = [
  indexedLayer('root', contentOf(300_001, 1), [frameBytes]),
  indexedLayer('boot', contentOf(200_000, 2), [8192, 4096, 8192, 8192, 4096]),
] as const;

interface Setup {
  readonly parts?: readonly Layer[];
  readonly image?: string;
  readonly source?: LayerSource;
  readonly devices?: MemorySlotDevices;
  readonly checkpoints?: MemoryCheckpoints;
  readonly clock?: ManualClock;
  readonly faults?: readonly DeviceFault[];
  readonly keepsEqual?: boolean;
  readonly beforeStep?: (name: string, devices: MemorySlotDevices) => void;
  readonly onProgress?: (progress: WriteProgress) => void;
  readonly onNote?: (note: string) => void;
  readonly signal?: AbortSignal;
}

function sourceOf(parts: readonly Layer[]): LayerSource {
  return async function* (digest, ranges) {
    const part = parts.find(({ signed }) => signed.layerDigest === digest || signed.index?.layerDigest === digest)!;
    yield* cutRanges(part.signed.layerDigest === digest ? part.bytes : part.indexBytes, ranges);
  };
}

const sizes = { root: { sizeBytes: deviceBytes }, boot: { sizeBytes: deviceBytes } };

function setUp(setup: Setup = {}) {
  const parts = setup.parts ?? layers;
  const steps: string[] = [];
  const devices: MemorySlotDevices =
    setup.devices ??
    new MemorySlotDevices({
      slots: { a: sizes, b: sizes },
      booted: 'a',
      faults: setup.faults ?? [],
      beforeStep: (name) => {
        setup.beforeStep?.(name, devices);
        steps.push(name);
      },
    });
  const asked: { readonly digest: string; readonly ranges: readonly ByteRange[] | undefined }[] = [];
  const source = setup.source ?? sourceOf(parts);
  const write = () =>
    new StreamingSlotWriter({
      ...writerParts,
      devices,
      bufferBytes,
      ...(setup.clock && { clock: setup.clock }),
      ...(setup.checkpoints && { checkpoints: setup.checkpoints }),
      ...(setup.onNote && { onNote: setup.onNote }),
      keepsEqual: setup.keepsEqual ?? false,
    }).write(
      'b',
      TrustedDescriptor.mintAfterVerification({
        manifestDigest: digestOfImage(setup.image ?? ''),
        partitions: parts.map(({ signed }) => signed),
      }),
      (digest, ranges) => {
        asked.push({ digest, ranges });
        return source(digest, ranges);
      },
      setup.onProgress ?? (() => undefined),
      setup.signal ?? new AbortController().signal,
    );
  const fetchedOf = (name: string) =>
    asked
      .filter(({ digest }) => digest === parts.find(({ signed }) => signed.name === name)?.signed.layerDigest)
      .flatMap(({ ranges = [] }) => ranges)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { devices, steps, write, asked, fetchedOf };
}

function holds(devices: MemorySlotDevices, { signed, content }: IndexedLayer): boolean {
  const want = Buffer.concat([content, Buffer.alloc(deviceBytes - content.byteLength)]);
  return want.equals(devices.disk('b', signed.name).durableBytes());
}

const frameOf = (bits: Uint8Array | undefined, index: number) => ((bits?.[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;

describe('writing an image with a block index', () => {
  it('puts the content and zeros behind it on each partition, in the order of the design', async () => {
    const { devices, steps, write } = setUp();
    const written = await write();
    for (const layer of layers) expect(holds(devices, layer)).toBe(true);
    expect(written.partitions).toEqual(
      layers.map(({ signed, content }) => ({
        name: signed.name,
        sizeBytes: content.byteLength,
        digest: sha256Of(content),
      })),
    );
    expect(steps.slice(0, 4)).toEqual(['zero root 0+4096', 'flush root', 'zero boot 0+4096', 'flush boot']);
    expect(steps.slice(-4)).toEqual(['write root 0+4096', 'flush root', 'write boot 0+4096', 'flush boot']);
    expect(steps.slice(4, -4).filter((step) => / 0\+/.test(step))).toEqual([]);
  });

  it('writes runs of zero frames at once, and fetches their bytes only as gaps', async () => {
    const { steps, write, asked } = setUp();
    await write();
    expect(steps).toContain(`zero root ${3 * frameBytes}+${6 * frameBytes}`);
    const layerRequests = asked.filter(({ digest }) => digest === layers[0].signed.layerDigest);
    expect(layerRequests.map(({ ranges }) => ranges?.length)).toEqual([1]);
  });

  it('writes images of any size, down to a byte and up to the device', async () => {
    for (const sizeBytes of [1, 4095, 4096, 4097, frameBytes, frameBytes + 1, bufferBytes + 7, deviceBytes]) {
      const parts = [indexedLayer('root', sampleBytes(sizeBytes, sizeBytes), [frameBytes]), layers[1]];
      const { devices, write } = setUp({ parts });
      await write();
      expect(holds(devices, parts[0]!)).toBe(true);
    }
  });

  it('never writes a frame that does not have its signed digest', async () => {
    const other = sampleBytes(300_001, 9);
    const parts = [{ ...layers[0], bytes: indexedLayer('root', other, [frameBytes]).bytes }, layers[1]];
    // The frames of the other content have other places: only those that happen to fit are even decoded.
    const { devices, write } = setUp({ source: sourceOf(parts) });
    expect(['digest-mismatch', 'layer-corrupt', 'download-truncated']).toContain(await codeOf(write));
    const bytes = devices.disk('b', 'root').durableBytes();
    for (let at = frameBytes; at < 300_000; at += 512) {
      const sector = Buffer.from(bytes.subarray(at, at + 512));
      expect(sector.equals(other.subarray(at, at + 512))).toBe(false);
    }
  });

  it('names the frame whose digest is wrong, and leaves the slot unbootable', async () => {
    const bytes = Uint8Array.from(layers[0].bytes);
    // A raw block's byte: the frame still decodes.
    const changed = sampleBytes(frameBytes, 77);
    const frame = zlib.zstdCompressSync(changed, { pledgedSrcSize: frameBytes });
    const parts = [indexedLayer('root', sampleBytes(2 * frameBytes, 77), [frameBytes]), layers[1]];
    const swapped = Buffer.concat([frame, bytes]).subarray(0, parts[0]!.bytes.byteLength);
    const { devices, write } = setUp({
      parts,
      source: sourceOf([{ ...parts[0]!, bytes: Uint8Array.from(swapped) }, layers[1]]),
    });
    const code = await codeOf(write);
    expect(['digest-mismatch', 'layer-corrupt']).toContain(code);
    for (const name of ['root', 'boot']) {
      const first = devices.disk('b', name).durableBytes().subarray(0, 4096);
      expect(first.every((byte) => byte === 0)).toBe(true);
    }
  });

  it('refuses an index that is not the signed one, before anything is touched', async () => {
    const parts = [{ ...layers[0], indexBytes: layers[1].indexBytes }, layers[1]];
    const { steps, write } = setUp({ source: sourceOf(parts) });
    expect(['digest-mismatch', 'download-truncated']).toContain(await codeOf(write));
    expect(steps).toEqual([]);
  });

  it('refuses more bytes than it asked for, and fewer', async () => {
    const extended: LayerSource = async function* (digest, ranges) {
      yield* sourceOf(layers)(digest, ranges);
      if (digest === layers[0].signed.layerDigest) yield Uint8Array.of(1);
    };
    expect(await codeOf(setUp({ source: extended }).write)).toBe('layer-too-large');
    const cut: LayerSource = async function* (digest, ranges) {
      const last = ranges?.at(-1);
      const fewer = ranges?.slice(0, -1).concat(last === undefined ? [] : [{ ...last, sizeBytes: last.sizeBytes - 1 }]);
      yield* sourceOf(layers)(digest, digest === layers[0].signed.layerDigest ? fewer : ranges);
    };
    expect(await codeOf(setUp({ source: cut }).write)).toBe('download-truncated');
  });

  it('finds a device that gives back other bytes, in any frame, zeros included', async () => {
    for (const at of [0, 4096, 5 * frameBytes, 299_999]) {
      const { write } = setUp({
        beforeStep: (name, devices) => {
          if (name === 'write boot 0+4096') devices.disk('b', 'root').corrupt(at, Uint8Array.of(0xff));
        },
      });
      expect({ at, code: await codeOf(write) }).toEqual({ at, code: 'slot-verify-failed' });
    }
  });

  it('writes only what differs, where blocks that are equal are to be kept', async () => {
    const first = setUp();
    await first.write();
    const changed = Uint8Array.from(layers[0].content);
    changed[100_000] = 1;
    const parts = [indexedLayer('root', changed, [frameBytes]), layers[1]];
    const { devices, write } = setUp({ parts, devices: first.devices, keepsEqual: true });
    first.steps.length = 0;
    await write();
    expect(holds(devices, parts[0]!)).toBe(true);
    const bodies = first.steps.filter((step) => /^(write|zero) /.test(step) && !/ 0\+4096$/.test(step));
    expect(bodies).toHaveLength(1);
    expect(bodies[0]).toMatch(/^write root /);
  });
});

describe('a write that was interrupted', () => {
  /** Writes until `bytes` of root are on the device, with a checkpoint then, and ends there. */
  async function interrupted(
    atBytes: number,
    image = '',
    onProgress: (progress: WriteProgress) => void = () => undefined,
  ) {
    const checkpoints = new MemoryCheckpoints();
    const clock = new ManualClock();
    const end = new AbortController();
    const made = setUp({
      checkpoints,
      clock,
      image,
      signal: end.signal,
      onProgress: (progress) => {
        onProgress(progress);
        const { writtenBytes } = progress;
        if (writtenBytes >= atBytes) end.abort(new RangeError('stop'));
      },
    });
    await expect(made.write()).rejects.toThrow(RangeError);
    return { ...made, checkpoints };
  }

  it('fetches only what is missing when it is begun again, and ends with the same content', async () => {
    const { devices, checkpoints } = await interrupted(200_000);
    const claimed = (await checkpoints.load('b'))?.frames['root'];
    expect(frameOf(claimed, 0)).toBe(false);
    expect(frameOf(claimed, 15)).toBe(true);
    const seen: WriteProgress[] = [];
    const again = setUp({ devices, checkpoints, onProgress: (progress) => seen.push(progress) });
    await again.write();
    for (const layer of layers) expect(holds(devices, layer)).toBe(true);
    expect(again.fetchedOf('root')).toBeLessThan(layers[0].bytes.byteLength * 0.6);
    expect(seen.at(-1)?.keptBytes).toBeGreaterThan(130_000);
    expect(seen.at(-1)?.isResumable).toBe(true);
    // What the earlier run left is told apart from what is found by looking.
    expect(seen.at(-1)?.resumedBytes).toBeGreaterThan(130_000);
    expect(seen.at(-1)?.resumedBytes).toBeLessThanOrEqual(seen.at(-1)?.keptBytes ?? 0);
  });

  it('says how much of it is durable when it ends, and that the next run begins with as much', async () => {
    const seen: WriteProgress[] = [];
    const { devices, checkpoints } = await interrupted(200_000, '', (progress) => seen.push(progress));
    const durableBytes = seen.at(-1)?.durableBytes ?? 0;
    expect(durableBytes).toBeGreaterThan(130_000);
    const again: WriteProgress[] = [];
    await setUp({ devices, checkpoints, onProgress: (progress) => again.push(progress) }).write();
    expect(again[0]?.durableBytes).toBe(0);
    expect(again.find(({ resumedBytes }) => resumedBytes !== 0)?.durableBytes).toBe(durableBytes);
  });

  it('tells where it goes on, and why it starts over', async () => {
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    const { devices, checkpoints } = await interrupted(200_000);
    await setUp({ devices, checkpoints, onNote }).write();
    expect(notes).toEqual([
      expect.stringMatching(/^partition root resumes with \d+ of 37 frames in place$/),
      expect.stringMatching(/^partition boot starts over: the device has none of the frames/),
    ]);
    notes.length = 0;
    await setUp({ devices, checkpoints, onNote, image: 'other' }).write();
    expect(notes).toEqual([expect.stringContaining('slot b starts over: its checkpoint is of another image')]);
    notes.length = 0;
    const foreign = layers.map((layer) => ({ ...layer, signed: { ...layer.signed, index: undefined } }));
    await setUp({ devices, checkpoints: new MemoryCheckpoints(), onNote, parts: foreign }).write();
    expect(notes).toEqual([expect.stringMatching(/^slot b is written from its start: .* no block index/)]);
  });

  it('hashes what is there before it counts: what rotted meanwhile is fetched again', async () => {
    const { devices, checkpoints } = await interrupted(200_000);
    devices.disk('b', 'root').corrupt(10 * frameBytes + 5, Uint8Array.of(0xff));
    devices.disk('b', 'root').corrupt(5 * frameBytes, Uint8Array.of(1));
    await setUp({ devices, checkpoints }).write();
    for (const layer of layers) expect(holds(devices, layer)).toBe(true);
  });

  it('counts for nothing when another image comes, which discards it; what has the digest of its frame is kept', async () => {
    const { devices, checkpoints } = await interrupted(200_000, 'one');
    const again = setUp({ devices, checkpoints, image: 'other' });
    await again.write();
    expect((await checkpoints.load('b'))?.manifestDigest).not.toBe(digestOfImage('one'));
    expect(again.fetchedOf('root')).toBeLessThan(layers[0].bytes.byteLength * 0.6);
    for (const layer of layers) expect(holds(devices, layer)).toBe(true);
  });

  it('says nothing false by a checkpoint that names more frames than there are, or none', async () => {
    const { devices } = await interrupted(200_000);
    const checkpoints = new MemoryCheckpoints();
    const manifestDigest = digestOfImage('');
    for (const bits of [new Uint8Array(1000).fill(0xff), new Uint8Array(0), Uint8Array.of(0xff)]) {
      await checkpoints.save('b', { manifestDigest, frames: { root: bits, boot: bits, other: bits } });
      await setUp({ devices, checkpoints }).write();
      for (const layer of layers) expect(holds(devices, layer)).toBe(true);
    }
  });

  it('goes on without checkpoints that can be neither read nor kept, and tells of it', async () => {
    const faults: unknown[] = [];
    const broken = new Error('the data partition is gone');
    const fails = () => Promise.reject(broken);
    const devices = new MemorySlotDevices({ slots: { a: sizes, b: sizes }, booted: 'a' });
    const clock = new ManualClock();
    const writing = new StreamingSlotWriter({
      ...writerParts,
      clock: { monotonicMs: () => (faults.length === 0 ? 0 : 5000), sleep: (ms, signal) => clock.sleep(ms, signal) },
      devices,
      bufferBytes,
      checkpoints: { load: fails, save: fails, remove: fails },
      onFault: (error) => faults.push(error),
    }).write(
      'b',
      TrustedDescriptor.mintAfterVerification({
        manifestDigest: digestOfImage(''),
        partitions: layers.map(({ signed }) => signed),
      }),
      sourceOf(layers),
      () => undefined,
      new AbortController().signal,
    );
    await writing;
    expect(faults[0]).toBe(broken);
    for (const layer of layers) expect(holds(devices, layer)).toBe(true);
  });

  it('after a power cut at any moment ends with the same content, its checkpoint never ahead of the device', async () => {
    class PowerCut extends Error {}
    for (let seed = 1; seed <= 25; seed += 1) {
      const random = new SeededRandom(seed);
      const fate = () => (random.fraction() < 0.5 ? 'lost' : 'written');
      let stepsLeft = Number.POSITIVE_INFINITY;
      const beforeStep = (): void => {
        stepsLeft -= 1;
        if (stepsLeft > 0) return;
        if (stepsLeft === 0) devices.powerCut(fate);
        throw new PowerCut();
      };
      const devices: MemorySlotDevices = new MemorySlotDevices({ slots: { a: sizes, b: sizes }, beforeStep });
      const checkpoints = new MemoryCheckpoints(beforeStep);
      const ticking = { ...writerParts.clock, monotonicMs: () => (nowMs += 400) };
      let nowMs = 0;
      const attempt = () =>
        new StreamingSlotWriter({ ...writerParts, clock: ticking, devices, bufferBytes: 8192, checkpoints }).write(
          'b',
          TrustedDescriptor.mintAfterVerification({
            manifestDigest: digestOfImage(''),
            partitions: layers.map(({ signed }) => signed),
          }),
          sourceOf(layers),
          () => undefined,
          new AbortController().signal,
        );
      for (let cut = 0; cut < 3; cut += 1) {
        stepsLeft = 1 + Math.floor(random.fraction() * 120);
        await attempt().catch(() => undefined);
        stepsLeft = Number.POSITIVE_INFINITY;
        const claimed = await checkpoints.load('b');
        for (const { signed, content, offsets } of layers) {
          const bytes = devices.disk('b', signed.name).durableBytes();
          for (let index = 0; index + 1 < offsets.length; index += 1) {
            if (!frameOf(claimed?.frames[signed.name], index)) continue;
            const range = offsets.slice(index, index + 2);
            const isThere = Buffer.compare(bytes.subarray(...range), content.subarray(...range)) === 0;
            expect({ seed, cut, index, isThere }).toEqual({ seed, cut, index, isThere: true });
          }
        }
      }
      await attempt();
      for (const layer of layers) expect(holds(devices, layer)).toBe(true);
    }
  });
});
