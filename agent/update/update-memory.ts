import type { CheckResult, Deployment } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';

/** What the runner keeps beside the state, in step with the journal. */
export interface UpdateMemory {
  readonly deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  /** Faults of the agent itself (degraded, state lost): each is a failed required check of a trial. */
  readonly standingFaults: readonly CheckResult[];
}
