import type { EvidenceCollector } from '../../agent/core/ports.ts';
import type { EvidenceItem } from '../../agent/core/update-state.ts';

/** A node of whose earlier boots nothing outlived them but whether the power went, and what a trial says of itself. */
export function noEvidence(areAllTriesPowerLoss = false, inTrial: readonly EvidenceItem[] = []): EvidenceCollector {
  return {
    collect: async () => ({ items: [], areAllTriesPowerLoss }),
    collectInTrial: async () => inTrial,
  };
}
