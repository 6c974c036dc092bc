import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, EvidenceCollector, Journal, JournalSnapshot, NodeBoot, SlotService } from '../core/ports.ts';
import { lastCommittedSlot, recover } from '../core/recover.ts';
import type { UpdateRules } from '../core/update-events.ts';
import type { SlotName, UpdateState } from '../core/update-state.ts';

/** What the agent knows after its start. */
export interface Started {
  readonly state: UpdateState;
  readonly snapshot: JournalSnapshot;
  readonly node: NodeBoot | undefined;
  /** What could not be read; the agent then runs degraded. */
  readonly faults: readonly ErrorReport[];
  readonly wasLoaderRepaired: boolean;
}

export interface StartPorts {
  readonly journal: Journal;
  readonly slots: SlotService;
  readonly evidence: EvidenceCollector;
  readonly clock: Clock;
  readonly rules: UpdateRules;
  readonly bootId: string;
}

const emptySnapshot: JournalSnapshot = { state: undefined, deployments: {}, boots: [], rebuiltBecause: undefined };

/**
 * Reads the journal and the loader, finds out what the restart meant, saves it, and renews the markers that the loader
 * consumed in booting a proven slot. Rejects only where nothing can be saved or the loader can't be read at all.
 */
export async function start(ports: StartPorts): Promise<Started> {
  const faults: ErrorReport[] = [];
  const snapshot = await ports.journal.load().catch((error: unknown) => {
    faults.push(reportOf(error));
    return emptySnapshot;
  });
  const { node, wasLoaderRepaired } = await readNode(ports, snapshot, faults);
  if (node === undefined) {
    return { state: snapshot.state ?? { phase: 'idle' }, snapshot, node, faults, wasLoaderRepaired };
  }
  const state = await recoverState(ports, snapshot, node);
  if (faults.length === 0) {
    await ports.journal.save({
      state,
      ...(state.phase === 'idle' || state === snapshot.state ? {} : { request: state.update }),
      boot: { bootId: ports.bootId, slot: node.booted, firstSeenAtMs: ports.clock.nowMs(), isEndedCleanly: false },
    });
  }
  // Saved first: what the loader did is judged before its counters change.
  if (isProven(node.booted, state) && node.boot.slots[node.booted].state === 'unrenewed') {
    await ports.slots.markGood(node.booted);
    return { state, snapshot, node: await ports.slots.readNode(), faults, wasLoaderRepaired };
  }
  return { state, snapshot, node, faults, wasLoaderRepaired };
}

async function recoverState(ports: StartPorts, snapshot: JournalSnapshot, node: NodeBoot): Promise<UpdateState> {
  const evidence = await ports.evidence.collect(0);
  return recover(ports.rules, snapshot.state, {
    booted: node.booted,
    bootId: ports.bootId,
    boot: node.boot,
    deployments: snapshot.deployments,
    evidence: evidence.items,
    areAllTriesPowerLoss: evidence.areAllTriesPowerLoss,
    monotonicMs: ports.clock.monotonicMs(),
    atMs: ports.clock.nowMs(),
  });
}

async function readNode(
  ports: StartPorts,
  snapshot: JournalSnapshot,
  faults: ErrorReport[],
): Promise<{ node: NodeBoot | undefined; wasLoaderRepaired: boolean }> {
  try {
    return { node: await ports.slots.readNode(), wasLoaderRepaired: false };
  } catch (error) {
    const report = reportOf(error);
    if (report.code !== 'boot-env-corrupt') {
      faults.push(report);
      return { node: undefined, wasLoaderRepaired: false };
    }
  }
  try {
    await ports.slots.repairLoader(hasProvenOther(snapshot));
    return { node: await ports.slots.readNode(), wasLoaderRepaired: true };
  } catch (error) {
    faults.push(reportOf(error));
    return { node: undefined, wasLoaderRepaired: false };
  }
}

/** Whether each slot's deployment was committed and is not what the journalled update works on. */
function hasProvenOther(snapshot: JournalSnapshot): boolean {
  const { state, deployments } = snapshot;
  const target = state !== undefined && 'target' in state ? state.target?.slot : undefined;
  const proven = (['a', 'b'] as const).filter(
    (slot) => slot !== target && deployments[slot]?.committedAtMs !== undefined,
  );
  return (
    proven.length === 2 || (target !== undefined && lastCommittedSlot(deployments) !== target && proven.length === 1)
  );
}

/** Whether the booted slot is one whose trial is over. */
export function isProven(booted: SlotName, state: UpdateState): boolean {
  switch (state.phase) {
    case 'trial':
    case 'committing':
      return false;
    case 'rolling-back':
      return !state.isTargetBooted;
    case 'writing':
    case 'staged':
    case 'activating':
    case 'activated':
      return state.target.slot !== booted;
    case 'idle':
    case 'preparing':
    case 'cancelling':
      return true;
  }
}
