import type { RollbackCause } from './rollback-cause.ts';
import type { EvidenceItem, Outcome, Provenance, RollbackReason, SlotName, UpdateRequest } from './update-state.ts';

/** An image that was installed in a slot. */
export interface Deployment {
  readonly slot: SlotName;
  readonly digest: string | undefined;
  readonly image: string;
  readonly version: string | undefined;
  readonly rollbackIndex: number;
  readonly keyIds: readonly string[];
  readonly rule: string | undefined;
  /** How it was built, where its rule wanted that proven. */
  readonly provenance?: Provenance | undefined;
  readonly updateId: string;
  readonly writtenAtMs: number;
  /** When it last passed a trial; `undefined` while it never did. */
  readonly committedAtMs: number | undefined;
}

/** One boot that the agent saw. */
export interface BootRecord {
  readonly bootId: string;
  readonly slot: SlotName;
  readonly firstSeenAtMs: number;
  /** Whether the agent saw this boot end in an orderly way. */
  readonly isEndedCleanly: boolean;
  /** Whether the loader was seen to count this boot; absent when that could not be told. */
  readonly hasLoaderCounted?: boolean | undefined;
}

/** Why an update went back, with what is known. Without a cause where the agent that wrote it did not classify. */
export interface RollbackRecord extends Partial<RollbackCause> {
  readonly id: string;
  readonly updateId: string;
  readonly atMs: number;
  readonly slot: SlotName;
  readonly digest: string | undefined;
  readonly image: string;
  readonly reason: RollbackReason;
  readonly message: string;
  readonly evidence: readonly EvidenceItem[];
}

/** One line of the audit trail. */
export interface EventRecord {
  /** Grows by one; 0 before it is stored. */
  readonly sequence: number;
  readonly atMs: number;
  readonly updateId: string | undefined;
  /** Kebab-case, past tense. */
  readonly kind: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What an update moved, over all the runs of its write. */
export interface Transfer {
  /** Of layers and their indexes, from wherever the image comes. */
  readonly fetchedBytes: number;
  /** Content that was in place in the slot before the update began. */
  readonly keptBytes: number;
  /** Content that came from the booted slot. */
  readonly copiedBytes: number;
  /** Content that was written, copied content in it; more than the image has where a run had to start over. */
  readonly writtenBytes: number;
  /** Whether a run went on where an earlier one was. */
  readonly isResumed: boolean;
}

/** An update as history shows it. */
export interface UpdateRecord {
  readonly request: UpdateRequest;
  readonly outcome: Outcome | undefined;
  /** Absent while nothing was written for it, and of updates of agents that did not count. */
  readonly transfer?: Transfer | undefined;
}
