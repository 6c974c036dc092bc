import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { MountedPayloadDirectory } from '../../partitions/mounted-payload-directory.ts';
import type { PayloadDirectory } from '../../partitions/payload-directory.ts';
import { PayloadStore } from '../../partitions/payload-store.ts';
import { type PayloadRole, TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import { PowerLossDirectory } from '../fakes/power-loss-directory.ts';
import type { SectorFate } from '../fakes/power-loss-file.ts';
import { PowerLossPayloads } from '../fakes/power-loss-payloads.ts';
import { patternBytes, sha256 } from '../fakes/sample-image.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const never = new AbortController().signal;
const silent = () => undefined;
const kernel = patternBytes(9_000, 1);
const initrd = patternBytes(5_000, 2);
const newKernel = patternBytes(8_000, 3);

interface Content {
  readonly role: PayloadRole;
  readonly bytes: Buffer;
}

const old: readonly Content[] = [
  { role: 'kernel', bytes: kernel },
  { role: 'initrd', bytes: initrd },
];
const next: readonly Content[] = [
  { role: 'kernel', bytes: newKernel },
  { role: 'initrd', bytes: initrd },
];

function descriptorOf(contents: readonly Content[]): TrustedDescriptor {
  const payloads = contents.map(({ role, bytes }) => ({
    role,
    layerDigest: sha256(bytes),
    layerSizeBytes: bytes.byteLength,
  }));
  return TrustedDescriptor.mintAfterVerification({
    manifestDigest: sha256(Buffer.from('manifest')),
    partitions: [],
    boot: { payloads, options: undefined },
  });
}

async function* layer(digest: string): AsyncGenerator<Uint8Array> {
  const found = [...old, ...next].find(({ bytes }) => sha256(bytes) === digest)?.bytes ?? Buffer.alloc(0);
  for (let at = 0; at < found.byteLength; at += 4_000) yield found.subarray(at, at + 4_000);
}

const stage = (store: PayloadStore, contents: readonly Content[], source = layer) =>
  store.stage('b', descriptorOf(contents), source, silent, never);

async function bytesAt(directory: PayloadDirectory, path: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of directory.content(path)) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

const folders: string[] = [];
afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true })));
});

async function realDirectory(): Promise<PayloadDirectory> {
  const folder = await mkdtemp(join(tmpdir(), 'kaon-store-'));
  folders.push(folder);
  return new MountedPayloadDirectory(folder);
}

async function fakeDirectory(): Promise<PayloadDirectory> {
  return new PowerLossPayloads(new PowerLossDirectory({}));
}

describe.each([
  ['a real directory', realDirectory],
  ['the fake', fakeDirectory],
])('payloads on %s', (_name, newDirectory) => {
  it('are whole under names of their slot, and take the place of those before', async () => {
    const directory = await newDirectory();
    const store = new PayloadStore(directory, 'kaon');
    const first = await stage(store, old);
    expect(first.map(({ role }) => role)).toEqual(['kernel', 'initrd']);
    for (const { path } of first) expect(path).toMatch(/^kaon\/b\/(kernel-0|initrd-1)-[0-9a-f]{16}$/);
    const second = await stage(store, next);
    expect(second[1]).toEqual(first[1]);
    expect(await bytesAt(directory, second[0]?.path ?? '')).toEqual(newKernel);
    expect((await directory.files('kaon/b')).map(({ name }) => `kaon/b/${name}`).toSorted()).toEqual(
      second.map(({ path }) => path).toSorted(),
    );
  });

  it('that are there whole are not fetched again', async () => {
    const store = new PayloadStore(await newDirectory(), 'kaon');
    await stage(store, old);
    const asked: string[] = [];
    const counting = (digest: string) => {
      asked.push(digest);
      return layer(digest);
    };
    await stage(store, next, counting);
    expect(asked).toEqual([sha256(newKernel)]);
  });

  it.each<[string, (digest: string) => AsyncGenerator<Uint8Array>, string]>([
    [
      'other bytes than signed',
      async function* () {
        yield patternBytes(9_000, 9);
      },
      'digest-mismatch',
    ],
    [
      'fewer bytes than signed',
      async function* () {
        yield kernel.subarray(1);
      },
      'download-truncated',
    ],
    [
      'more bytes than signed',
      async function* () {
        yield kernel;
        yield kernel;
      },
      'layer-too-large',
    ],
  ])('never come into being from %s', async (_what, source, code) => {
    const directory = await newDirectory();
    await expect(stage(new PayloadStore(directory, 'kaon'), old, source)).rejects.toMatchObject({ code });
    expect(await directory.files('kaon/b')).toEqual([]);
  });

  it('of the other slot, and files of others, stay as they are', async () => {
    const directory = await newDirectory();
    const store = new PayloadStore(directory, 'kaon');
    const others = await store.stage('a', descriptorOf(old), layer, silent, never);
    await stage(store, next);
    for (const [index, { path }] of others.entries()) expect(await bytesAt(directory, path)).toEqual(old[index]?.bytes);
  });
});

describe('staging payloads', () => {
  it('refuses what does not fit before anything changes, with the numbers', async () => {
    const partition = new PowerLossDirectory({ 'kaon/b/kernel-0-old': 'x'.repeat(1024) });
    const store = new PayloadStore(new PowerLossPayloads(partition, 16_384), 'kaon');
    await expect(stage(store, old)).rejects.toMatchObject({
      code: 'boot-partition-full',
      details: { neededBytes: 9_216 + 5_120 + 8 * 512, freeBytes: 15_360, reclaimableBytes: 1024 },
    });
    expect(partition.paths).toEqual(['kaon/b/kernel-0-old']);
  });

  it('counts the old files of the slot as room', async () => {
    const partition = new PowerLossDirectory({ 'kaon/b/kernel-0-old': 'x'.repeat(9_000) });
    const store = new PayloadStore(new PowerLossPayloads(partition, 20_000), 'kaon');
    await expect(stage(store, old)).resolves.toHaveLength(2);
  });

  it('wants room for a second copy where the loader needs one, and counts the slot’s listed images as room', async () => {
    const listed = { folder: 'EFI/Linux', isOf: (slot: string, name: string) => name === `kaon-${slot}.efi` };
    const files = { 'EFI/Linux/kaon-a.efi': 'x'.repeat(2048), 'EFI/Linux/kaon-b.efi': 'x'.repeat(1024) };
    const roomy = (sizeBytes: number) =>
      new PayloadStore(new PowerLossPayloads(new PowerLossDirectory(files), sizeBytes), 'kaon', { copies: 2, listed });
    const needed = 2 * (9_216 + 5_120) + 8 * 512;
    await expect(stage(roomy(2048 + needed - 1), old)).rejects.toMatchObject({
      code: 'boot-partition-full',
      details: { neededBytes: needed, reclaimableBytes: 1024, copies: 2 },
    });
    await expect(stage(roomy(2048 + needed), old)).resolves.toHaveLength(2);
  });

  it('wants room for a copy of the other slot’s image where that is the larger one', async () => {
    const listed = { folder: 'EFI/Linux', isOf: (slot: string, name: string) => name === `kaon-${slot}.efi` };
    const files = { 'EFI/Linux/kaon-a.efi': 'x'.repeat(20_480) };
    const roomy = (sizeBytes: number) =>
      new PayloadStore(new PowerLossPayloads(new PowerLossDirectory(files), sizeBytes), 'kaon', { copies: 2, listed });
    const needed = 9_216 + 5_120 + 20_480 + 8 * 512;
    await expect(stage(roomy(20_480 + needed - 1), old)).rejects.toMatchObject({
      code: 'boot-partition-full',
      details: { neededBytes: needed, otherBytes: 20_480 },
    });
    await expect(stage(roomy(20_480 + needed), old)).resolves.toHaveLength(2);
  });

  it('refuses bytes that the device gives back differently, and keeps nothing of them', async () => {
    const partition = new PowerLossDirectory({});
    const directory = new PowerLossPayloads(partition);
    directory.damage = (_path, bytes) => bytes.map((byte, index) => (index === 4_097 ? byte ^ 1 : byte));
    await expect(stage(new PayloadStore(directory, 'kaon'), old)).rejects.toMatchObject({ code: 'slot-verify-failed' });
    expect(partition.paths).toEqual([]);
  });

  it('does not keep a file of the right name and size with other bytes', async () => {
    const partition = new PowerLossDirectory({});
    const store = new PayloadStore(new PowerLossPayloads(partition), 'kaon');
    const [first] = await stage(store, old);
    partition.put(first?.path ?? '', 'x'.repeat(kernel.byteLength));
    await stage(store, old);
    expect(partition.textOf(first?.path ?? '')).toBe(kernel.toString('latin1'));
  });

  it('removes the leftovers of a killed run', async () => {
    const partition = new PowerLossDirectory({ 'kaon/b/kernel-0-0123.tmp': 'half', 'kaon/b/uki-0-9.efi': 'old' });
    await stage(new PayloadStore(new PowerLossPayloads(partition), 'kaon'), old);
    expect(partition.paths).toHaveLength(2);
  });

  it('ends at the next piece when it is told to, and leaves no half of a file', async () => {
    const partition = new PowerLossDirectory({});
    const ended = new AbortController();
    const source = async function* (digest: string): AsyncGenerator<Uint8Array> {
      for await (const piece of layer(digest)) {
        yield piece;
        ended.abort(new Error('asked to end'));
      }
    };
    const store = new PayloadStore(new PowerLossPayloads(partition), 'kaon');
    await expect(store.stage('b', descriptorOf(old), source, silent, ended.signal)).rejects.toThrow('asked to end');
    expect(partition.paths).toEqual([]);
  });

  it('takes no image that this process did not verify', async () => {
    const store = new PayloadStore(await fakeDirectory(), 'kaon');
    const { facts } = descriptorOf(old);
    const forged = { facts } as unknown as TrustedDescriptor;
    await expect(store.stage('b', forged, layer, silent, never)).rejects.toThrow(/no proof of trust/);
  });
});

class PowerCut extends Error {}

function seededFate(seed: number): () => SectorFate {
  const random = new SeededRandom(seed);
  return () => (random.fraction() < 0.5 ? 'lost' : 'written');
}

const fates: readonly (readonly [string, () => () => SectorFate])[] = [
  ['lost', () => () => 'lost'],
  ['written', () => () => 'written'],
  ...[1, 2, 3, 4, 5, 6].map((seed) => [`seed ${seed}`, () => seededFate(seed)] as const),
];

describe.each(fates)('power lost anywhere while payloads are staged, unsynced names and bytes %s', (_name, newFate) => {
  it('leaves each final name with all of its bytes, or none, and is made up for', async () => {
    let cuts = 0;
    for (let cutAt = 0, isCut = true; isCut; cutAt += 1) {
      let step = Number.NEGATIVE_INFINITY;
      const partition = new PowerLossDirectory({ 'kaon/a/kernel-0-a': 'kernel of a' }, () => {
        if (step++ === cutAt) throw new PowerCut();
      });
      const store = new PayloadStore(new PowerLossPayloads(partition), 'kaon');
      await stage(store, old);
      step = 0;
      isCut = await stage(store, next).then(
        () => false,
        () => true,
      );
      step = Number.NEGATIVE_INFINITY;
      cuts += isCut ? 1 : 0;
      partition.losePower(newFate());
      const where = `cut before step ${cutAt}`;
      expect(partition.textOf('kaon/a/kernel-0-a'), where).toBe('kernel of a');
      const whole = [kernel, initrd, newKernel];
      for (const path of partition.paths.filter((each) => each.startsWith('kaon/b/') && !each.endsWith('.tmp'))) {
        const found = whole.find((bytes) => path.endsWith(sha256(bytes).slice(7, 23)));
        expect(partition.textOf(path) === found?.toString('latin1'), `${where}: ${path}`).toBe(true);
      }
      const staged = await stage(store, next);
      expect(partition.paths.toSorted()).toEqual(['kaon/a/kernel-0-a', ...staged.map(({ path }) => path)].toSorted());
    }
    expect(cuts).toBeGreaterThan(8);
  });
});

describe('what lies on a real directory', () => {
  it('is the bytes of the layers', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kaon-store-'));
    folders.push(folder);
    const staged = await stage(new PayloadStore(new MountedPayloadDirectory(folder), 'kaon'), old);
    expect(await readFile(join(folder, staged[0]?.path ?? ''))).toEqual(kernel);
    expect(await readdir(join(folder, 'kaon/b'))).toHaveLength(2);
  });
});
