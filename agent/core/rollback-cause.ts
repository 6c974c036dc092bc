import type { CheckResult } from './ports.ts';
import type { RollbackReason } from './update-state.ts';

/** What made an update go back, as far as anything that outlived it tells. */
export type RollbackKind =
  | 'never-booted' /** the tries ran out, and nothing was ever heard of the slot */
  | 'died-before-userspace' /** the kernel ran, and panicked for want of a root file system or an init */
  | 'kernel-panic' /** the kernel panicked */
  | 'hang' /** the watchdog made a reset */
  | 'agent-absent' /** userspace ran, and the agent never came up in it */
  | 'agent-degraded' /** the agent was there and could not do its duty, or stood still until the guard ended the trial */
  | 'check-failed' /** required health checks failed */
  | 'operator' /** an operator ended it */
  | 'power-loss' /** every try positively ended in a power loss */
  | 'interrupted' /** the agent was up, and the node was shut down in order before the verdict */
  | 'trial-lost' /** the agent was up, and nothing tells why the trial ended */
  | 'loader-failed' /** the loader could not be armed, or could not be told that the slot is good */
  | 'slot-lost'; /** a committed slot no longer boots */

/** Every kind, for readers of records. */
export const rollbackKinds = [
  'never-booted',
  'died-before-userspace',
  'kernel-panic',
  'hang',
  'agent-absent',
  'agent-degraded',
  'check-failed',
  'operator',
  'power-loss',
  'interrupted',
  'trial-lost',
  'loader-failed',
  'slot-lost',
] as const satisfies readonly RollbackKind[];

/** The cause of a rollback, in facts. */
export interface RollbackCause {
  readonly kind: RollbackKind;
  /** It says nothing of the image, which may be tried again. Only ever true of a power loss that is positively known. */
  readonly isInconclusive: boolean;
  /** The tries that the loader was armed with, and those that are gone; absent without a trial. */
  readonly tries?: { readonly armed: number; readonly used: number };
  /** The required checks that failed, in the order of the configuration. */
  readonly checks?: readonly string[];
}

/** What is known of one try of a trial. */
export interface TryFacts {
  readonly bootId: string;
  /** Whether the agent came up in it. */
  readonly isAgentSeen: boolean;
  /** Who ended it in order; `undefined`: it ended abruptly, as far as is known. */
  readonly endedBy: 'shutdown' | 'trial-guard' | undefined;
  /** How the reset that ended it came. */
  readonly reset: 'clear' | 'watchdog' | 'unknown';
}

/**
 * What the records of panics that are new since the trial began say.
 * - `early`: a panic for want of a root file system or an init.
 * - `panic`: any other panic.
 * - `none`: there is a store for them and no new one in it.
 * - `unknown`: nothing would have kept one, or what is there can't be told from older ones.
 */
export type PanicSign = 'none' | 'panic' | 'early' | 'unknown';

/** Everything that outlived a trial which ended in a fallback. */
export interface FallbackSigns {
  /** The tries of which anything is known, oldest first. */
  readonly tries: readonly TryFacts[];
  readonly panic: PanicSign;
  /** The system's journal has a boot of this trial in which the agent left no mark. */
  readonly hasUnseenUserspace: boolean;
  /** How the reset that began this boot, and ended the last try, came. */
  readonly lastReset: TryFacts['reset'];
}

/** Signs of a trial of which nothing is known. */
export const noSigns: FallbackSigns = { tries: [], panic: 'unknown', hasUnseenUserspace: false, lastReset: 'unknown' };

/**
 * The kind of a fallback, from the strongest sign to the weakest: a record of the kernel, a reset by the watchdog, the mark
 * of the guard, traces of userspace, and last what is missing. A sign in any try decides, as later tries end alike or tell
 * less. A power loss is judged elsewhere, over all tries, and comes before this. `wasInTrial`: the journal says that the agent
 * came up in the trial.
 */
export function classifyFallback(signs: FallbackSigns, wasInTrial: boolean): RollbackKind {
  const { tries, panic, hasUnseenUserspace, lastReset } = signs;
  if (panic === 'early') return 'died-before-userspace';
  if (panic === 'panic') return 'kernel-panic';
  if (lastReset === 'watchdog' || tries.some(({ reset }) => reset === 'watchdog')) return 'hang';
  const isAgentSeen = wasInTrial || tries.some((one) => one.isAgentSeen);
  if (tries.some(({ endedBy }) => endedBy === 'trial-guard')) return isAgentSeen ? 'agent-degraded' : 'agent-absent';
  if (isAgentSeen) return tries.some(({ endedBy }) => endedBy === 'shutdown') ? 'interrupted' : 'trial-lost';
  // Whoever was shut down in order, or wrote into the journal, had a userspace.
  return tries.length > 0 || hasUnseenUserspace ? 'agent-absent' : 'never-booted';
}

/** The kind of a rollback whose reason says all that is known of it. */
export function kindOf(reason: RollbackReason): RollbackKind {
  switch (reason) {
    case 'never-booted':
      return 'never-booted';
    case 'trial-lost':
      return 'trial-lost';
    case 'health-failed':
      return 'check-failed';
    case 'power-lost':
      return 'power-loss';
    case 'operator':
      return 'operator';
    case 'activation-failed':
    case 'mark-good-failed':
      return 'loader-failed';
    case 'committed-slot-lost':
      return 'slot-lost';
  }
}

/** The cause of a rollback whose reason says all that is known of it. */
export function causeOf(reason: RollbackReason): RollbackCause {
  return { kind: kindOf(reason), isInconclusive: reason === 'power-lost' };
}

/**
 * The cause of a trial that its verdict ended. A fault of the agent is one, whatever the node's own checks said: they are
 * only as good as who asks them. `faults` are what is wrong with the agent, `checks` the results of the node's checks.
 */
export function causeOfVerdict(faults: readonly CheckResult[], checks: readonly CheckResult[]): RollbackCause {
  const failed = checks
    .filter(({ isRequired, status, excuse }) => isRequired && status === 'failed' && excuse === undefined)
    .map(({ name }) => name);
  return {
    kind: faults.length > 0 ? 'agent-degraded' : 'check-failed',
    isInconclusive: false,
    ...(failed.length === 0 ? {} : { checks: failed }),
  };
}

/** What happened, in a sentence for people. */
export function fallbackSentence({ kind, tries }: RollbackCause): string {
  const used = tries === undefined || tries.used === 0 ? '' : ` (${tries.used} of ${tries.armed} tries used)`;
  switch (kind) {
    case 'never-booted':
      return `the loader used up all tries, and the agent of the new slot never came up${used}`;
    case 'died-before-userspace':
      return `the kernel of the new slot panicked before it had a userspace${used}`;
    case 'kernel-panic':
      return `the kernel panicked in the trial${used}`;
    case 'hang':
      return `the trial hung until the watchdog reset the node${used}`;
    case 'agent-absent':
      return `the new slot came up, and its agent never came up in it${used}`;
    case 'agent-degraded':
      return `the agent of the new slot came up, and the guard had to end the trial${used}`;
    case 'power-loss':
      return `power was lost in every try, twice over${used}`;
    case 'interrupted':
      return `the node was shut down in order in the trial, before its verdict${used}`;
    case 'trial-lost':
    case 'check-failed':
    case 'operator':
    case 'loader-failed':
    case 'slot-lost':
      return `the trial ended without a verdict, and nothing tells why${used}`;
  }
}
