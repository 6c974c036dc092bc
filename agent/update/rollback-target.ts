import { inactiveSlot } from '../core/admission.ts';
import { AgentError } from '../core/errors.ts';
import type { FactsData } from '../core/facts.ts';
import type { Deployment, NodeBoot } from '../core/ports.ts';
import type { SlotName, Target } from '../core/update-state.ts';

/**
 * What an operator's rollback would try: the other slot, which must be good at the loader, not known-bad and not below
 * the floor. Throws `nothing-to-roll-back`, `booted-slot-unproven`, `known-bad` or `downgrade-refused`.
 */
export function rollbackTarget(
  node: NodeBoot,
  deployments: Readonly<Partial<Record<SlotName, Deployment>>>,
  facts: FactsData,
): Target {
  const slot = inactiveSlot(node.booted);
  const { state } = node.boot.slots[slot];
  const deployment = deployments[slot];
  if (state !== 'good' && state !== 'unrenewed') {
    throw new AgentError('nothing-to-roll-back', `cannot roll back: slot ${slot} is ${state} at the loader`);
  }
  if (node.boot.slots[node.booted].state !== 'good') {
    throw new AgentError(
      'booted-slot-unproven',
      `cannot roll back: the booted slot ${node.booted} is not marked good in this boot, so the trial would have no fallback`,
    );
  }
  const bad = facts.knownBad.find(({ digest }) => digest === deployment?.digest);
  if (bad !== undefined) {
    throw new AgentError(
      'known-bad',
      `cannot roll back: slot ${slot} holds ${bad.digest}, which rolled back on this node (${bad.reason})`,
    );
  }
  if (deployment !== undefined && deployment.rollbackIndex < facts.rollbackFloor) {
    throw new AgentError(
      'downgrade-refused',
      `cannot roll back: slot ${slot} holds rollbackIndex ${deployment.rollbackIndex}, this node's floor is ${facts.rollbackFloor}`,
    );
  }
  return {
    slot,
    previous: node.booted,
    digest: deployment?.digest,
    resolvedDigest: undefined,
    version: deployment?.version,
    rollbackIndex: deployment?.rollbackIndex ?? 0,
    keyIds: deployment?.keyIds ?? [],
    rule: deployment?.rule,
  };
}
