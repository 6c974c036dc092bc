import type { BaselineCheck } from './baseline.ts';
import type { ErrorReport } from './errors.ts';
import type { ProbationRules } from './probation.ts';
import type { RollbackCause } from './rollback-cause.ts';
import type { EvidenceItem, Target, Until, UpdateRequest } from './update-state.ts';

/** What happened, each with when. An event that does not apply to a state leaves it as it is. */
export type UpdateEvent =
  /** Somebody asked for an update. */
  | { readonly type: 'update-requested'; readonly update: UpdateRequest; readonly atMs: number }
  /** An operator asked for a trial of what the other slot holds. */
  | {
      readonly type: 'rollback-requested';
      readonly update: UpdateRequest;
      readonly target: Target;
      readonly atMs: number;
    }
  /** The image is resolved, verified, and passed the preflight. */
  | { readonly type: 'prepared'; readonly target: Target; readonly atMs: number }
  /** The image is what runs, and proven. */
  | { readonly type: 'found-running'; readonly digest: string; readonly atMs: number }
  /** The slot holds the image, read back from the device. */
  | { readonly type: 'slot-written'; readonly atMs: number }
  /** Somebody lets a staged update go on. */
  | { readonly type: 'activation-asked'; readonly until: Until; readonly atMs: number }
  /** Every gate at the reboot is open. */
  | { readonly type: 'gates-opened'; readonly atMs: number }
  /** What the checks say before the loader is armed is known. */
  | { readonly type: 'baseline-taken'; readonly checks: readonly BaselineCheck[]; readonly atMs: number }
  /** The loader is armed. */
  | { readonly type: 'armed'; readonly atMs: number }
  /** Somebody wants the reboot into the activated slot. */
  | { readonly type: 'reboot-asked'; readonly atMs: number }
  /** The health checks of the trial came to their verdict. */
  | {
      readonly type: 'verdict-reached';
      readonly isPassed: boolean;
      readonly message: string;
      readonly evidence: readonly EvidenceItem[];
      /** Of a verdict that did not pass. */
      readonly cause?: RollbackCause;
      readonly atMs: number;
    }
  /** The loader holds the slot for good, and the facts say so, too. */
  | { readonly type: 'marked-good'; readonly atMs: number }
  /** The checks of a slot in probation were run once more. */
  | {
      readonly type: 'probation-checked';
      readonly isPassed: boolean;
      readonly message: string;
      readonly evidence: readonly EvidenceItem[];
      /** Time since the round before, or since the agent began to watch. */
      readonly watchedMs: number;
      /** Whether the loader holds the other slot for good. */
      readonly isFallbackGood: boolean;
      readonly atMs: number;
    }
  /**
   * The rollback is recorded and the loader no longer boots the slot that was given up. `evidence` is what the trial could
   * say of itself before its reboot.
   */
  | { readonly type: 'turned-back'; readonly evidence?: readonly EvidenceItem[]; readonly atMs: number }
  /** Somebody wants the update to stand still. */
  | { readonly type: 'pause-asked'; readonly atMs: number }
  /** Somebody lets an update go on that is paused, or with `isMeteredAllowed` that may not fetch over a metered link. */
  | { readonly type: 'resume-asked'; readonly isMeteredAllowed?: boolean; readonly atMs: number }
  /** Somebody wants the update to end. */
  | { readonly type: 'cancel-asked'; readonly atMs: number }
  /** The work of a cancelled update is undone. */
  | { readonly type: 'cancelled'; readonly atMs: number }
  /** The phase's effect failed. */
  | {
      readonly type: 'effect-failed';
      readonly error: ErrorReport;
      readonly isRetryable: boolean;
      /** Of a write: content that is durable now, and that no later run has to fetch. */
      readonly durableBytes?: number;
      readonly atMs: number;
    };

/** What carries a state forward. Each may run twice and must not mind. */
export type Effect =
  | 'prepare' /** resolve, verify, preflight → `prepared`, `found-running` */
  | 'write-slot' /** mark bad, write, read back → `slot-written` */
  | 'open-gates' /** ask what the reboot waits for → `gates-opened` */
  | 'take-baseline' /** ask the checks how the node is before the update → `baseline-taken` */
  | 'arm' /** make the slot primary with tries → `armed` */
  | 'reboot' /** → a new boot */
  | 'check-health' /** → `verdict-reached` */
  | 'mark-good' /** → `marked-good` */
  | 'watch-health' /** wait, and check the health of a slot in probation → `probation-checked` */
  | 'discard' /** undo a cancelled update's work → `cancelled` */
  | 'turn-back'; /** record, and turn the loader back → `turned-back` */

/** The update rules that the machine obeys. */
export interface UpdateRules {
  /** Tries that a trial is armed with. */
  readonly tries: number;
  /** How often preparing and writing are tried in all; a write begins anew with them when more of it became durable. */
  readonly attempts: number;
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  /** How long a trial has for its verdict. */
  readonly trialDeadlineMs: number;
  /** How often arming, marking good and turning back are tried before the next best thing is done. */
  readonly loaderAttempts: number;
  readonly loaderRetryBaseMs: number;
  readonly loaderRetryMaxMs: number;
  /** Absent: what is committed is watched no more. */
  readonly probation?: ProbationRules | undefined;
}

/**
 * Defaults. 10 min for the verdict leaves 5 to the trial guard; 5 attempts span about 8 min of a bad link. 6 attempts at
 * the loader span a minute, so that a trial of the longest deadline, 12 min, is committed or given up before the guard.
 */
export const defaultRules: UpdateRules = {
  tries: 4,
  attempts: 5,
  retryBaseMs: 15_000,
  retryMaxMs: 15 * 60_000,
  trialDeadlineMs: 10 * 60_000,
  loaderAttempts: 6,
  loaderRetryBaseMs: 2_000,
  loaderRetryMaxMs: 30_000,
};
