import type { CurrentUpdate, HoldView, LoaderView, ProbationView, SlotView, StatusView, Waiting } from './control.ts';
import type { ErrorReport } from './errors.ts';
import type { FactsData } from './facts.ts';
import type { LinkState } from './metered.ts';
import type { OfferView } from './offers.ts';
import { probationOf } from './probation.ts';
import { proofOf } from './loader-proof.ts';
import type { Deployment, NodeBoot, Transfer, WriteProgress } from './ports.ts';
import type { SlotName, UpdateState } from './update-state.ts';

/** Everything that the status is computed from. */
export interface StatusInput {
  readonly agentVersion: string;
  readonly node: {
    readonly id: string;
    readonly compatible: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly state: UpdateState;
  readonly deployments: Readonly<Partial<Record<SlotName, Deployment>>>;
  readonly boot: NodeBoot | undefined;
  readonly facts: FactsData;
  readonly areFactsLost: boolean;
  readonly waiting: Waiting | undefined;
  readonly progress: WriteProgress | undefined;
  readonly transfer?: Transfer | undefined;
  readonly link?: LinkState | undefined;
  readonly degraded: readonly ErrorReport[];
  readonly startedAtMs: number;
  /** The configured loader with its dialect. */
  readonly loader: string;
  readonly hasLoaderCounted: boolean | undefined;
  readonly offers?: OfferView | undefined;
  readonly nowMs: number;
}

/** The status of the node; what boots is the loader's word, not the journal's. */
export function statusOf(input: StatusInput): StatusView {
  const { state, boot, facts } = input;
  return {
    agentVersion: input.agentVersion,
    nodeId: input.node.id,
    compatible: input.node.compatible,
    labels: input.node.labels,
    phase: state.phase,
    booted: boot?.booted,
    primary: boot?.boot.primary,
    slots: boot === undefined ? [] : (['a', 'b'] as const).map((name) => slotView(name, boot, input.deployments[name])),
    current: currentUpdate(state, input.progress, input.transfer),
    last: state.phase === 'idle' ? state.last : undefined,
    waitingFor: waitingFor(input),
    degraded: distinctFaults([...input.degraded, ...nodeFaults(boot)]),
    knownBad: facts.knownBad,
    rollbackFloor: facts.rollbackFloor,
    holdUntil: activeHold(facts, input.nowMs),
    startedAtMs: input.startedAtMs,
    loader: loaderView(input),
    link: input.link,
    hasLoaderCounted: input.hasLoaderCounted,
    probation: probationView(state),
    offers: input.offers,
    trust: { signedAtMs: facts.signedTimeMs, followed: boot?.followed },
  };
}

/** The update that `state` is of, as people see it; `undefined` in `idle`. */
export function currentUpdate(
  state: UpdateState,
  progress: WriteProgress | undefined,
  transfer: Transfer | undefined,
): CurrentUpdate | undefined {
  if (state.phase === 'idle') return undefined;
  return {
    request: state.update,
    phase: state.phase,
    target: 'target' in state ? state.target : undefined,
    progress,
    transfer,
    pausedAtMs: 'pause' in state ? state.pause.atMs : undefined,
    lastError: 'retry' in state ? state.retry.last : undefined,
  };
}

function probationView(state: UpdateState): ProbationView | undefined {
  const { probation } = probationOf(state);
  if (probation === undefined) return undefined;
  const { update, target, leftMs, alarm } = probation;
  return { updateId: update.id, slot: target.slot, leftMs, alarm };
}

function loaderView({ facts, loader, boot }: StatusInput): LoaderView {
  const proof = proofOf(facts, loader);
  return {
    name: loader,
    isProven: proof?.isProven,
    by: proof?.by,
    provenAtMs: proof?.atMs,
    isTestPending: facts.loaderTest !== undefined,
    isTestable: boot?.isLoaderTestable !== false,
    notes: boot?.boot.notes ?? [],
  };
}

/** Each fault once: the same thing may be met by both daemons, and when the state is opened and when it is read. */
export function distinctFaults(faults: readonly ErrorReport[]): readonly ErrorReport[] {
  return [...new Map(faults.map((fault) => [fault.message, fault])).values()];
}

/** What kaon-slotd says is wrong with the node. */
function nodeFaults(node: NodeBoot | undefined): readonly ErrorReport[] {
  const unreadable = Object.values(node?.unreadable ?? {}).filter((fault) => fault !== undefined);
  return [...(node?.faults ?? []), ...unreadable];
}

/** The hold that is in force at `nowMs`, or `undefined`. */
export function activeHold(facts: FactsData, nowMs: number): HoldView | undefined {
  const { hold } = facts;
  return hold !== undefined && (hold.untilMs === undefined || hold.untilMs > nowMs) ? hold : undefined;
}

/** One slot as people see it. */
export function slotView(name: SlotName, node: NodeBoot, deployment: Deployment | undefined): SlotView {
  const { state, triesLeft } = node.boot.slots[name];
  const shown = state === 'unrenewed' ? 'good' : state === 'bad' && deployment === undefined ? 'empty' : state;
  return {
    name,
    isBooted: node.booted === name,
    isPrimary: node.boot.primary === name,
    state: shown,
    loaderState: state,
    triesLeft,
    deployment,
  };
}

function waitingFor(input: StatusInput): readonly Waiting[] {
  const { state, waiting, facts, nowMs } = input;
  const list: Waiting[] = [];
  if (input.areFactsLost) {
    list.push({
      gate: 'facts',
      code: 'facts-lost',
      text: 'both copies of the security facts are lost; an operator has to confirm before updates go on',
      untilMs: undefined,
    });
  }
  const hold = activeHold(facts, nowMs);
  if (hold !== undefined) {
    list.push({
      gate: 'hold',
      code: 'update-held',
      text: `an operator holds updates: ${hold.reason}`,
      untilMs: hold.untilMs,
    });
  }
  if (waiting !== undefined && waiting.gate !== 'hold') list.push(waiting);
  if ('retry' in state && state.retry.retryAtMs > nowMs) {
    const { attempts, last, retryAtMs } = state.retry;
    list.push({
      gate: 'retry',
      code: last.code,
      text: `attempt ${attempts} failed, the next one follows by itself: ${last.message}`,
      untilMs: retryAtMs,
    });
  }
  return [...list, ...operatorNeeded(state, input.boot)];
}

/** What the update waits for somebody to do. */
function operatorNeeded(state: UpdateState, boot: NodeBoot | undefined): readonly Waiting[] {
  if ('pause' in state) {
    const text = 'paused by the operator; kaonctl resume lets it go on';
    return [{ gate: 'operator', code: 'resume-needed', text, untilMs: undefined }];
  }
  if (state.phase === 'staged' && state.update.until === 'staged') {
    const text = `the image is staged in slot ${state.target.slot}; somebody has to activate it`;
    return [{ gate: 'operator', code: 'activation-needed', text, untilMs: undefined }];
  }
  if (state.phase === 'activated' && state.update.until !== 'committed' && !state.isRebootAsked) {
    return [rebootNeeded(state.target.slot, boot)];
  }
  return [];
}

function rebootNeeded(slot: SlotName, boot: NodeBoot | undefined): Waiting {
  const text =
    boot?.isArmedAtReboot === true
      ? `slot ${slot} is armed; the reboot of kaonctl reboot starts its trial, and no other does`
      : `slot ${slot} is primary; the next reboot starts its trial`;
  return { gate: 'reboot', code: 'reboot-needed', text, untilMs: undefined };
}
