import { inactiveSlot } from '../core/admission.ts';
import { reportOf } from '../core/errors.ts';
import type { Deployment, PartitionWays, SlotService } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';
import { findPatches, layersOf } from './find-patches.ts';
import type { JudgedImage } from './judge-image.ts';

/** What a write would fetch. */
export interface WriteEstimate {
  readonly ways: readonly PartitionWays[];
  /** What could not be found out, and why, in a sentence. */
  readonly warning?: string;
}

/**
 * What writing the judged image would fetch, as kaon-slotd estimates it. Nothing is asked where nothing would be written,
 * or where no partition has an index. Rejects with the signal's reason alone.
 */
export async function estimateWrite(
  judged: JudgedImage,
  slots: Pick<SlotService, 'estimateWrite'>,
  deployments: Readonly<Partial<Record<SlotName, Deployment>>>,
  signal: AbortSignal,
): Promise<WriteEstimate> {
  const { signed, trusted, node, blockers, isAlreadyRunning } = judged;
  const hasIndex = trusted.partitions.some(({ index }) => index !== undefined);
  if (isAlreadyRunning || blockers.length > 0 || !hasIndex) return { ways: [] };
  const warnings: string[] = [];
  const warn = (what: string, error: unknown) => warnings.push(`${what}: ${reportOf(error).message}`);
  const patches = await findPatches(judged, deployments, signal, (error) => warn('patches are not counted', error));
  const slot = inactiveSlot(node.booted);
  let ways: readonly PartitionWays[] = [];
  try {
    ways = await slots.estimateWrite(slot, signed, layersOf(judged, patches, signal), signal, patches);
  } catch (error) {
    signal.throwIfAborted();
    warn('what is on the node already is not counted', error);
  }
  return warnings.length === 0 ? { ways } : { ways, warning: warnings.join('; ') };
}
