import type { BootRecord } from '../core/records.ts';
import type { FallbackSigns, PanicSign, TryFacts } from '../core/rollback-cause.ts';
import type { SlotName } from '../core/update-state.ts';
import type { ResetStatus } from './boot-judgement.ts';
import { type SeenRecord, wordsOf } from './panic-log.ts';

/** What the tries of a trial are told by. */
export interface TrialFacts {
  readonly bootId: string;
  /** The slot that was tried. */
  readonly slot: SlotName;
  /** By the loader; `undefined` where it shows no trial any more. */
  readonly triesUsed: number | undefined;
  /** Every boot that the agent saw, oldest first. */
  readonly boots: readonly BootRecord[];
  /** By boot id, who ended a boot in order, oldest first. */
  readonly orderlyEnds: ReadonlyMap<string, string>;
  readonly resets: ReadonlyMap<string, ResetStatus>;
}

/** The tries of which anything is known: those that the agent saw, and those that only a mark of their end tells of. */
export function triesOf(facts: TrialFacts): readonly TryFacts[] {
  const { bootId, slot, triesUsed, boots, orderlyEnds, resets } = facts;
  const earlier = boots.filter((boot) => boot.bootId !== bootId);
  const isOther = (boot: BootRecord) => boot.slot !== slot;
  const begin = earlier.findLastIndex(isOther) + 1;
  const seen = earlier.slice(begin).slice(-(triesUsed ?? Number.POSITIVE_INFINITY));
  const seenTries = seen.map((boot, index): TryFacts => ({
    bootId: boot.bootId,
    isAgentSeen: true,
    endedBy: endOf(orderlyEnds.get(boot.bootId) ?? (boot.isEndedCleanly ? 'shutdown' : undefined)),
    reset: resets.get(seen[index + 1]?.bootId ?? bootId) ?? 'unknown',
  }));
  return [...unseenTries(facts, earlier.filter(isOther)), ...(triesUsed === 0 ? [] : seenTries)];
}

/** Boots that ended in order after the last known boot of the slot that tried, and in which no agent left its mark. */
function unseenTries({ bootId, boots, orderlyEnds }: TrialFacts, others: readonly BootRecord[]): readonly TryFacts[] {
  const ends = [...orderlyEnds];
  const otherIds = new Set(others.map((boot) => boot.bootId));
  const last = ends.findLastIndex(([id]) => otherIds.has(id));
  if (last < 0) return [];
  const known = new Set([bootId, ...boots.map((boot) => boot.bootId)]);
  return ends
    .slice(last + 1)
    .filter(([id]) => !known.has(id))
    .map(([id, by]) => ({ bootId: id, isAgentSeen: false, endedBy: endOf(by), reset: 'unknown' }));
}

function endOf(by: string | undefined): TryFacts['endedBy'] {
  if (by === undefined) return undefined;
  return by === 'trial-guard' ? 'trial-guard' : 'shutdown';
}

/**
 * The records that the trial left: those that no boot before its second try had seen. The boot of the first try saw what
 * the one before it left, unless an earlier try was seen by nobody.
 */
export function recordsOfTrial(records: readonly SeenRecord[], facts: TrialFacts): readonly SeenRecord[] {
  const tries = triesOf(facts).filter(({ isAgentSeen }) => isAgentSeen);
  const isFirstKnown = facts.triesUsed === undefined || tries.length >= facts.triesUsed;
  const inTrial = new Set([...tries.slice(isFirstKnown ? 1 : 0).map(({ bootId }) => bootId), facts.bootId]);
  return records.filter(({ firstSeenBy }) => firstSeenBy !== undefined && inTrial.has(firstSeenBy));
}

/** The kernel's words for a panic without a root file system or an init (init/do_mounts.c, init/main.c). */
const earlyPanic = /Unable to mount root fs|No working init found|Requested init .{0,200} failed \(error|No init found/;
const anyPanic = /Kernel panic - not syncing|^Panic#\d+ Part/m;

/** What the records that a trial left say; `isKept`: whether a panic would have left one. */
export function panicSignOf(records: readonly SeenRecord[], isKept: boolean): PanicSign {
  if (records.some((record) => earlyPanic.test(wordsOf(record)))) return 'early';
  if (records.some((record) => anyPanic.test(wordsOf(record)))) return 'panic';
  return isKept ? 'none' : 'unknown';
}

/** The signs of a trial. `journalBoot` is the boot that the system's journal has before this one. */
export function signsOf(facts: TrialFacts, panic: PanicSign, journalBoot: string | undefined): FallbackSigns {
  const known = new Set([facts.bootId, ...facts.boots.map(({ bootId }) => bootId)]);
  return {
    tries: triesOf(facts),
    panic,
    hasUnseenUserspace: journalBoot !== undefined && !known.has(journalBoot),
    lastReset: facts.resets.get(facts.bootId) ?? 'unknown',
  };
}
