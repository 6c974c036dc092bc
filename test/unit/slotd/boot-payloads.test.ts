import { describe, expect, it } from 'vitest';
import type { SignedImage, TrustedImage } from '../../../agent/core/ports.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { LoaderPayloads } from '../../../agent/slotd/boot-payloads.ts';
import { LocalSlotService } from '../../../agent/slotd/local-slot-service.ts';
import { SystemdBootBootloader } from '../../../bootloader/systemd-boot.ts';
import { PayloadStore } from '../../../partitions/payload-store.ts';
import type { WriteProgress } from '../../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';
import { PowerLossPayloads } from '../../fakes/power-loss-payloads.ts';
import { patternBytes, sha256 } from '../../fakes/sample-image.ts';
import { bootSystemdBoot } from '../../fakes/systemd-boot-firmware.ts';

const never = new AbortController().signal;
const content = { root: patternBytes(8192, 1), kernel: patternBytes(6_000, 2), initrd: patternBytes(3_000, 3) };
const layerOf = (name: keyof typeof content) => ({
  layerDigest: sha256(content[name]),
  layerSizeBytes: content[name].byteLength,
});
const boot = {
  payloads: [
    { role: 'kernel', ...layerOf('kernel') },
    { role: 'initrd', ...layerOf('initrd') },
  ],
  options: 'quiet ro',
} as const;
const manifestDigest = sha256(Buffer.from('manifest'));
const trusted: TrustedImage = {
  manifestDigest,
  rule: 'registry.acme.io/os',
  keyIds: ['release-1'],
  isDowngradeAllowed: false,
  name: 'edge',
  version: '2',
  compatible: ['acme'],
  rollbackIndex: 0,
  minimumAgent: undefined,
  agentVersion: undefined,
  partitions: [{ name: 'root', ...layerOf('root'), contentSizeBytes: 8192 }],
  boot,
};
const signed: SignedImage = {
  image: {
    reference: parseReference('registry.acme.io/os/edge:2'),
    resolvedDigest: manifestDigest,
    indexBytes: undefined,
    manifestDigest,
    manifestBytes: new Uint8Array(),
    configBytes: new Uint8Array(),
  },
  signatures: [],
};

async function* layer(digest: string): AsyncGenerator<Uint8Array> {
  yield Object.values(content).find((bytes) => sha256(bytes) === digest) ?? new Uint8Array();
}

/** A node with systemd-boot: slot a runs from a kernel that somebody put there, slot b has nothing. */
function newNode(change: Partial<TrustedImage> = {}, capacityBytes?: number) {
  const steps: string[] = [];
  const partition = new PowerLossDirectory(
    { 'boot/vmlinuz': 'factory', 'loader/entries/kaon-a.conf': 'linux /boot/vmlinuz\n' },
    (name) => steps.push(name),
  );
  const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
  const store = new PayloadStore(new PowerLossPayloads(partition, capacityBytes), 'kaon');
  const devices = new MemorySlotDevices({
    slots: { a: { root: { sizeBytes: 8192 } }, b: { root: { sizeBytes: 8192 } } },
    booted: 'a',
    beforeStep: (name) => {
      steps.push(name);
    },
  });
  const image = { ...trusted, ...change };
  const descriptor = TrustedDescriptor.mintAfterVerification({
    manifestDigest,
    partitions: image.partitions.map((each) => ({ ...each, encoding: 'raw', contentDigest: each.layerDigest })),
    boot: image.boot,
  });
  const records = new MemoryWrittenRecords((name) => steps.push(name));
  const service = new LocalSlotService({
    booted: 'a',
    bootloader: loader,
    devices,
    writer: new StreamingSlotWriter({ ...writerParts, devices, bufferBytes: 4096 }),
    policy: { judgeAndMint: () => ({ image, descriptor }) },
    records,
    rebooter: { reboot: async () => undefined },
    identity: { compatible: 'acme', agentVersion: '1.0.0' },
    payloads: new LoaderPayloads((_access, act) => act({ store, loader }), {
      a: 'root=a kaon.slot=A',
      b: 'root=b kaon.slot=B',
    }),
  });
  const progress: WriteProgress[] = [];
  const write = () => service.writeSlot('b', signed, layer, (each) => progress.push(each), never);
  return { service, partition, steps, records, progress, write };
}

describe('an image for a loader that reads no slot', () => {
  it('is started from the files that were staged for its slot, with the options of image and node', async () => {
    const { service, partition, write } = newNode();
    await write();
    expect(bootSystemdBoot(partition)).toBe('kaon-a');
    await service.activate('b', 3, manifestDigest);
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
    const entry = partition.textOf('loader/entries/kaon-b+2-1.conf');
    const [, kernel = ''] = /^linux \/(\S+)$/m.exec(entry) ?? [];
    const [, initrd = ''] = /^initrd \/(\S+)$/m.exec(entry) ?? [];
    expect(partition.textOf(kernel)).toBe(content.kernel.toString('latin1'));
    expect(partition.textOf(initrd)).toBe(content.initrd.toString('latin1'));
    expect(entry).toMatch(/^title edge 2$/m);
    expect(entry).toMatch(/^options quiet ro root=b kaon\.slot=B$/m);
  });

  it('is staged after its partitions and before it is recorded', async () => {
    const { steps, write, service } = newNode();
    await write();
    await service.activate('b', 3, manifestDigest);
    await service.markBad('b');
    steps.length = 0;
    await write();
    const firstDevice = steps.findIndex((name) => name.startsWith('zero'));
    const lastDevice = steps.findLastIndex((name) => /^(zero|write .*b\/|flush)/.test(name));
    const payload = steps.indexOf('append');
    expect(firstDevice).toBeGreaterThan(-1);
    // It is there whole already.
    expect(payload).toBe(-1);
    expect(steps.indexOf('record-save b')).toBeGreaterThan(lastDevice);
    expect(steps.indexOf('rename')).toBeLessThan(steps.indexOf('record-save b'));
  });

  it('goes on counting where the partitions ended', async () => {
    const { progress, write } = newNode();
    await write();
    const total = 8192 + 6_000 + 3_000;
    expect(new Set(progress.map(({ layerSizeBytes }) => layerSizeBytes))).toEqual(new Set([total]));
    expect(progress.at(-1)).toMatchObject({ partition: 'initrd', fetchedBytes: total, writtenBytes: total });
    const fetched = progress.filter(({ step }) => step === 'write').map(({ fetchedBytes }) => fetchedBytes);
    expect(fetched).toEqual(fetched.toSorted((a, b) => a - b));
  });

  it.each([
    ['without payloads', { boot: undefined }, undefined, 'image-incompatible'],
    ['whose payloads do not fit', {}, 12_000, 'boot-partition-full'],
  ] as const)('is refused %s before the slot loses anything', async (_what, change, capacityBytes, code) => {
    const { steps, write } = newNode(change, capacityBytes);
    await expect(write()).rejects.toMatchObject({ code });
    expect(steps).toEqual([]);
  });

  it('leaves a slot that can not be armed when its payloads can not be had', async () => {
    const { service, partition, records } = newNode();
    const short = async function* (digest: string): AsyncGenerator<Uint8Array> {
      for await (const bytes of layer(digest))
        yield digest === boot.payloads[1].layerDigest ? bytes.subarray(1) : bytes;
    };
    const writing = service.writeSlot('b', signed, short, () => undefined, never);
    await expect(writing).rejects.toMatchObject({ code: 'download-truncated' });
    expect(await records.read('b')).toBeUndefined();
    await expect(service.activate('b', 3, manifestDigest)).rejects.toMatchObject({ code: 'slot-unverified' });
    expect(bootSystemdBoot(partition)).toBe('kaon-a');
  });

  it('finds its room told by the node, the files of the slot among it', async () => {
    const { service, write } = newNode({}, 30_000);
    const before = (await service.readNode()).payloads;
    await write();
    const after = (await service.readNode()).payloads;
    expect(before).toEqual({ availableBytes: 30_000 - 2 * 512 - 8 * 512, clusterBytes: 512 });
    // The entry that is staged for the slot stays, and takes a cluster.
    expect(after).toEqual({ availableBytes: 30_000 - 3 * 512 - 8 * 512, clusterBytes: 512 });
  });
});
