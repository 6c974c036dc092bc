import type { SlotBootState } from '../../bootloader/bootloader.ts';
import type { ErrorCode, ErrorReport } from './errors.ts';
import type { KnownBad, LoaderProof } from './facts.ts';
import type { LinkState } from './metered.ts';
import type { OfferView } from './offers.ts';
import type { ProbationAlarm } from './probation.ts';
import type {
  CheckProgress,
  Deployment,
  EventRecord,
  PartitionWays,
  RollbackRecord,
  Transfer,
  UpdateRecord,
  WriteProgress,
} from './ports.ts';
import type { Outcome, Phase, Provenance, SlotName, Target, Until, UpdateRequest } from './update-state.ts';

/** One thing that the agent waits for, in words. */
export interface Waiting {
  readonly gate: string;
  readonly code: ErrorCode | 'reboot-needed' | 'activation-needed' | 'resume-needed';
  readonly text: string;
  readonly untilMs: number | undefined;
}

/** A slot as the status shows it; what boots is the loader's word. */
export interface SlotView {
  readonly name: SlotName;
  readonly isBooted: boolean;
  readonly isPrimary: boolean;
  /** `empty`: the loader does not boot it and nothing is recorded in it. */
  readonly state: 'good' | 'trial' | 'bad' | 'empty';
  readonly loaderState: SlotBootState['state'];
  readonly triesLeft: number;
  readonly deployment: Deployment | undefined;
}

/** The update under way. */
export interface CurrentUpdate {
  readonly request: UpdateRequest;
  readonly phase: Phase;
  readonly target: Target | undefined;
  readonly progress: WriteProgress | undefined;
  /** What its write moved so far. */
  readonly transfer?: Transfer | undefined;
  /** Since when an operator's pause holds it; absent while it is not paused. */
  readonly pausedAtMs?: number | undefined;
  readonly lastError: ErrorReport | undefined;
}

/** Everything that `GET /v1/status` tells. */
export interface StatusView {
  readonly agentVersion: string;
  readonly nodeId: string;
  readonly compatible: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly phase: Phase;
  /** `undefined` while kaon-slotd or the loader can't be read; `degraded` says why. */
  readonly booted: SlotName | undefined;
  readonly primary: SlotName | undefined;
  readonly slots: readonly SlotView[];
  readonly current: CurrentUpdate | undefined;
  readonly last: Outcome | undefined;
  readonly waitingFor: readonly Waiting[];
  readonly degraded: readonly ErrorReport[];
  readonly knownBad: readonly KnownBad[];
  readonly rollbackFloor: number;
  readonly holdUntil: HoldView | undefined;
  readonly startedAtMs: number;
  readonly loader: LoaderView;
  /** The link, when an update last had to ask whether it is metered; absent where none had to. */
  readonly link?: LinkState | undefined;
  /** `false`: the loader did not count this boot, so a trial would never fall back. Absent when it can't be told. */
  readonly hasLoaderCounted?: boolean | undefined;
  /** The committed slot that is still under watch. */
  readonly probation?: ProbationView | undefined;
  /** What was offered to this node, and since when nothing newer; absent on an agent without its facts. */
  readonly offers?: OfferView | undefined;
  /** What trust decisions of this node depend on beside its files. */
  readonly trust?: TrustView | undefined;
}

/** What trust decisions depend on beside keys and rules. */
export interface TrustView {
  /** The latest attested time of a signature that was verified here: the time is not before it. */
  readonly signedAtMs?: number | undefined;
  /** The repository whose rule each image has to fulfil. */
  readonly followed?: string | undefined;
}

/** A committed slot whose checks go on. */
export interface ProbationView {
  readonly updateId: string;
  readonly slot: SlotName;
  readonly leftMs: number;
  /** What fails, and since when; absent while all is well. */
  readonly alarm?: ProbationAlarm | undefined;
}

/** What is known of the loader's counting. */
export interface LoaderView {
  /** The configured loader with its dialect. */
  readonly name: string;
  /** Whether it was seen to write back; absent while it never showed anything. */
  readonly isProven: boolean | undefined;
  readonly by: LoaderProof['by'] | undefined;
  readonly provenAtMs: number | undefined;
  /** A test was begun, and the next boot shows its result. */
  readonly isTestPending: boolean;
  /** `false`: nothing but a trial can show it. */
  readonly isTestable: boolean;
  /** What an operator should know of the loader besides, in sentences. */
  readonly notes: readonly string[];
}

/** How fast layers may be fetched. */
export interface RateLimitView {
  /** `null`: as fast as they come. */
  readonly bytesPerSecond: number | null;
  readonly by: 'configuration' | 'operator';
}

/** An operator's hold. */
export interface HoldView {
  readonly reason: string;
  /** `undefined`: until it is lifted. */
  readonly untilMs: number | undefined;
}

/** What would happen; nothing was written. */
export interface PlanView {
  readonly image: string;
  readonly digest: string;
  readonly name: string;
  readonly version: string;
  readonly isAlreadyRunning: boolean;
  readonly slot: SlotName;
  readonly trust: {
    readonly rule: string;
    readonly keyIds: readonly string[];
    /** How it was built, where the rule wants that proven. */
    readonly provenance?: Provenance;
  };
  /** The most that is fetched of its layers: what the slots hold already is not. */
  readonly downloadBytes: number;
  readonly writeBytes: number | undefined;
  readonly partitions: readonly {
    readonly name: string;
    readonly layerSizeBytes: number;
    readonly contentSizeBytes: number | undefined;
    readonly partitionSizeBytes: number;
    /** What each way to it would fetch, and the one that would be taken; absent where kaon-slotd was not asked. */
    readonly ways?: Omit<PartitionWays, 'name'> | undefined;
  }[];
  /** Why the update would be refused or would wait; empty when nothing stands in its way. */
  readonly blockers: readonly ErrorReport[];
  /** What an operator should know, such as that no fallback exists while the slot is written. */
  readonly warnings: readonly string[];
}

/** What an update is started with. */
export interface UpdateInput {
  readonly image: string;
  readonly from: string | undefined;
  readonly until: Until;
  readonly requestedBy: 'operator' | 'trigger';
  /** Why it may go below the rollback floor; absent: it may not. */
  readonly downgradeReason?: string;
  /** It may fetch what it needs over a metered link. */
  readonly isMeteredAllowed?: boolean;
}

/** An accepted request. */
export interface Accepted {
  readonly updateId: string;
  /** The same idempotency key asked for this update before. */
  readonly isRepeated: boolean;
}

/** One resource answer: the update with where it stands. */
export interface UpdateView extends UpdateRecord {
  readonly phase: Phase;
  readonly current: CurrentUpdate | undefined;
}

/** The health of the running trial, or of the last one. */
export interface HealthView {
  /** `unknown`: no check ran in this boot. */
  readonly verdict: 'unknown' | 'running' | 'passed' | 'failed';
  readonly updateId: string | undefined;
  readonly checks: readonly CheckProgress[];
}

/** A trigger that was accepted. */
export interface TriggerAccepted extends Accepted {
  readonly keyId: string;
  readonly action: 'stage' | 'activate';
}

/**
 * What the API may ask of the agent. Verbs resolve once the request is saved, not when it is done. They reject with
 * coded errors, `agent-degraded` where the agent can't.
 */
export interface AgentControl {
  status(): Promise<StatusView>;
  /** Grows with every change of the status; for ETags and waiting. */
  statusVersion(): number;
  /** Resolves when the version is above `version`, or the time is over, or the signal aborts. */
  waitForChange(version: number, timeoutMs: number, signal: AbortSignal): Promise<void>;
  plan(input: UpdateInput, signal: AbortSignal): Promise<PlanView>;
  startUpdate(input: UpdateInput, idempotencyKey: string | undefined): Promise<Accepted>;
  update(id: string): Promise<UpdateView>;
  updates(limit: number, beforeId: string | undefined): Promise<readonly UpdateView[]>;
  /** Lets a staged update go on: to `activated`, or with `andReboot` on to its verdict. */
  activate(id: string, andReboot: boolean): Promise<void>;
  cancel(id: string): Promise<void>;
  /** Stops the download, the write or the wait of update `id` and keeps what is done; nothing new where it is paused. */
  pause(id: string): Promise<void>;
  /**
   * Lets a paused update go on where it was; nothing new where it is not paused. With `isMeteredAllowed` it may fetch what it
   * needs over a metered link from now on, paused or not.
   */
  resume(id: string, isMeteredAllowed: boolean): Promise<void>;
  /** Starts a trial of what the other slot holds, as an update of kind `rollback`. */
  startRollback(idempotencyKey: string | undefined): Promise<Accepted>;
  rollbacks(limit: number): Promise<readonly RollbackRecord[]>;
  rollback(id: string): Promise<RollbackRecord | undefined>;
  /**
   * Reboots now, or into the activated slot. Resolves to who holds a plain reboot back, which then comes by itself; that into
   * a slot waits by its update.
   */
  reboot(): Promise<string | undefined>;
  /** Reboots, in the slot that runs, so that the loader shows whether it writes back. */
  testLoader(): Promise<void>;
  markGood(slot: SlotName): Promise<void>;
  markBad(slot: SlotName): Promise<void>;
  health(): HealthView;
  /** Resolves to whether the digest was known bad. */
  clearKnownBad(digest: string): Promise<boolean>;
  /** Confirms that the loss of the facts was looked at. */
  confirmFacts(): Promise<void>;
  hold(): HoldView | undefined;
  setHold(reason: string, untilMs: number | undefined): Promise<void>;
  clearHold(): Promise<void>;
  rateLimit(): RateLimitView;
  /** An operator's word in the place of the configuration's, at once and over restarts; `null`: no limit. */
  setRateLimit(bytesPerSecond: number | null): Promise<void>;
  /** The configuration's limit holds again. */
  clearRateLimit(): Promise<void>;
  trigger(envelope: unknown): Promise<TriggerAccepted>;
  events(afterSequence: number, limit: number): Promise<readonly EventRecord[]>;
  /** Calls `listener` for each event from now on; returns how to stop. */
  onEvent(listener: (event: EventRecord) => void): () => void;
}
