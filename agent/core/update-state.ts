import type { SlotName } from '../../bootloader/bootloader.ts';
import type { Baseline } from './baseline.ts';
import type { Probation } from './probation.ts';
import type { ErrorCode, ErrorReport } from './errors.ts';
import type { RollbackCause } from './rollback-cause.ts';

export type { SlotName } from '../../bootloader/bootloader.ts';

/** How far an update goes by itself: it then waits for an operator (`staged`), a reboot (`activated`) or goes on. */
export type Until = 'staged' | 'activated' | 'committed';

/** What was asked for. Saved before it is answered. */
export interface UpdateRequest {
  readonly id: string;
  /** `install` fetches an image; `rollback` activates what the other slot already holds. */
  readonly kind: 'install' | 'rollback';
  /** The image reference as it was asked for. */
  readonly image: string;
  /** Where the bytes come from when not from the registry: `oci:DIR` or `oci-archive:FILE`. */
  readonly from: string | undefined;
  readonly until: Until;
  readonly requestedAtMs: number;
  readonly requestedBy: 'operator' | 'trigger';
  /** An operator lets it fetch over a metered link whatever it needs. */
  readonly isMeteredAllowed?: boolean;
  /** Why an operator lets it go below the rollback floor, in an emergency; absent: it may not. */
  readonly downgradeReason?: string;
}

/** How an image was built, each fact verified (SLSA provenance v1). */
export interface Provenance {
  readonly builderId: string;
  readonly buildType: string;
  readonly sourceRepository: string;
  readonly sourceRef: string | undefined;
  /** The commit that the builder resolved the source to, where it says so. */
  readonly sourceCommit: string | undefined;
  /** The id of the key or identity that vouches for it. */
  readonly signerId: string;
}

/** What an update puts into a slot. */
export interface Target {
  readonly slot: SlotName;
  /** The slot that ran when the update began: the fallback. */
  readonly previous: SlotName;
  /** Digest of the image's manifest. `undefined` only where a trial was found that no record explains. */
  readonly digest: string | undefined;
  /** What the reference resolved to: `digest`, or the digest of the index that names it. */
  readonly resolvedDigest: string | undefined;
  readonly version: string | undefined;
  readonly rollbackIndex: number;
  /** Trust facts for the deployment's record. */
  readonly keyIds: readonly string[];
  readonly rule: string | undefined;
  /** How it was built, where its rule wants that proven. */
  readonly provenance?: Provenance | undefined;
}

/** Why an update goes back. */
export type RollbackReason =
  | 'never-booted' /** the loader used up all tries before the agent of the slot said anything */
  | 'trial-lost' /** the agent was up in the trial, and the node came back in the other slot without a verdict */
  | 'health-failed' /** required checks failed */
  | 'power-lost' /** every try positively ended in a power loss */
  | 'operator' /** an operator cancelled it */
  | 'activation-failed' /** the loader could not be armed */
  | 'mark-good-failed' /** the loader could not be told that the slot is good */
  | 'committed-slot-lost'; /** a committed slot no longer boots and the loader fell back by itself */

/** One piece of evidence: where it is from and what it says, bounded. */
export interface EvidenceItem {
  readonly kind: 'health-check' | 'loader' | 'pstore' | 'journal' | 'boots' | 'units' | 'error';
  readonly name: string;
  readonly text: string;
}

/** How an update ended. */
export interface Outcome {
  readonly updateId: string;
  readonly kind: 'install' | 'rollback';
  readonly result: 'committed' | 'rolled-back' | 'failed' | 'cancelled';
  readonly atMs: number;
  readonly digest: string | undefined;
  /** What went wrong, or `already-running`; absent when all went as asked. */
  readonly code?: ErrorCode;
  readonly message?: string;
}

/** A repeated try of an effect. */
export interface Retry {
  /** How many times the effect failed so far; of a write, since more of it became durable. */
  readonly attempts: number;
  /** The most of a write that was durable at a failure. */
  readonly durableBytes?: number;
  /** Not before this time. */
  readonly retryAtMs: number;
  readonly last: ErrorReport;
}

/** An operator's pause: nothing carries the update on until somebody resumes it, not even a new boot. */
export interface Pause {
  readonly atMs: number;
}

interface Active {
  readonly update: UpdateRequest;
  /** Set while the phase's effect waits to be tried again. */
  readonly retry?: Retry;
}

interface Pausable {
  readonly pause?: Pause;
}

interface Targeted extends Active {
  readonly target: Target;
  /** Power losses in every try re-arm a digest once. */
  readonly isRearmed: boolean;
  /** Set once the slot was written again because its kernel was gone when it was to be armed. */
  readonly isRestaged?: true;
}

interface Watched {
  /** A committed slot is under watch; absent while none is. */
  readonly probation?: Probation | undefined;
}

interface Armable extends Targeted {
  /** What the checks said in the old slot; absent until they were asked, and where an agent that never asked armed it. */
  readonly baseline?: Baseline | undefined;
}

/**
 * Where the agent stands. Saved durably before the effect that it implies is performed.
 * - `idle`: nothing is under way; `last` says how the latest update ended. In probation the checks go on.
 * - `preparing`: resolving, verifying and the preflight; nothing on the node has changed.
 * - `writing`: the inactive slot is marked bad at the loader and being written.
 * - `staged`: written and read back; not bootable; waits for its activation.
 * - `activating`: the checks say how the node is now, and then the loader is being armed.
 * - `activated`: the slot is primary with tries; waits for the reboot.
 * - `trial`: the slot is booted and not yet good; its health is being checked.
 * - `committing`: the verdict is positive; the loader is being told.
 * - `cancelling`: the work of a cancelled update is being undone.
 * - `rolling-back`: the loader is being turned back, and the node rebooted when what is given up is what runs; with
 *   `probation`, that slot was committed before.
 */
export type UpdateState =
  | ({ readonly phase: 'idle'; readonly last?: Outcome } & Watched)
  | ({ readonly phase: 'preparing' } & Active & Pausable & Watched)
  | ({ readonly phase: 'writing' } & Targeted & Pausable)
  | ({ readonly phase: 'staged' } & Targeted & Pausable)
  | ({ readonly phase: 'activating' } & Armable)
  | ({ readonly phase: 'activated'; readonly isRebootAsked: boolean } & Armable)
  | ({ readonly phase: 'trial' } & Armable & Trial)
  | ({ readonly phase: 'committing' } & Armable)
  | ({ readonly phase: 'cancelling'; readonly target: Target | undefined } & Active & Watched)
  | ({ readonly phase: 'rolling-back' } & Targeted & RollingBack & Watched);

interface Trial {
  readonly bootId: string;
  /** On the monotonic clock of the boot `bootId`: the wall clock may jump from 1970 to today in a trial. */
  readonly deadlineMonotonicMs: number;
}

interface RollingBack {
  readonly reason: RollbackReason;
  readonly message: string;
  readonly evidence: readonly EvidenceItem[];
  /** Absent in states of agents that did not classify. */
  readonly cause?: RollbackCause;
  /** Whether the slot that is given up is the one that runs, so that a reboot has to follow. */
  readonly isTargetBooted: boolean;
  /**
   * - `record`: write known-bad and the rollback record, then turn the loader back.
   * - `reboot`: the loader is turned back, or can't be; the trial that runs must end.
   */
  readonly step: 'record' | 'reboot';
}

/** The state in one phase. */
export type InPhase<P extends Phase> = Extract<UpdateState, { phase: P }>;

/** The literals that journal, events, metrics, API and CLI share. */
export type Phase = UpdateState['phase'];

/** The phases from the first to the last, as people read them. */
export const phases: readonly Phase[] = [
  'idle',
  'preparing',
  'writing',
  'staged',
  'activating',
  'activated',
  'trial',
  'committing',
  'cancelling',
  'rolling-back',
];
