import type { Deployment, JournalChange, Transfer } from '../core/ports.ts';
import type { UpdateEvent } from '../core/update-events.ts';
import type { SlotName, Target, UpdateRequest, UpdateState } from '../core/update-state.ts';

type Deployments = Readonly<Partial<Record<SlotName, Deployment>>>;

/**
 * What is saved together with the step from `before` to `after`: the state, and the records that it implies. `moved` is
 * what the update's write moved so far.
 */
export function journalChange(
  before: UpdateState,
  event: UpdateEvent,
  after: UpdateState,
  deployments: Deployments,
  moved?: Transfer,
): JournalChange {
  const change: JournalChange = {
    state: after,
    ...(after.phase === 'idle' && after.last !== undefined ? { outcome: after.last } : {}),
    ...(moved !== undefined && before.phase !== 'idle' ? { transfer: { updateId: before.update.id, moved } } : {}),
  };
  switch (event.type) {
    case 'update-requested':
    case 'rollback-requested':
      return { ...change, request: event.update };
    case 'prepared':
      // A slot that is being written holds nothing that can be told or trusted.
      return after.phase === 'writing' ? { ...change, removeDeployment: after.target.slot } : change;
    case 'slot-written':
      return after.phase === 'staged'
        ? { ...change, deployment: written(after.update, after.target, event.atMs) }
        : change;
    case 'marked-good':
      return before.phase === 'committing'
        ? {
            ...change,
            deployment: committed(before.update, before.target, deployments[before.target.slot], event.atMs),
          }
        : change;
    default:
      return change;
  }
}

/** `deployments` after `change`. */
export function applyDeployments(deployments: Deployments, change: JournalChange): Deployments {
  const kept = (slot: SlotName) => (change.removeDeployment === slot ? undefined : deployments[slot]);
  const put = (slot: SlotName) => (change.deployment?.slot === slot ? change.deployment : kept(slot));
  const [a, b] = [put('a'), put('b')];
  return { ...(a === undefined ? {} : { a }), ...(b === undefined ? {} : { b }) };
}

function written(update: UpdateRequest, target: Target, atMs: number): Deployment {
  return {
    slot: target.slot,
    digest: target.digest,
    image: update.image,
    version: target.version,
    rollbackIndex: target.rollbackIndex,
    keyIds: target.keyIds,
    rule: target.rule,
    ...(target.provenance === undefined ? {} : { provenance: target.provenance }),
    updateId: update.id,
    writtenAtMs: atMs,
    committedAtMs: undefined,
  };
}

function committed(update: UpdateRequest, target: Target, known: Deployment | undefined, atMs: number): Deployment {
  return { ...(known ?? written(update, target, atMs)), committedAtMs: atMs };
}
