import { AgentError } from '../core/errors.ts';
import type { FactsData } from '../core/facts.ts';

/**
 * The facts with `sequence` used; to be called in turn with other changes, as two triggers may have been verified side by
 * side. Throws `trigger-replayed`.
 */
export function useSequence(
  data: FactsData,
  keyId: string,
  sequenceKeys: readonly string[],
  sequence: number,
): FactsData {
  const used = new Map(Object.entries(data.triggerSequences));
  for (const sequenceKey of sequenceKeys) {
    const last = used.get(sequenceKey) ?? 0;
    if (sequence <= last) {
      throw new AgentError(
        'trigger-replayed',
        `cannot take the trigger: sequence ${sequence} of key ${keyId} is not above ${last}`,
      );
    }
    used.set(sequenceKey, sequence);
  }
  return { ...data, triggerSequences: Object.fromEntries(used) };
}
