import type { OfferRecord } from './offers.ts';

/** A digest that rolled back on this node. */
export interface KnownBad {
  readonly digest: string;
  readonly reason: string;
  readonly updateId: string;
  readonly atMs: number;
}

/** Whether the loader was seen to write back. */
export interface LoaderProof {
  /** The configured loader with its dialect. */
  readonly loader: string;
  readonly isProven: boolean;
  /** What showed it: a boot of a proven slot, a trial, or the test that an operator asked for. */
  readonly by: 'boot' | 'trial' | 'self-test';
  readonly atMs: number;
}

/** A test of the loader under way: the next boot shows what became of its mark. */
export interface LoaderTest {
  /** The boot in which the mark was set. */
  readonly bootId: string;
  readonly atMs: number;
  /** The result is recorded; only the mark has to be removed. */
  readonly isSettled: boolean;
}

/**
 * What must survive a lost journal. Small, versioned, additive: `extra` keeps the fields of newer agents as they were.
 */
export interface FactsData {
  readonly knownBad: readonly KnownBad[];
  /** Images with a lower rollbackIndex are refused. */
  readonly rollbackFloor: number;
  /** The highest sequence that each trigger key used, by its fingerprint. */
  readonly triggerSequences: Readonly<Record<string, number>>;
  readonly trustGeneration: number;
  /** Grows by one with each slot that is written. */
  readonly installSequence: number;
  /** An operator's hold: no update starts until it is lifted or over. */
  readonly hold: { readonly reason: string; readonly untilMs: number | undefined } | undefined;
  /** Absent while the loader never showed anything. */
  readonly loaderProof?: LoaderProof | undefined;
  readonly loaderTest?: LoaderTest | undefined;
  /** The latest attested time of a signature that was verified here, in epoch milliseconds: it is no earlier than that. */
  readonly signedTimeMs?: number | undefined;
  /** An operator's limit for downloads in the place of the configuration's; `null`: none at all. */
  readonly downloadRate?: { readonly bytesPerSecond: number | null } | undefined;
  /** What was offered to this node, and when it was last news. */
  readonly offers?: OfferRecord | undefined;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The facts of a new node. */
export const emptyFacts: FactsData = {
  knownBad: [],
  rollbackFloor: 0,
  triggerSequences: {},
  trustGeneration: 0,
  installSequence: 0,
  hold: undefined,
  extra: {},
};

/** Most known-bad digests that are kept; the oldest go first. */
export const knownBadLimit = 64;

/** `facts` with `entry` as the newest known-bad digest; an older entry of the same digest is replaced. */
export function addKnownBad(facts: FactsData, entry: KnownBad): FactsData {
  const others = facts.knownBad.filter(({ digest }) => digest !== entry.digest);
  return { ...facts, knownBad: [...others, entry].slice(-knownBadLimit) };
}

/** `facts` without `digest` among the known-bad. */
export function clearKnownBad(facts: FactsData, digest: string): FactsData {
  return { ...facts, knownBad: facts.knownBad.filter((entry) => entry.digest !== digest) };
}

/** `facts` with the floor at least at `rollbackIndex`. */
export function raiseFloor(facts: FactsData, rollbackIndex: number): FactsData {
  return rollbackIndex > facts.rollbackFloor ? { ...facts, rollbackFloor: rollbackIndex } : facts;
}

/** `facts` with the attested time at least at `signedAtMs`. */
export function raiseSignedTime(facts: FactsData, signedAtMs: number | undefined): FactsData {
  return signedAtMs !== undefined && signedAtMs > (facts.signedTimeMs ?? 0)
    ? { ...facts, signedTimeMs: signedAtMs }
    : facts;
}
