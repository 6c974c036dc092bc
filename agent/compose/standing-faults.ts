import type { ErrorReport } from '../core/errors.ts';
import type { CheckResult, TrustPolicy } from '../core/ports.ts';
import type { SignedImages } from '../core/signed-images.ts';
import type { Started } from '../update/start.ts';
import { ownTrustFault } from './own-trust.ts';

/** What fails a trial of this start before any check ran: faults of the agent, and a trust policy that shuts itself out. */
export async function standingFaults(
  { kept, trustAt }: { kept: SignedImages; trustAt: (atMs: number) => Promise<readonly TrustPolicy[]> },
  { state }: Started,
  faults: readonly ErrorReport[],
): Promise<readonly CheckResult[]> {
  const ownTrust = await ownTrustFault(state, kept, trustAt);
  return [...faults.map(standingFault), ...(ownTrust === undefined ? [] : [ownTrust])];
}

/** A fault of the agent as a failed required check of a trial. */
export function standingFault({ code, message }: ErrorReport): CheckResult {
  return {
    name: 'agent',
    isRequired: true,
    status: 'failed',
    attempts: 1,
    durationMs: 0,
    output: `${code}: ${message}`,
  };
}
