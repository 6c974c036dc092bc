import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { PartitionWays, SignedImage, TrustedImage, WriteProgress } from '../../../agent/core/ports.ts';
import { LocalSlotService, type MintingPolicy } from '../../../agent/slotd/local-slot-service.ts';
import type { LoaderCanary } from '../../../bootloader/canary.ts';
import { BootloaderError } from '../../../bootloader/errors.ts';
import type { Bootloader, SlotName } from '../../../bootloader/bootloader.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { type DeviceFault, MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryBootloader } from '../../fakes/memory-bootloader.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { writerParts } from '../../fakes/writer-parts.ts';

const content = new Uint8Array(10_000).map((_, at) => at & 0xff);
const contentDigest = digestOf(content);
const manifestDigest = digestOf(new TextEncoder().encode('manifest'));
const never = new AbortController().signal;
const noProgress = () => undefined;

const signed: SignedImage = {
  image: {
    reference: parseReference('registry.acme.io/os/edge:v2'),
    resolvedDigest: manifestDigest,
    indexBytes: undefined,
    manifestDigest,
    manifestBytes: new TextEncoder().encode('manifest'),
    configBytes: new Uint8Array(),
  },
  signatures: [],
};

const trusted: TrustedImage = {
  manifestDigest,
  rule: 'registry.acme.io/os',
  keyIds: ['release-1'],
  isDowngradeAllowed: false,
  name: 'edge',
  version: '2',
  compatible: ['acme-gw-2'],
  rollbackIndex: 0,
  minimumAgent: undefined,
  agentVersion: undefined,
  partitions: [
    { name: 'root', layerDigest: contentDigest, layerSizeBytes: 10_000, contentSizeBytes: 10_000 },
    { name: 'boot', layerDigest: contentDigest, layerSizeBytes: 10_000, contentSizeBytes: 10_000 },
  ],
};

async function* layer(): AsyncGenerator<Uint8Array> {
  yield content;
}

/** A loader whose verbs are steps, too. */
class SteppedBootloader extends MemoryBootloader {
  readonly #take: (name: string) => void;

  constructor(take: (name: string) => void) {
    super();
    this.#take = take;
  }

  override async markBad(slot: SlotName): Promise<void> {
    this.#take(`mark-bad ${slot}`);
    await super.markBad(slot);
  }

  override async activate(slot: SlotName, tries: number): Promise<void> {
    this.#take(`activate ${slot} ${tries}`);
    await super.activate(slot, tries);
  }

  override async markGood(slot: SlotName): Promise<void> {
    this.#take(`mark-good ${slot}`);
    await super.markGood(slot);
  }
}

interface Bench {
  readonly service: LocalSlotService;
  readonly steps: string[];
  readonly bootloader: MemoryBootloader;
  readonly records: MemoryWrittenRecords;
  readonly devices: MemorySlotDevices;
  /** The loader's step that fails, once. */
  failing: string | undefined;
}

function bench(
  options: {
    image?: Partial<TrustedImage>;
    policy?: MintingPolicy;
    booted?: SlotName;
    faults?: readonly DeviceFault[];
    ways?: readonly PartitionWays[];
  } = {},
): Bench {
  const steps: string[] = [];
  const take = (name: string) => {
    steps.push(name);
    if (name !== made.failing) return;
    made.failing = undefined;
    throw new BootloaderError('boot-env-write-failed', 'cannot write the loader: EIO');
  };
  const image = { ...trusted, ...options.image };
  const partitions = image.partitions.map((partition) => ({
    ...partition,
    encoding: 'raw' as const,
    contentDigest: partition.layerDigest,
  }));
  const policy: MintingPolicy = options.policy ?? {
    judgeAndMint: () => ({
      image,
      descriptor: TrustedDescriptor.mintAfterVerification({ manifestDigest, partitions }),
    }),
  };
  const booted = options.booted ?? 'a';
  const bootloader = new SteppedBootloader(take);
  const records = new MemoryWrittenRecords(take);
  const slotPartitions = {
    root: { sizeBytes: 16_384 },
    boot: { sizeBytes: 12_288 },
    data: { sizeBytes: 512, keep: true },
  };
  const devices = new MemorySlotDevices({
    slots: { a: slotPartitions, b: slotPartitions },
    booted,
    beforeStep: take,
    faults: options.faults ?? [],
  });
  const service = new LocalSlotService({
    booted,
    bootloader,
    devices,
    writer: new StreamingSlotWriter({ ...writerParts, devices, bufferBytes: 4096 }),
    policy,
    records,
    rebooter: {
      reboot: async (argument) => {
        take(['reboot', ...(argument === undefined ? [] : [argument])].join(' '));
      },
    },
    identity: { compatible: 'acme-gw-2', agentVersion: '1.4.0' },
    estimator: { estimate: async () => options.ways ?? [] },
  });
  const made: Bench = { service, steps, bootloader, records, devices, failing: undefined };
  return made;
}

function write({ service }: Bench, slot: SlotName = 'b', signal = never): Promise<unknown> {
  return service.writeSlot(slot, signed, layer, noProgress, signal);
}

describe('an estimate of a write', () => {
  const ways = [{ name: 'root', fullBytes: 100, indexBytes: 60, way: 'index' }] as const;

  it('is made of an image that is judged here, and changes nothing', async () => {
    const made = bench({ ways });
    expect(await made.service.estimateWrite('b', signed, layer, never, [])).toEqual(ways);
    expect(made.steps).toEqual([]);
    const judgeAndMint = () => {
      throw new AgentError('signature-missing', 'cannot trust the image: it has no signature');
    };
    const { service } = bench({ ways, policy: { judgeAndMint } });
    await expect(service.estimateWrite('b', signed, layer, never, [])).rejects.toMatchObject({
      code: 'signature-missing',
    });
  });

  it('is not made beside a write, and is again after it', async () => {
    const { service } = bench({ ways });
    const reading = Promise.withResolvers<undefined>();
    async function* slow(): AsyncGenerator<Uint8Array> {
      await reading.promise;
      yield content;
    }
    const writing = service.writeSlot('b', signed, slow, noProgress, never);
    await expect(service.estimateWrite('b', signed, layer, never, [])).rejects.toMatchObject({ code: 'slot-busy' });
    reading.resolve(undefined);
    await writing;
    expect(await service.estimateWrite('b', signed, layer, never, [])).toEqual(ways);
  });
});

describe('writing a slot', () => {
  it('takes the record away, marks the slot bad, writes it, and records it once it is read back', async () => {
    const made = bench();
    const written = await made.service.writeSlot('b', signed, layer, noProgress, never);
    const isWrite = (name: string) => /^(write|zero|flush)/.test(name);
    expect(made.steps.filter((name) => !isWrite(name))).toEqual(['record-remove b', 'mark-bad b', 'record-save b']);
    const [remove, markBad] = ['record-remove b', 'mark-bad b'].map((name) => made.steps.indexOf(name));
    expect([remove, markBad]).toEqual([0, 1]);
    expect(isWrite(made.steps[2] ?? '')).toBe(true);
    expect(made.steps.at(-1)).toBe('record-save b');
    expect(written).toEqual({
      manifestDigest,
      partitions: ['root', 'boot'].map((name) => ({ name, sizeBytes: 10_000, digest: contentDigest })),
    });
    expect(await made.records.read('b')).toEqual(written);
    expect(Buffer.from(made.devices.disk('b', 'root').durableBytes().subarray(0, 10_000)).equals(content)).toBe(true);
  });

  it('may be done twice', async () => {
    const made = bench();
    await write(made);
    await write(made);
    expect(await made.records.read('b')).toMatchObject({ manifestDigest });
  });

  it('tells its progress', async () => {
    const { service } = bench();
    const told: WriteProgress[] = [];
    await service.writeSlot('b', signed, layer, (progress) => told.push(progress), never);
    expect([...new Set(told.map(({ step }) => step))]).toEqual(['write', 'read-back', 'finish']);
  });

  it('touches nothing when this process does not trust the image', async () => {
    const policy: MintingPolicy = {
      judgeAndMint: () => {
        throw new AgentError('signer-untrusted', 'cannot trust the image: no key of the rule signed it');
      },
    };
    const made = bench({ policy });
    await expect(write(made)).rejects.toMatchObject({ code: 'signer-untrusted' });
    expect(made.steps).toEqual([]);
  });

  it('writes what this process verified, whatever the caller named', async () => {
    const made = bench();
    const other = digestOf(new TextEncoder().encode('another manifest'));
    const named = { ...signed, image: { ...signed.image, manifestDigest: other } };
    const written = await made.service.writeSlot('b', named, layer, noProgress, never);
    expect(written.manifestDigest).toBe(manifestDigest);
  });

  it('refuses the booted slot', async () => {
    const made = bench();
    await expect(write(made, 'a')).rejects.toMatchObject({ code: 'slot-busy' });
    expect(made.steps).toEqual([]);
  });

  it('refuses while the booted slot is unproven, so no fallback', async () => {
    const made = bench();
    made.bootloader.boot();
    await expect(write(made)).rejects.toMatchObject({ code: 'booted-slot-unproven' });
    expect(made.steps).toEqual([]);
  });

  it('refuses in a trial', async () => {
    const first = bench();
    await write(first);
    await first.service.activate('b', 4, manifestDigest);
    first.bootloader.boot();
    const inTrial = new LocalSlotService({
      booted: 'b',
      bootloader: first.bootloader,
      devices: first.devices,
      writer: new StreamingSlotWriter({ ...writerParts, devices: first.devices }),
      policy: {
        judgeAndMint: () => ({
          image: trusted,
          descriptor: TrustedDescriptor.mintAfterVerification({ manifestDigest, partitions: [] }),
        }),
      },
      records: first.records,
      rebooter: { reboot: async () => undefined },
      identity: { compatible: 'acme-gw-2', agentVersion: '1.4.0' },
    });
    const from = first.steps.length;
    await expect(inTrial.writeSlot('a', signed, layer, noProgress, never)).rejects.toMatchObject({
      code: 'booted-slot-unproven',
    });
    expect(first.steps).toHaveLength(from);
  });

  it.each([
    ['for another kind of node', { compatible: ['acme-gw-9'] }, 'image-incompatible'],
    ['for a newer agent', { minimumAgent: '2.0.0' }, 'agent-too-old'],
    ['that lacks a partition', { partitions: trusted.partitions.slice(0, 1) }, 'image-incompatible'],
    [
      'that is too large',
      { partitions: trusted.partitions.map((partition) => ({ ...partition, contentSizeBytes: 20_000 })) },
      'slot-too-small',
    ],
  ])('refuses an image %s before anything changes', async (_name, image, code) => {
    const made = bench({ image });
    await expect(write(made)).rejects.toMatchObject({ code });
    expect(made.steps).toEqual([]);
  });

  it('refuses a device that is in use before the slot loses its mark', async () => {
    const made = bench();
    const holder = await made.devices.open('b', 'boot');
    await expect(write(made)).rejects.toMatchObject({ code: 'slot-busy' });
    expect(made.steps).toEqual([]);
    await holder.close();
    await write(made);
  });

  it('writes no byte when the loader cannot be told that the slot is bad', async () => {
    const made = bench();
    made.failing = 'mark-bad b';
    await expect(write(made)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(made.steps).toEqual(['record-remove b', 'mark-bad b']);
    expect(
      made.devices
        .disk('b', 'root')
        .visibleBytes()
        .every((byte) => byte === 0xa5),
    ).toBe(true);
  });

  it.each([
    [
      'the device fails',
      [{ partition: 'root', operation: 'write', nth: 2, errno: 'EIO' }] as const,
      'slot-write-failed',
    ],
    [
      'its read-back fails',
      [{ partition: 'boot', operation: 'read', nth: 1, errno: 'EIO' }] as const,
      'slot-write-failed',
    ],
  ])('leaves a bad slot without a record when %s', async (_name, faults, code) => {
    const made = bench({ faults });
    await expect(write(made)).rejects.toMatchObject({ code });
    expect(await made.records.read('b')).toBeUndefined();
    await expect(made.service.activate('b', 4, manifestDigest)).rejects.toMatchObject({ code: 'slot-unverified' });
  });

  it('forgets the image that the slot held when a later write fails', async () => {
    const made = bench();
    await write(made);
    const cancelling = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield content.subarray(0, 5000);
      cancelling.abort(new AgentError('update-cancelled', 'cannot go on: cancelled'));
      yield content.subarray(5000);
    }
    const writing = made.service.writeSlot('b', signed, endless, noProgress, cancelling.signal);
    await expect(writing).rejects.toMatchObject({ code: 'update-cancelled' });
    await expect(made.service.activate('b', 4, manifestDigest)).rejects.toMatchObject({ code: 'slot-unverified' });
  });

  it('ends with the word of the layer’s source', async () => {
    const made = bench();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield content.subarray(0, 5000);
      throw new AgentError('registry-unreachable', 'cannot reach registry.acme.io: reset');
    }
    await expect(made.service.writeSlot('b', signed, broken, noProgress, never)).rejects.toMatchObject({
      code: 'registry-unreachable',
    });
  });

  it('is taken in turn with other changes', async () => {
    const made = bench();
    const writing = write(made);
    const marking = made.service.markBad('b');
    await Promise.all([writing, marking]);
    expect(made.steps.at(-2)).toBe('record-save b');
    expect(made.steps.at(-1)).toBe('mark-bad b');
  });
});

describe('activating a slot', () => {
  it('arms what was written, and does not mind doing it twice', async () => {
    const made = bench();
    await write(made);
    await made.service.activate('b', 4, manifestDigest);
    await made.service.activate('b', 4, manifestDigest);
    expect(await made.bootloader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', trialTries: 4 });
  });

  it.each([
    ['nothing was written to', false, manifestDigest],
    ['holds another digest', true, contentDigest],
    ['is to hold nobody knows what', true, undefined],
  ])('refuses a bad slot that %s', async (_name, isWritten, digest) => {
    const made = bench();
    if (isWritten) await write(made);
    await expect(made.service.activate('b', 4, digest)).rejects.toMatchObject({ code: 'slot-unverified' });
    expect(made.steps).not.toContain('activate b 4');
  });

  it('refuses the booted slot', async () => {
    const made = bench();
    await expect(made.service.activate('a', 4, undefined)).rejects.toMatchObject({ code: 'slot-busy' });
    expect(made.steps).toEqual([]);
  });

  it('takes a good slot without a record, twice: it passed a trial of its own', async () => {
    const made = bench();
    await made.bootloader.markGood('b');
    await made.bootloader.markGood('a');
    await made.service.activate('b', 4, undefined);
    await made.service.activate('b', 4, undefined);
    expect((await made.bootloader.readStatus()).trial).toBe('b');
  });

  it('passes on what the loader refuses', async () => {
    const made = bench();
    await write(made);
    await expect(made.service.activate('b', 10, manifestDigest)).rejects.toMatchObject({
      code: 'bootloader-unsupported',
    });
    made.bootloader.boot();
    await expect(made.service.activate('b', 4, manifestDigest)).rejects.toMatchObject({
      code: 'boot-fallback-missing',
    });
  });
});

describe('marks', () => {
  it('make the booted slot good, twice, and never the other', async () => {
    const made = bench();
    made.bootloader.boot();
    await made.service.markGood('a');
    await made.service.markGood('a');
    expect((await made.bootloader.readStatus()).slots.a.state).toBe('good');
    await expect(made.service.markGood('b')).rejects.toMatchObject({ code: 'slot-unverified' });
    expect((await made.bootloader.readStatus()).slots.b.state).toBe('bad');
  });

  it('make a slot bad, twice, as long as there is one to fall back to', async () => {
    const made = bench();
    await made.service.markBad('b');
    await made.service.markBad('b');
    await expect(made.service.markBad('a')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    expect((await made.bootloader.readStatus()).slots.a.state).toBe('good');
  });

  it('go on after one that failed', async () => {
    const made = bench();
    made.failing = 'mark-bad b';
    await expect(made.service.markBad('b')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    await made.service.markBad('b');
  });
});

describe('the node', () => {
  it('is what the loader says, with the sizes of what an image has to cover', async () => {
    const { service } = bench();
    expect(await service.readNode()).toEqual({
      booted: 'a',
      boot: {
        primary: 'a',
        trial: undefined,
        trialTries: 0,
        slots: { a: { state: 'good', triesLeft: 4 }, b: { state: 'bad', triesLeft: 0 } },
      },
      maxTries: 9,
      countsProven: true,
      isArmedAtReboot: false,
      isLoaderTestable: true,
      partitionSizes: { a: { root: 16_384, boot: 12_288 }, b: { root: 16_384, boot: 12_288 } },
    });
  });

  it('is read while a slot is written', async () => {
    const made = bench();
    const reading = Promise.withResolvers<undefined>();
    async function* slow(): AsyncGenerator<Uint8Array> {
      await reading.promise;
      yield content;
    }
    const writing = made.service.writeSlot('b', signed, slow, noProgress, never);
    expect((await made.service.readNode()).booted).toBe('a');
    reading.resolve(undefined);
    await writing;
  });

  it('is rebooted', async () => {
    const { service, steps } = bench();
    await service.reboot();
    await service.reboot('b');
    expect(steps).toEqual(['reboot', 'reboot']);
  });

  it('is armed as the last act before the reboot where the loader is armed by it, and only for a trial', async () => {
    const { service, steps, bootloader } = bench();
    const armReboot: Bootloader['armReboot'] = async (slot) => {
      steps.push(`arm ${slot}`);
      return '0 tryboot';
    };
    Object.assign(bootloader, { armReboot });
    await service.reboot('b');
    await service.reboot();
    expect(steps).toEqual(['arm b', 'reboot 0 tryboot', 'reboot']);
  });

  it('is not rebooted when the loader cannot be armed for it', async () => {
    const { service, steps, bootloader } = bench();
    const refuse = async () => Promise.reject(new BootloaderError('boot-env-write-failed', 'cannot write: read-only'));
    Object.assign(bootloader, { armReboot: refuse });
    await expect(service.reboot('b')).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(steps).toEqual([]);
  });
});

describe('a test of the loader', () => {
  function canaryIn(bootloader: MemoryBootloader, steps: string[], result: 'changed' | 'unchanged') {
    const canary: LoaderCanary = {
      rebootArgument: 'test me',
      arm: async (slot) => void steps.push(`arm ${slot}`),
      read: async () => result,
      clear: async (slot) => void steps.push(`clear ${slot}`),
    };
    Object.assign(bootloader, { canary });
  }

  it.each(['changed', 'unchanged'] as const)('sets the mark, reboots, and finds it %s', async (result) => {
    const { service, steps, bootloader } = bench();
    canaryIn(bootloader, steps, result);
    await service.armLoaderTest();
    await service.reboot('loader-test');
    expect(await service.readLoaderTest()).toBe(result === 'changed');
    await service.clearLoaderTest();
    expect(steps).toEqual(['arm a', 'reboot test me', 'clear a']);
  });

  it('needs no mark where each boot shows that the loader counts', async () => {
    const { service, steps } = bench();
    await service.armLoaderTest();
    await service.reboot('loader-test');
    expect(await service.readLoaderTest()).toBeUndefined();
    await service.clearLoaderTest();
    expect(steps).toEqual(['reboot']);
  });

  it('is refused where only a trial shows that the loader counts', async () => {
    const { service, bootloader } = bench();
    const capabilities = { ...bootloader.capabilities, countsProven: false };
    Object.defineProperty(bootloader, 'capabilities', { value: capabilities });
    await expect(service.armLoaderTest()).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    expect((await service.readNode()).isLoaderTestable).toBe(false);
  });

  it('is refused in a trial, in a slot that is not proven, and beside one in trial', async () => {
    const { service, bootloader } = bench();
    await bootloader.activate('b', 4);
    await expect(service.armLoaderTest()).rejects.toMatchObject({ code: 'booted-slot-unproven' });
    const other = bench({ booted: 'b' });
    await expect(other.service.armLoaderTest()).rejects.toMatchObject({ code: 'booted-slot-unproven' });
  });
});

describe('a damaged loader', () => {
  it('fails each verb with its code until it is repaired', async () => {
    const { service, bootloader } = bench();
    bootloader.corrupt();
    await expect(service.readNode()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    await expect(service.markGood('a')).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(await service.repairLoader(false)).toBe(true);
    expect((await service.readNode()).boot).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });

  it('is repaired from the slot that runs, and left alone when it is sound', async () => {
    const { service, bootloader } = bench({ booted: 'b' });
    bootloader.corrupt();
    expect(await service.repairLoader(true)).toBe(true);
    expect(await service.repairLoader(true)).toBe(false);
    expect(await bootloader.readStatus()).toMatchObject({ primary: 'b', slots: { a: { state: 'good' } } });
  });
});
