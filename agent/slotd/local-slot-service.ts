import type { Bootloader } from '../../bootloader/bootloader.ts';
import type { SlotDevices } from '../../partitions/block-device.ts';
import type { CheckpointStore } from '../../partitions/checkpoint.ts';
import type { WriteEstimator } from '../../partitions/reuse/write-estimator.ts';
import type {
  LayerSource,
  PartitionWays,
  PatchOffer,
  SlotWriter,
  WriteProgress,
  WrittenSlot,
} from '../../partitions/slot-writer.ts';
import type { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import { identityBlockers, inactiveSlot, type NodeIdentity, payloadBlockers, sizeBlockers } from '../core/admission.ts';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type {
  NodeBoot,
  PersistentMessages,
  Rebooter,
  RebootPurpose,
  SignedImage,
  SlotService,
  TrustedImage,
  WrittenRecords,
} from '../core/ports.ts';
import { type FollowedRepository, fulfilsFollowed } from '../core/followed-repository.ts';
import type { SignedTime } from '../core/signed-time.ts';
import type { SlotName } from '../core/update-state.ts';
import { type BootPayloads, payloadBytes, stagingProgress } from './boot-payloads.ts';

/** Judges an image in this process and mints the proof that the writer wants. */
export interface MintingPolicy {
  judgeAndMint(signed: SignedImage): { readonly image: TrustedImage; readonly descriptor: TrustedDescriptor };
}

/**
 * The privileged verbs, each with its own checks: what kaond says is not believed. Changes go one after the other.
 */
export class LocalSlotService implements SlotService {
  readonly #booted: SlotName;
  readonly #bootloader: Bootloader;
  readonly #devices: SlotDevices;
  readonly #writer: SlotWriter;
  readonly #policy: MintingPolicy;
  readonly #records: WrittenRecords;
  readonly #checkpoints: Pick<CheckpointStore, 'remove'> | undefined;
  readonly #rebooter: Rebooter;
  readonly #identity: NodeIdentity;
  readonly #messages: PersistentMessages | undefined;
  readonly #payloads: BootPayloads | undefined;
  readonly #signedTime: SignedTime | undefined;
  readonly #followed: FollowedRepository | undefined;
  readonly #estimator: Pick<WriteEstimator, 'estimate'> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #changes = 0;

  constructor(ports: {
    booted: SlotName;
    bootloader: Bootloader;
    devices: SlotDevices;
    writer: SlotWriter;
    policy: MintingPolicy;
    records: WrittenRecords;
    /** Where the writer keeps how far it came; not needed once the slot is written. */
    checkpoints?: Pick<CheckpointStore, 'remove'>;
    /** Where the attested time of what was verified is kept. */
    signedTime?: SignedTime;
    /** Absent where the configuration names the repositories that updates may come from. */
    followed?: FollowedRepository | undefined;
    /** Absent where nothing is known of what the slots hold. */
    estimator?: Pick<WriteEstimator, 'estimate'>;
    rebooter: Rebooter;
    identity: NodeIdentity;
    messages?: PersistentMessages;
    /** Absent where the loader reads the slots themselves. */
    payloads?: BootPayloads | undefined;
  }) {
    this.#booted = ports.booted;
    this.#bootloader = ports.bootloader;
    this.#devices = ports.devices;
    this.#writer = ports.writer;
    this.#policy = ports.policy;
    this.#records = ports.records;
    this.#checkpoints = ports.checkpoints;
    this.#signedTime = ports.signedTime;
    this.#followed = ports.followed;
    this.#estimator = ports.estimator;
    this.#rebooter = ports.rebooter;
    this.#identity = ports.identity;
    this.#messages = ports.messages;
    this.#payloads = ports.payloads;
  }

  async readNode(): Promise<NodeBoot> {
    const [boot, a, b, payloads] = await Promise.all([
      this.#bootloader.readStatus(),
      this.#sizesOf('a'),
      this.#sizesOf('b'),
      this.#payloads?.budget(inactiveSlot(this.#booted), 'plan').catch(reportOf),
    ]);
    const { maxTries, countsProven, armed } = this.#bootloader.capabilities;
    return {
      booted: this.#booted,
      boot,
      maxTries,
      countsProven,
      isArmedAtReboot: armed === 'at-reboot',
      isLoaderTestable: countsProven || this.#bootloader.canary !== undefined,
      ...(this.#followed?.current === undefined ? {} : { followed: this.#followed.current }),
      partitionSizes: { a: a.sizes, b: b.sizes },
      ...(payloads === undefined ? {} : { payloads }),
      ...(a.fault === undefined && b.fault === undefined ? {} : { unreadable: { a: a.fault, b: b.fault } }),
    };
  }

  async repairLoader(isOtherGood: boolean): Promise<boolean> {
    return this.#inTurn(() => this.#bootloader.repair(this.#booted, isOtherGood));
  }

  async writeSlot(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches: readonly PatchOffer[] = [],
  ): Promise<WrittenSlot> {
    const { image, descriptor, isFollowing } = this.#judge(signed);
    return this.#inTurn(async () => {
      await this.#refuseWrite(slot, image);
      // Power lost before: the floor of the time stays where it was. It is never ahead of what was attested.
      if (image.signedAtMs !== undefined) await this.#signedTime?.raise(image.signedAtMs);
      // Power lost before: the next image may be of any repository with a rule, as this one.
      if (!isFollowing) await this.#followed?.follow(signed.image.reference.repository);
      // Power lost here: the slot still holds what it held, and the loader still says so.
      await this.#records.remove(slot);
      // Marked bad before its first byte changes: power lost in all that follows boots the booted slot.
      await this.#bootloader.markBad(slot);
      const staging = this.#payloads === undefined ? 0 : payloadBytes(image);
      const report = (progress: WriteProgress) => {
        onProgress({ ...progress, layerSizeBytes: progress.layerSizeBytes + staging });
      };
      const written = await this.#writer.write(slot, descriptor, layers, report, signal, patches);
      // Power lost here: a complete slot that the loader has nothing to start of; it is written again.
      await this.#payloads?.stage(slot, image, descriptor, layers, stagingProgress(image, written, onProgress), signal);
      // Power lost before: the slot stays bad and is written again. After: it can be activated, and only as this digest.
      await this.#records.save(slot, written);
      // Power lost before: a checkpoint of frames that would be found again, were this image written once more.
      await this.#checkpoints?.remove(slot);
      return written;
    });
  }

  async estimateWrite(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    signal: AbortSignal,
    patches: readonly PatchOffer[],
  ): Promise<readonly PartitionWays[]> {
    const { descriptor } = this.#judge(signed);
    if (this.#changes > 0) {
      throw new AgentError('slot-busy', `cannot estimate the write of slot ${slot}: a change is under way`);
    }
    return this.#inTurn(async () => (await this.#estimator?.estimate(slot, descriptor, layers, signal, patches)) ?? []);
  }

  async activate(slot: SlotName, tries: number, digest: string | undefined): Promise<void> {
    await this.#inTurn(async () => {
      if (slot === this.#booted) {
        throw new AgentError('slot-busy', `cannot activate slot ${slot}: it is booted`);
      }
      const { slots } = await this.#bootloader.readStatus();
      // A good slot passed its own trial, one in trial was let through here before and not written since: every write
      // begins with a bad mark. A bad one must be one that we wrote and read back.
      if (slots[slot].state === 'bad') await this.#refuseUnwritten(slot, digest);
      await this.#bootloader.activate(slot, tries);
    });
  }

  async markGood(slot: SlotName): Promise<void> {
    if (slot !== this.#booted) {
      throw new AgentError(
        'slot-unverified',
        `cannot mark slot ${slot} good: only the booted slot ${this.#booted} can have proven itself`,
      );
    }
    await this.#inTurn(() => this.#bootloader.markGood(slot));
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#inTurn(() => this.#bootloader.markBad(slot));
  }

  async reboot(purpose?: RebootPurpose): Promise<void> {
    await this.#inTurn(async () => {
      // Power lost before: no trial takes place. After: the reboot may still fail, and is then asked for again.
      const argument =
        purpose === undefined
          ? undefined
          : purpose === 'loader-test'
            ? this.#bootloader.canary?.rebootArgument
            : await this.#bootloader.armReboot?.(purpose);
      await this.#rebooter.reboot(argument);
    });
  }

  async armLoaderTest(): Promise<void> {
    await this.#inTurn(async () => {
      const { canary, capabilities } = this.#bootloader;
      if (canary === undefined && !capabilities.countsProven) {
        throw new AgentError(
          'bootloader-unsupported',
          'cannot test the loader: it counts trials alone, and has no mark that it would change in any other boot',
        );
      }
      const { slots, trial } = await this.#bootloader.readStatus();
      const { state } = slots[this.#booted];
      if (state !== 'good' || trial !== undefined) {
        const reason = trial === undefined ? `slot ${this.#booted} is ${state}` : `slot ${trial} is in trial`;
        throw new AgentError('booted-slot-unproven', `cannot test the loader: ${reason} at the loader`);
      }
      await canary?.arm(this.#booted);
    });
  }

  async readLoaderTest(): Promise<boolean | undefined> {
    const result = await this.#inTurn(async () => this.#bootloader.canary?.read(this.#booted));
    return result === undefined ? undefined : result === 'changed';
  }

  async clearLoaderTest(): Promise<void> {
    await this.#inTurn(async () => this.#bootloader.canary?.clear(this.#booted));
  }

  async keepEvidence(text: string): Promise<boolean> {
    return (await this.#messages?.write(text)) ?? false;
  }

  #judge(signed: SignedImage) {
    const judged = this.#policy.judgeAndMint(signed);
    const judge = (one: SignedImage) => this.#policy.judgeAndMint(one);
    return { ...judged, isFollowing: fulfilsFollowed(judge, signed, this.#followed?.current) };
  }

  /** A device that died must not keep the loader from being read: the booted slot still has to be marked good. */
  async #sizesOf(slot: SlotName): Promise<{ sizes: Readonly<Record<string, number>>; fault?: ErrorReport }> {
    try {
      return { sizes: Object.fromEntries(await this.#devices.sizes(slot)) };
    } catch (error) {
      return { sizes: {}, fault: reportOf(error) };
    }
  }

  async #refuseWrite(slot: SlotName, image: TrustedImage): Promise<void> {
    if (slot !== inactiveSlot(this.#booted)) {
      throw new AgentError('slot-busy', `cannot write slot ${slot}: it is booted`);
    }
    const { slots } = await this.#bootloader.readStatus();
    if (slots[this.#booted].state !== 'good') {
      throw new AgentError(
        'booted-slot-unproven',
        `cannot write slot ${slot}: the booted slot ${this.#booted} is ${slots[this.#booted].state} at the loader, so it is no fallback`,
      );
    }
    const sizes = Object.fromEntries(await this.#devices.sizes(slot));
    const budget = await this.#payloads?.budget(slot, 'write');
    const [blocker] = [
      ...identityBlockers(image, this.#identity),
      ...sizeBlockers(image, sizes),
      ...payloadBlockers(image, budget),
    ];
    if (blocker !== undefined) throw new AgentError(blocker.code, blocker.message);
    // Opened once before anything changes: a busy device must not cost the slot its good mark.
    for (const name of Object.keys(sizes)) await (await this.#devices.open(slot, name)).close();
  }

  async #refuseUnwritten(slot: SlotName, digest: string | undefined): Promise<void> {
    const record = await this.#records.read(slot);
    if (record !== undefined && record.manifestDigest === digest) return;
    throw new AgentError(
      'slot-unverified',
      `cannot activate slot ${slot}: ${record === undefined ? 'no image was written to it and read back' : `it holds ${record.manifestDigest}, not ${digest ?? 'an image of unknown digest'}`}`,
    );
  }

  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    this.#changes += 1;
    const turn = this.#turn.then(change).finally(() => (this.#changes -= 1));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
