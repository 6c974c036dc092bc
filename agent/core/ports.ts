import type { BootStatus } from '../../bootloader/bootloader.ts';
import type { IndexBinding } from '../../partitions/block-index/read-index.ts';
import type {
  LayerSource,
  PartitionWays,
  PatchOffer,
  WriteProgress,
  WrittenSlot,
} from '../../partitions/slot-writer.ts';
import type { TrustedBoot } from '../../partitions/trusted-descriptor.ts';
import type { ErrorCode, ErrorReport } from './errors.ts';
import type { FactsData } from './facts.ts';
import type { BootRecord, Deployment, EventRecord, RollbackRecord, Transfer, UpdateRecord } from './records.ts';
import type { ResolvedImage, SignatureEvidence } from './image-source.ts';
import type { Outcome, Provenance, SlotName, UpdateRequest, UpdateState } from './update-state.ts';

export type { Bootloader, BootStatus, SlotBootState } from '../../bootloader/bootloader.ts';
export type {
  ByteRange,
  LayerSource,
  PartitionWays,
  PatchOffer,
  WriteProgress,
  WrittenSlot,
} from '../../partitions/slot-writer.ts';
export type { Provenance } from './update-state.ts';
export type {
  AttestationEnvelope,
  AttestedSignature,
  ImageSource,
  ImageSourceFactory,
  OnEvidenceProblem,
  ResolvedImage,
  SignatureEvidence,
  SigstoreBundle,
  SimpleSignature,
} from './image-source.ts';
export type { CollectedEvidence, EvidenceCollector, PersistentMessages } from './evidence-ports.ts';
export type { Baseline, BaselineCheck } from './baseline.ts';
export type { CheckProgress, CheckResult, HealthChecks, HostProbe, HostReadings } from './health-ports.ts';
export type { RegistryProbe, RegistryReach } from './registry-reach.ts';
export type { BootRecord, Deployment, EventRecord, RollbackRecord, Transfer, UpdateRecord } from './records.ts';

/** Time for the core and the runner. Wall time may jump; deadlines inside one boot use `monotonicMs`. */
export interface Clock {
  /** Wall time, epoch milliseconds. */
  nowMs(): number;
  /** Milliseconds since some fixed point of this boot; never goes back. */
  monotonicMs(): number;
  /** Resolves after `durationMs`; rejects with the signal's reason when it is aborted first. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

/** Randomness: ids and jitter. */
export interface Random {
  /** A fraction in [0, 1). */
  fraction(): number;
  /** A new unique id of lower-case letters, digits and dashes. */
  id(): string;
}

/** The image as it was found, with what is needed to judge it again elsewhere. */
export interface SignedImage {
  readonly image: ResolvedImage;
  readonly signatures: readonly SignatureEvidence[];
}

/** What the trust policy decided, in facts from signed bytes only. */
export interface TrustedImage {
  readonly manifestDigest: string;
  /** The prefix of the rule that applied. */
  readonly rule: string;
  /** Ids of the keys and identities whose signatures counted. */
  readonly keyIds: readonly string[];
  readonly isDowngradeAllowed: boolean;
  readonly name: string;
  readonly version: string;
  readonly compatible: readonly string[];
  readonly rollbackIndex: number;
  readonly minimumAgent: string | undefined;
  readonly agentVersion: string | undefined;
  readonly partitions: readonly {
    readonly name: string;
    readonly layerDigest: string;
    readonly layerSizeBytes: number;
    readonly contentSizeBytes: number | undefined;
    /** The layer that lists its blocks and frames. */
    readonly index?: IndexBinding | undefined;
  }[];
  /** What it brings for a loader that cannot read a slot. */
  readonly boot?: TrustedBoot | undefined;
  /** The latest time that a log or a timestamp authority attests in a signature that counted, if one does. */
  readonly signedAtMs?: number | undefined;
  /** How it was built, where its rule wants that proven. */
  readonly provenance?: Provenance | undefined;
}

/** The trust policy. Throws `trust-rule-missing`, `signature-…`, `signer-untrusted`, `manifest-invalid`. */
export interface TrustPolicy {
  judge(signed: SignedImage): TrustedImage;
}

/** What the payloads of an image may take on the boot partition, in whole clusters of `clusterBytes` each. */
export interface PayloadBudget {
  readonly availableBytes: number;
  readonly clusterBytes: number;
}

/** What slotd says of the node: what booted, what the loader says, how large the slots' partitions are. */
export interface NodeBoot {
  readonly booted: SlotName;
  readonly boot: BootStatus;
  readonly maxTries: number;
  /** Whether only the reboot that kaon makes starts a trial. */
  readonly isArmedAtReboot?: boolean | undefined;
  /** Whether each boot of a proven slot shows that the loader counts. */
  readonly countsProven?: boolean | undefined;
  /** Whether anything but a trial can show that the loader counts. */
  readonly isLoaderTestable?: boolean | undefined;
  /** The repository whose rule each image has to fulfil; absent where there is none. */
  readonly followed?: string | undefined;
  /** Sizes of the partitions that an image has to cover. */
  readonly partitionSizes: Readonly<Record<SlotName, Readonly<Record<string, number>>>>;
  /** Slots with a device that can't be looked at; their sizes are then missing above. */
  readonly unreadable?: Readonly<Partial<Record<SlotName, ErrorReport | undefined>>> | undefined;
  /** The room for boot payloads of the slot that does not run, or why there is none; absent where the loader needs none. */
  readonly payloads?: PayloadBudget | ErrorReport | undefined;
  /** Why slotd writes and arms no slot; absent when it does. */
  readonly faults?: readonly ErrorReport[] | undefined;
}

/** The privileged half, as the runner sees it. Each verb may run twice. Rejects with coded errors. */
export interface SlotService {
  readNode(): Promise<NodeBoot>;
  /** Repairs the loader's environment where it can't be read; resolves to whether it did. */
  repairLoader(isOtherGood: boolean): Promise<boolean>;
  /**
   * Verifies `signed` again, marks `slot` bad at the loader, writes and reads it back, and records it as verified. Of
   * `patches` nothing is believed.
   */
  writeSlot(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches?: readonly PatchOffer[],
  ): Promise<WrittenSlot>;
  /**
   * What each way to the partitions of `signed`, verified again, would fetch for `slot`. Changes nothing. Rejects with
   * `slot-busy` while a change is under way.
   */
  estimateWrite(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    signal: AbortSignal,
    patches: readonly PatchOffer[],
  ): Promise<readonly PartitionWays[]>;
  /** Arms `slot`. A slot that the loader holds for bad must have been written and verified as `digest`. */
  activate(slot: SlotName, tries: number, digest: string | undefined): Promise<void>;
  markGood(slot: SlotName): Promise<void>;
  markBad(slot: SlotName): Promise<void>;
  /**
   * Starts the reboot; the process is ended soon after it resolves. With a slot as its purpose, the one that starts the
   * trial of that slot: a one-shot loader is armed for it as the last act.
   */
  reboot(purpose?: RebootPurpose): Promise<void>;
  /**
   * Sets the mark that the loader changes at the next boot, where each boot does not show anyhow that it counts. Rejects
   * with `bootloader-unsupported` where only a trial can show it.
   */
  armLoaderTest(): Promise<void>;
  /** Whether the loader changed the mark; `undefined` where each boot shows that it counts. */
  readLoaderTest(): Promise<boolean | undefined>;
  /** Removes the mark. */
  clearLoaderTest(): Promise<void>;
  /**
   * Keeps `text`, at most 4 KiB of it, over the reset where the kernel can, for a trial that has no directory for its state.
   * Resolves to whether it was taken.
   */
  keepEvidence(text: string): Promise<boolean>;
}

/** What a reboot is to start besides a boot: the trial of a slot, or the boot that shows whether the loader counts. */
export type RebootPurpose = SlotName | 'loader-test';

/** Starts a reboot. Rejects with `reboot-failed`. */
export interface Rebooter {
  /** `argument` is handed on to the firmware (reboot(2), LINUX_REBOOT_CMD_RESTART2). */
  reboot(argument?: string): Promise<void>;
}

/** kaon-slotd's own word that it wrote and read back an image, kept where kaond can't write. */
export interface WrittenRecords {
  read(slot: SlotName): Promise<WrittenSlot | undefined>;
  /** Durable when it resolves. */
  remove(slot: SlotName): Promise<void>;
  /** Durable when it resolves; all of it or nothing. */
  save(slot: SlotName, written: WrittenSlot): Promise<void>;
}

/** What changes together, durably, or not at all. */
export interface JournalChange {
  readonly state?: UpdateState;
  readonly request?: UpdateRequest;
  readonly outcome?: Outcome;
  readonly transfer?: { readonly updateId: string; readonly moved: Transfer };
  readonly deployment?: Deployment;
  readonly removeDeployment?: SlotName;
  readonly rollback?: RollbackRecord;
  readonly boot?: BootRecord;
}

/** What the journal knew at start. */
export interface JournalSnapshot {
  /** `undefined` when the journal is new, was rebuilt, or its state was written by an agent that we don't understand. */
  readonly state: UpdateState | undefined;
  readonly deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  readonly boots: readonly BootRecord[];
  /** Why the journal had to be made anew; the old file is kept beside it. */
  readonly rebuiltBecause: string | undefined;
}

/** History that survives power loss. Rejects with `journal-failed`. */
export interface Journal {
  load(): Promise<JournalSnapshot>;
  /** Durable when it resolves; all of `change` or nothing. */
  save(change: JournalChange): Promise<void>;
  /** Durable soon, not at once. Resolves to the event with its sequence. */
  appendEvent(event: Omit<EventRecord, 'sequence'>): Promise<EventRecord>;
  /** Newest first. */
  updates(limit: number, beforeId?: string): Promise<readonly UpdateRecord[]>;
  update(id: string): Promise<UpdateRecord | undefined>;
  /** Newest first. */
  rollbacks(limit: number): Promise<readonly RollbackRecord[]>;
  rollback(id: string): Promise<RollbackRecord | undefined>;
  /** Oldest first, after `afterSequence`. */
  events(afterSequence: number, limit: number): Promise<readonly EventRecord[]>;
  /** The update that was requested with this key, and the digest of that request's body. */
  idempotencyKey(key: string): Promise<{ readonly updateId: string; readonly bodyDigest: string } | undefined>;
  saveIdempotencyKey(key: string, updateId: string, bodyDigest: string): Promise<void>;
}

/** The security facts: two checksummed copies beside the journal. Rejects with `facts-failed`. */
export interface Facts {
  /** The newest sound copy; `isLost` when a node that had facts has none that can be read. */
  load(): Promise<{ readonly data: FactsData; readonly isLost: boolean }>;
  /** Writes the older copy and makes it durable; the other copy stays whole meanwhile. */
  save(data: FactsData): Promise<void>;
}

/** The answer of a gate. */
export type GateAnswer =
  | { readonly isOpen: true }
  | {
      readonly isOpen: false;
      readonly code: ErrorCode;
      /** One sentence for people. */
      readonly text: string;
      readonly untilMs: number | undefined;
    };

/** Something that an update waits for. Asked before the download, before arming, or both. */
export interface Gate {
  readonly name: string;
  readonly at: readonly ('download' | 'reboot')[];
  ask(update: UpdateRequest): Promise<GateAnswer>;
}

/** Hears what happens: events, metrics, controllers. Must not throw and must not block. */
export interface Reporter {
  report(event: Omit<EventRecord, 'sequence'>): void;
  /** Called often while a slot is written. */
  progress(update: UpdateRequest, progress: WriteProgress): void;
}
