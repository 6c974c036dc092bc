import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, EvidenceCollector, Journal, JournalSnapshot, NodeBoot, SlotService } from '../core/ports.ts';
import { hasLoaderCounted } from '../core/loader-counting.ts';
import { looksLikeFallback, recover } from '../core/recover.ts';
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
  /** The booted slot is proven, and its markers could not be renewed: `renewMarkers` has to. */
  readonly isRenewalDue: boolean;
  /** See `hasLoaderCounted` of the core. */
  readonly hasLoaderCounted: boolean | undefined;
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
 * consumed in booting a proven slot. What can't be read or renewed is a fault; rejects only where nothing can be saved.
 */
export async function start(ports: StartPorts): Promise<Started> {
  const faults: ErrorReport[] = [];
  const snapshot = await ports.journal.load().catch((error: unknown) => {
    faults.push(reportOf(error));
    return emptySnapshot;
  });
  const { node, wasLoaderRepaired } = await readNode(ports, snapshot, faults);
  if (node === undefined) {
    const state = snapshot.state ?? { phase: 'idle' as const };
    return { state, snapshot, node, faults, wasLoaderRepaired, isRenewalDue: false, hasLoaderCounted: undefined };
  }
  const state = await recoverState(ports, snapshot, node, wasLoaderRepaired);
  const counted = hasLoaderCounted(node, ports.bootId, snapshot.boots, wasLoaderRepaired);
  if (faults.length === 0) {
    await ports.journal.save({
      state,
      ...(state.phase === 'idle' || state === snapshot.state ? {} : { request: state.update }),
      boot: {
        bootId: ports.bootId,
        slot: node.booted,
        firstSeenAtMs: ports.clock.nowMs(),
        isEndedCleanly: false,
        ...(counted === undefined ? {} : { hasLoaderCounted: counted }),
      },
    });
  }
  // Saved first: what the loader did is judged before its counters change.
  const isDue = isProven(node.booted, state) && node.boot.slots[node.booted].state === 'unrenewed';
  const renewed = isDue ? await renew(ports, node, faults) : node;
  return {
    state,
    snapshot,
    node: renewed ?? node,
    faults,
    wasLoaderRepaired,
    isRenewalDue: renewed === undefined,
    hasLoaderCounted: counted,
  };
}

/** The node with its booted slot's markers renewed; `undefined`, with the fault, where that failed. */
async function renew(ports: StartPorts, node: NodeBoot, faults: ErrorReport[]): Promise<NodeBoot | undefined> {
  try {
    await ports.slots.markGood(node.booted);
    return await ports.slots.readNode();
  } catch (error) {
    faults.push(reportOf(error));
    return undefined;
  }
}

async function recoverState(
  ports: StartPorts,
  snapshot: JournalSnapshot,
  node: NodeBoot,
  wasLoaderRepaired: boolean,
): Promise<UpdateState> {
  const evidence = await ports.evidence.collect(looksLikeFallback(snapshot.state, node));
  return recover(ports.rules, snapshot.state, {
    booted: node.booted,
    bootId: ports.bootId,
    boot: node.boot,
    isArmedAtReboot: node.isArmedAtReboot,
    deployments: snapshot.deployments,
    wasLoaderRepaired,
    evidence: evidence.items,
    areAllTriesPowerLoss: evidence.areAllTriesPowerLoss,
    signs: evidence.signs,
    monotonicMs: ports.clock.monotonicMs(),
    atMs: ports.clock.nowMs(),
  });
}

async function readNode(
  ports: StartPorts,
  snapshot: JournalSnapshot,
  faults: ErrorReport[],
): Promise<{ node: NodeBoot | undefined; wasLoaderRepaired: boolean }> {
  let read: NodeBoot | undefined;
  try {
    read = await ports.slots.readNode();
    if (read.boot.isUntidy !== true) return { node: read, wasLoaderRepaired: false };
  } catch (error) {
    const report = reportOf(error);
    if (report.code !== 'boot-env-corrupt') {
      faults.push(report);
      return { node: undefined, wasLoaderRepaired: false };
    }
  }
  try {
    const wasRepaired = await ports.slots.repairLoader(hasProvenOther(snapshot));
    const node = await ports.slots.readNode();
    return { node, wasLoaderRepaired: wasRepaired || read === undefined };
  } catch (error) {
    faults.push(reportOf(error));
    // What could be read stands, in whatever order it is.
    return { node: read, wasLoaderRepaired: false };
  }
}

/** Whether the slot that does not run is proven, whichever of the two runs: the loader can't be asked. */
function hasProvenOther({ state, deployments }: JournalSnapshot): boolean {
  const target = state !== undefined && 'target' in state ? state.target : undefined;
  switch (state?.phase) {
    case 'writing':
    case 'staged':
    case 'cancelling':
      // The target does not boot, so it is the other slot: half-written, perhaps.
      if (target !== undefined) return false;
      break;
    case 'activating':
    case 'activated':
    case 'trial':
    case 'committing':
    case 'rolling-back':
      // Where the target runs, the other is the fallback that the update began from. Where it does not, what follows
      // from these phases marks the target again.
      return true;
    case 'idle':
    case 'preparing':
    case undefined:
  }
  return deployments.a?.committedAtMs !== undefined && deployments.b?.committedAtMs !== undefined;
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
