import type { KnownBad } from '../core/facts.ts';
import type { CheckResult, RollbackRecord } from '../core/ports.ts';
import { isKnownBadAfter } from '../core/recover.ts';
import { causeOf } from '../core/rollback-cause.ts';
import type { EvidenceItem, InPhase } from '../core/update-state.ts';

/** The record of the rollback that `state` is in, with all its `evidence`. */
export function rollbackRecord(
  state: InPhase<'rolling-back'>,
  evidence: readonly EvidenceItem[],
  atMs: number,
): RollbackRecord {
  const { update, target, reason, message, cause = causeOf(reason) } = state;
  return {
    id: update.id,
    updateId: update.id,
    atMs,
    slot: target.slot,
    digest: target.digest,
    image: update.image,
    reason,
    ...cause,
    message,
    evidence,
  };
}

const shownItems = 6;
const shownChecks = 8;
const nameCharacters = 60;
const textCharacters = 140;

/** What an event tells of the rollback that `state` is in, short enough for every reporter; its record has all of it. */
export function rollbackDetails(state: InPhase<'rolling-back'>): Readonly<Record<string, unknown>> {
  const { update, target, reason, evidence, cause = causeOf(reason) } = state;
  return {
    id: update.id,
    digest: target.digest,
    ...cause,
    ...(cause.checks === undefined ? {} : { checks: cause.checks.slice(0, shownChecks) }),
    evidence: evidence.slice(0, shownItems).map(({ kind, name, text }) => ({
      kind,
      name: name.slice(0, nameCharacters),
      text: (text.split('\n')[0] ?? '').slice(0, textCharacters),
    })),
  };
}

/** What a trial that can't be sure of its state leaves for the slot that comes back: the most important first. */
export function lastWords(
  { update, target }: Pick<InPhase<'rolling-back'>, 'update' | 'target'>,
  why: string,
  faults: readonly CheckResult[],
): string {
  const lines = [
    `kaon gave up slot ${target.slot} in update ${update.id}: ${why}`,
    `image ${update.image} ${target.digest ?? 'of unknown digest'}`,
    ...faults.map(({ output }) => output),
  ];
  return `${lines.join('\n')}\n`;
}

/** What is never tried again after the rollback that `state` is in; `undefined` where the image is not to blame. */
export function knownBadOf(state: InPhase<'rolling-back'>, atMs: number): KnownBad | undefined {
  const { update, target, reason, message, cause = causeOf(reason) } = state;
  if (target.digest === undefined || cause.isInconclusive || !isKnownBadAfter(reason)) return undefined;
  return { digest: target.digest, reason: `${cause.kind}: ${message}`, updateId: update.id, atMs };
}
