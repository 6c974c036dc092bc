import type { Deployment, NodeBoot } from '../../../agent/core/ports.ts';
import type { SlotName } from '../../../agent/core/update-state.ts';

/** Slot a runs and is proven; slot b holds nothing. */
export const soundNode: NodeBoot = {
  booted: 'a',
  boot: {
    primary: 'a',
    trial: undefined,
    trialTries: 0,
    slots: { a: { state: 'good', triesLeft: 4 }, b: { state: 'bad', triesLeft: 0 } },
  },
  maxTries: 9,
  partitionSizes: { a: { root: 16_384 }, b: { root: 16_384 } },
};

/** `soundNode` with the loader's word on each slot. */
export function nodeWhere(
  a: 'good' | 'unrenewed' | 'trial' | 'bad',
  b: 'good' | 'unrenewed' | 'trial' | 'bad',
): NodeBoot {
  const slots = { a: { state: a, triesLeft: 4 }, b: { state: b, triesLeft: 4 } };
  return { ...soundNode, boot: { ...soundNode.boot, slots } };
}

/** What was installed in `slot`. */
export function deploymentIn(slot: SlotName, facts: Partial<Deployment> = {}): Deployment {
  return {
    slot,
    digest: `sha256:${'2'.repeat(64)}`,
    image: 'registry.acme.io/os/edge:v1',
    version: '1',
    rollbackIndex: 1,
    keyIds: ['release-1'],
    rule: 'registry.acme.io/os',
    updateId: 'update-0',
    writtenAtMs: 10,
    committedAtMs: 20,
    ...facts,
  };
}
