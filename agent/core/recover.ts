import type { BootStatus } from '../../bootloader/bootloader.ts';
import { baselineOf, rollingBack } from './endings.ts';
import { keptProbation } from './probation.ts';
import type { Deployment } from './ports.ts';
import { joinEvidence } from './evidence-bounds.ts';
import {
  classifyFallback,
  type FallbackSigns,
  fallbackSentence,
  noSigns,
  type RollbackCause,
} from './rollback-cause.ts';
import type { UpdateRules } from './update-events.ts';
import type { EvidenceItem, InPhase, Outcome, RollbackReason, SlotName, Target, UpdateState } from './update-state.ts';

/** What the agent finds when it starts. */
export interface BootFacts {
  readonly booted: SlotName;
  readonly bootId: string;
  readonly boot: BootStatus;
  /** Whether only the reboot that kaon makes starts a trial. */
  readonly isArmedAtReboot?: boolean | undefined;
  readonly deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  /** Whether the loader's environment was made anew in this boot, so that it may have lost what it was told. */
  readonly wasLoaderRepaired?: boolean | undefined;
  readonly evidence: readonly EvidenceItem[];
  /** Every try of the trial is positively known to have ended in a power loss. */
  readonly areAllTriesPowerLoss: boolean;
  /** What outlived the trial that the loader fell back from; absent where nothing did. */
  readonly signs?: FallbackSigns | undefined;
  readonly monotonicMs: number;
  readonly atMs: number;
}

type TargetedState = Exclude<UpdateState, { phase: 'idle' | 'preparing' | 'cancelling' }>;

/**
 * What a restart meant: the journalled state, corrected by what the loader did. `undefined` stands for a journal that
 * is lost, or that this agent does not understand; then the loader alone is believed.
 */
export function recover(rules: UpdateRules, journalled: UpdateState | undefined, found: BootFacts): UpdateState {
  if (journalled === undefined) return recoverFromLoader(rules, undefined, found);
  switch (journalled.phase) {
    case 'idle': {
      const state = recoverFromLoader(rules, journalled.last, found);
      return state.phase === 'idle' ? { ...state, ...keptProbation(rules, journalled, found.booted) } : state;
    }
    case 'preparing':
      return found.boot.trial === found.booted
        ? recoverFromLoader(rules, undefined, found)
        : withKeptProbation(rules, journalled, found);
    case 'cancelling':
      return withKeptProbation(rules, journalled, found);
    case 'writing':
    case 'staged':
      return recoverUnarmed(rules, journalled, found);
    case 'activating':
    case 'activated':
      return recoverArmed(rules, journalled, found);
    case 'trial':
      return found.booted === journalled.target.slot
        ? inTrial(rules, journalled, found)
        : fellBack(journalled, 'trial-lost', found);
    case 'committing':
      return recoverCommitting(journalled, found);
    case 'rolling-back':
      return recoverRollingBack(journalled, found);
  }
}

/** Whether a trial seems to have ended in the slot that runs: then it is worth asking what outlived it. */
export function looksLikeFallback(
  journalled: UpdateState | undefined,
  { booted, boot }: Pick<BootFacts, 'booted' | 'boot'>,
): boolean {
  if (boot.trial !== undefined && boot.trial !== booted && wasTried(boot, boot.trial)) return true;
  const isOurs = journalled !== undefined && 'target' in journalled && journalled.target?.slot !== booted;
  return isOurs && ['trial', 'committing', 'rolling-back'].includes(journalled.phase);
}

/** The slot of the latest committed deployment, or `undefined` where none is recorded. */
export function lastCommittedSlot(deployments: Readonly<Partial<Record<SlotName, Deployment>>>): SlotName | undefined {
  const committed = [deployments.a, deployments.b].filter((entry) => entry?.committedAtMs !== undefined);
  committed.sort((one, other) => (other?.committedAtMs ?? 0) - (one?.committedAtMs ?? 0));
  return committed[0]?.slot;
}

function withKeptProbation(
  rules: UpdateRules,
  state: InPhase<'preparing' | 'cancelling'>,
  found: BootFacts,
): UpdateState {
  if (state.probation === undefined) return state;
  const { probation: _probation, ...rest } = state;
  return { ...rest, ...keptProbation(rules, state, found.booted) };
}

function otherSlot(slot: SlotName): SlotName {
  return slot === 'a' ? 'b' : 'a';
}

function wasTried(boot: BootStatus, slot: SlotName): boolean {
  return boot.trial === slot && boot.slots[slot].triesLeft < boot.trialTries;
}

function isArmedAndUntried(boot: BootStatus, slot: SlotName): boolean {
  return boot.trial === slot && boot.primary === slot && boot.slots[slot].triesLeft >= boot.trialTries;
}

function inTrial(rules: UpdateRules, state: TargetedState, found: BootFacts): UpdateState {
  if (state.phase === 'trial' && state.bootId === found.bootId) return state;
  const { update, target, isRearmed } = state;
  return {
    phase: 'trial',
    update,
    target,
    isRearmed,
    bootId: found.bootId,
    deadlineMonotonicMs: found.monotonicMs + rules.trialDeadlineMs,
    ...baselineOf(state),
  };
}

function fellBack(state: TargetedState, reason: 'never-booted' | 'trial-lost', found: BootFacts): UpdateState {
  const { update, target, isRearmed } = state;
  if (found.areAllTriesPowerLoss && !isRearmed) {
    return { phase: 'staged', update, target, isRearmed: true };
  }
  const cause = causeOfFallback(found, target.slot, reason === 'trial-lost');
  const evidence = joinEvidence([loaderEvidence(found, target.slot)], found.evidence);
  const why = found.areAllTriesPowerLoss ? 'power-lost' : reason;
  return rollingBack(state, why, fallbackSentence(cause), false, evidence, cause);
}

function causeOfFallback(found: BootFacts, slot: SlotName, wasInTrial: boolean): RollbackCause {
  const { boot, areAllTriesPowerLoss, signs } = found;
  return {
    kind: areAllTriesPowerLoss ? 'power-loss' : classifyFallback(signs ?? noSigns, wasInTrial),
    isInconclusive: areAllTriesPowerLoss,
    ...(boot.trial === slot
      ? { tries: { armed: boot.trialTries, used: boot.trialTries - boot.slots[slot].triesLeft } }
      : {}),
  };
}

/** The way back goes on; in the old slot with what can be found out of the trial only there. */
function recoverRollingBack(state: InPhase<'rolling-back'>, found: BootFacts): UpdateState {
  const isTargetBooted = found.booted === state.target.slot;
  const evidence = isTargetBooted ? state.evidence : joinEvidence(state.evidence, found.evidence);
  return { ...state, step: 'record', isTargetBooted, evidence };
}

function loaderEvidence(found: BootFacts, slot: SlotName): EvidenceItem {
  const { primary, trial, trialTries, slots } = found.boot;
  return {
    kind: 'loader',
    name: `slot ${slot}`,
    text:
      `booted ${found.booted}, primary ${primary ?? 'none'}, trial ${trial ?? 'none'}; ` +
      `slot ${slot} is ${slots[slot].state} with ${slots[slot].triesLeft} of ${trialTries} tries left`,
  };
}

function recoverUnarmed(rules: UpdateRules, state: InPhase<'writing' | 'staged'>, found: BootFacts): UpdateState {
  // The slot is marked bad in these phases. Re-arming after power losses leaves a trial with used-up tries behind.
  if (found.booted !== state.target.slot) return state;
  // Somebody booted it by hand: it is not proven, and a trial is the only way to prove it.
  return state.phase === 'staged'
    ? inTrial(rules, state, found)
    : rollingBack(state, 'trial-lost', 'the slot was booted while it was being written', true, found.evidence);
}

function recoverArmed(rules: UpdateRules, state: InPhase<'activating' | 'activated'>, found: BootFacts): UpdateState {
  const { slot } = state.target;
  if (found.booted === slot) return inTrial(rules, state, found);
  // Repeated only where the target was never tried: else an image that dies before userspace is tried for ever.
  if (wasTried(found.boot, slot)) return fellBack(state, 'never-booted', found);
  if (isArmedAndUntried(found.boot, slot)) return state;
  if (state.phase === 'activating') return state;
  if (found.isArmedAtReboot === true && found.boot.trial === slot) {
    // Power, or a reboot by somebody, came before ours: no trial took place. It is armed again when the gates are open.
    const { update, target, isRearmed } = state;
    return { phase: 'activating', update, target, isRearmed };
  }
  if (found.wasLoaderRepaired === false && found.boot.slots[slot].state === 'bad') {
    // Armed durably, and marked bad since: only an agent that runs in the trial does that, and it could not save why.
    const message = 'the agent of the new slot gave the trial up, and could not keep why: has it the data partition?';
    const cause = { kind: 'agent-degraded', isInconclusive: false } as const;
    const evidence = joinEvidence([loaderEvidence(found, slot)], found.evidence);
    return rollingBack(state, 'trial-lost', message, false, evidence, cause);
  }
  return rollingBack(state, 'activation-failed', 'the loader lost its armed state before the reboot', false, [
    loaderEvidence(found, slot),
  ]);
}

function recoverCommitting(state: InPhase<'committing'>, found: BootFacts): UpdateState {
  if (found.booted === state.target.slot) return state;
  return found.boot.trial === state.target.slot
    ? fellBack(state, 'trial-lost', found)
    : rollingBack(state, 'committed-slot-lost', 'the slot was marked good and no longer boots', false, [
        loaderEvidence(found, state.target.slot),
        ...found.evidence,
      ]);
}

/** A trial, an armed slot or a fallback that no journal explains is judged by the loader's word. */
function recoverFromLoader(rules: UpdateRules, last: Outcome | undefined, found: BootFacts): UpdateState {
  const { boot, booted } = found;
  const other = otherSlot(booted);
  if (boot.trial === booted) return inTrial(rules, unexplained(found, booted), found);
  if (boot.trial === other) {
    return wasTried(boot, other)
      ? fellBack(unexplained(found, other), 'never-booted', found)
      : rollingBack(
          unexplained(found, other),
          'activation-failed',
          'the loader was armed for a slot that no record explains',
          false,
          [loaderEvidence(found, other)],
        );
  }
  const committed = lastCommittedSlot(found.deployments);
  if (committed === other) {
    return rollingBack(
      unexplained(found, other),
      'committed-slot-lost',
      'the committed slot did not boot, and the loader fell back',
      false,
      [loaderEvidence(found, other), ...found.evidence],
    );
  }
  return last === undefined ? { phase: 'idle' } : { phase: 'idle', last };
}

function unexplained(found: BootFacts, slot: SlotName): InPhase<'activated'> {
  const deployment = found.deployments[slot];
  const target: Target = {
    slot,
    previous: otherSlot(slot),
    digest: deployment?.digest,
    resolvedDigest: undefined,
    version: deployment?.version,
    rollbackIndex: deployment?.rollbackIndex ?? 0,
    keyIds: deployment?.keyIds ?? [],
    rule: deployment?.rule,
  };
  return {
    phase: 'activated',
    update: {
      id: deployment?.updateId ?? `found-${found.bootId}`,
      kind: 'install',
      image: deployment?.image ?? 'unknown',
      from: undefined,
      until: 'committed',
      requestedAtMs: found.atMs,
      requestedBy: 'operator',
    },
    target,
    // A power loss re-arms only what the journal knows.
    isRearmed: true,
    isRebootAsked: false,
  };
}

/** Why a rollback's digest is not tried again, or that it may be. */
export function isKnownBadAfter(reason: RollbackReason): boolean {
  switch (reason) {
    case 'never-booted':
    case 'trial-lost':
    case 'health-failed':
      return true;
    // The image is not to blame, or was proven before: an operator, the power, or the storage was.
    case 'power-lost':
    case 'operator':
    case 'activation-failed':
    case 'mark-good-failed':
    case 'committed-slot-lost':
      return false;
  }
}
