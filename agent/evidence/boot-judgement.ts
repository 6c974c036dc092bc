import type { BootRecord } from '../core/records.ts';
import type { SlotName } from '../core/update-state.ts';

/** What the hardware watchdog says of the reset that began a boot. `unknown`: no watchdog that could tell. */
export type ResetStatus = 'clear' | 'watchdog' | 'unknown';

/** What the panic records say. `unknown`: they can't be read, or no backend would have kept one. */
export type PanicStatus = 'none' | 'found' | 'unknown';

/** Everything that the judgement over a fallback rests on. */
export interface FallbackFacts {
  /** The slot in trial and its tries, by the loader; `undefined` without a trial. */
  readonly trial: { readonly slot: SlotName; readonly tries: number; readonly triesLeft: number } | undefined;
  readonly bootId: string;
  /** Every boot that the agent saw, oldest first. */
  readonly boots: readonly BootRecord[];
  /** By boot id, who ended a boot in order (`shutdown`, `trial-guard`), though the agent may not have seen it. */
  readonly orderlyEnds: ReadonlyMap<string, string>;
  /** By boot id, how the reset that began it came. */
  readonly resets: ReadonlyMap<string, ResetStatus>;
  readonly panics: PanicStatus;
}

/**
 * Whether every try of the trial is positively known to have ended in a power loss: the agent left a mark in each, none
 * was shut down in order, the watchdog can tell and was clear at the boot after each, and a panic would have left a
 * record and did not. Anything unknown counts against the image.
 */
export function areAllTriesPowerLoss(facts: FallbackFacts): boolean {
  const { trial, bootId, boots, orderlyEnds, resets, panics } = facts;
  if (trial === undefined || panics !== 'none') return false;
  const triesUsed = trial.tries - trial.triesLeft;
  const earlier = boots.filter((boot) => boot.bootId !== bootId);
  const tries = earlier.slice(-triesUsed);
  if (triesUsed < 1 || tries.length < triesUsed) return false;
  return tries.every((boot, index) => {
    const next = tries[index + 1]?.bootId ?? bootId;
    return (
      boot.slot === trial.slot && !boot.isEndedCleanly && !orderlyEnds.has(boot.bootId) && resets.get(next) === 'clear'
    );
  });
}

/** WDIOF_CARDRESET of linux/watchdog.h: the last reset came from the watchdog. */
const cardReset = 0x20;

/**
 * Reads a watchdog's `bootstatus` and `options` (Documentation/ABI/testing/sysfs-class-watchdog). A driver that does not
 * claim to report resets always says 0, which means nothing.
 */
export function judgeWatchdog(bootStatus: string, options: string): ResetStatus {
  const status = Number(bootStatus.trim());
  const mask = Number(options.trim());
  if (bootStatus.trim() === '' || !Number.isInteger(status) || !Number.isInteger(mask)) return 'unknown';
  if (status !== 0) return 'watchdog';
  return (mask & cardReset) === 0 ? 'unknown' : 'clear';
}
