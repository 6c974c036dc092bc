import type { FallbackSigns } from './rollback-cause.ts';
import type { EvidenceItem } from './update-state.ts';

/** What is known of the boots before this one. */
export interface CollectedEvidence {
  readonly items: readonly EvidenceItem[];
  /** Whether each of the slot's tries is positively known to have ended in a power loss. */
  readonly areAllTriesPowerLoss: boolean;
  /** Absent where nothing outlived a trial. */
  readonly signs?: FallbackSigns | undefined;
}

/** Collects why boots ended; bounded in bytes and time, never rejects. */
export interface EvidenceCollector {
  /** `isFallback`: a trial seems to have ended in the slot that runs, so that its journal is read, too. */
  collect(isFallback: boolean): Promise<CollectedEvidence>;
  /** What a trial that is given up can say of itself before its reboot. */
  collectInTrial(): Promise<readonly EvidenceItem[]>;
}

/** Words that outlive a reset. */
export interface PersistentMessages {
  /** Resolves to whether the kernel took `text`, or its first 4 KiB; `false` where it has no place for it. Never rejects. */
  write(text: string): Promise<boolean>;
}
