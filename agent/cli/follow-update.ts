import type { OutcomeAnswer, StatusAnswer, UpdateAnswer } from './answers.ts';
import { formatBytes, formatTime } from './format-values.ts';
import { addSample, percentOf, type Progress, rateOf, type Sample } from './progress-bar.ts';

/** What was shown of an update so far. */
export interface FollowState {
  readonly phase: string | undefined;
  readonly slot: string | undefined;
  readonly step: string | undefined;
  /** The last tenth of the bytes that was told. */
  readonly tenth: number;
  readonly isPaused: boolean;
  readonly toldReasons: readonly string[];
  readonly samples: readonly Sample[];
}

/** How following ends. */
export type FollowEnd =
  | { readonly kind: 'reached'; readonly phase: 'staged' | 'activated'; readonly slot: string | undefined }
  | { readonly kind: 'ended'; readonly outcome: OutcomeAnswer };

/** What to show now. */
export interface FollowTurn {
  readonly state: FollowState;
  readonly lines: readonly string[];
  readonly progress: Progress | undefined;
  readonly end: FollowEnd | undefined;
}

/** What is known of the update at one time. */
export interface FollowView {
  readonly status: StatusAnswer;
  readonly update: UpdateAnswer;
  readonly atMonotonicMs: number;
}

export const startOfFollowing: FollowState = {
  phase: undefined,
  slot: undefined,
  step: undefined,
  tenth: 0,
  isPaused: false,
  toldReasons: [],
  samples: [],
};

const pausedLine = 'paused by the operator; let it go on with: kaonctl resume';

const beyond = {
  staged: ['staged', 'activating', 'activated', 'trial', 'committing'],
  activated: ['activated', 'trial', 'committing'],
} as const;

/** What of `view` is new, and whether the update came as far as `wanted`, or ended. */
export function followTurn(
  state: FollowState,
  { status, update, atMonotonicMs }: FollowView,
  wanted: 'staged' | 'activated' | 'committed',
): FollowTurn {
  const { outcome, current } = update;
  if (outcome !== undefined) return { state, lines: [], progress: undefined, end: { kind: 'ended', outcome } };
  if (current === undefined) return { state, lines: [], progress: undefined, end: undefined };
  const { phase, target, progress } = current;
  const slot = target?.slot;
  const lines: string[] = [];
  const isNewPhase = phase !== state.phase;
  if (isNewPhase) lines.push(phaseLine(phase, slot));
  const isPaused = current.pausedAt !== undefined;
  if (isPaused !== state.isPaused) lines.push(isPaused ? pausedLine : 'resumed by the operator');
  const step = progress?.step;
  if (step !== undefined && step !== (isNewPhase ? undefined : state.step) && step !== 'write') {
    lines.push(`writing: ${steps[step] ?? step}`);
  }
  const tenth = progress === undefined ? 0 : Math.floor(percentOf(progress.fetchedBytes, progress.layerSizeBytes) / 10);
  const reasons = reasonsOf(status, update).filter((reason) => !state.toldReasons.includes(reason));
  const samples =
    progress === undefined
      ? []
      : addSample(isNewPhase ? [] : state.samples, { atMs: atMonotonicMs, doneBytes: progress.fetchedBytes });
  const next: FollowState = {
    phase,
    slot,
    step,
    tenth,
    isPaused,
    toldReasons: [...state.toldReasons, ...reasons],
    samples,
  };
  const isReached = wanted !== 'committed' && beyond[wanted].some((one) => one === phase);
  return {
    state: next,
    lines: isReached ? lines : [...lines, ...reasons],
    progress:
      progress?.step === 'write'
        ? {
            label: 'writing',
            doneBytes: progress.fetchedBytes,
            totalBytes: progress.layerSizeBytes,
            bytesPerSecond: rateOf(samples),
          }
        : undefined,
    end: isReached ? { kind: 'reached', phase: wanted, slot } : undefined,
  };
}

/** The line of each full tenth, for who has no progress bar; `undefined` between two of them. */
export function tenthLine(before: FollowState, { state, progress }: FollowTurn): string | undefined {
  const isNewWrite = before.phase !== state.phase || state.tenth < before.tenth;
  if (progress === undefined || state.tenth <= (isNewWrite ? 0 : before.tenth)) return undefined;
  return `writing: ${state.tenth * 10} % (${formatBytes(progress.doneBytes)} of ${formatBytes(progress.totalBytes)})`;
}

/** Whether a daemon that is gone in `phase` is what was asked for: the node reboots. */
export function isRebootExpected(phase: string): boolean {
  return phase === 'activated' || phase === 'trial';
}

/** One phase in words. */
export function phaseLine(phase: string, slot: string | undefined): string {
  const where = slot === undefined ? 'the inactive slot' : `slot ${slot}`;
  switch (phase) {
    case 'preparing':
      return 'preparing: resolving and verifying the image, checking the node';
    case 'writing':
      return `writing: ${where}`;
    case 'staged':
      return `staged: ${where} is written and read back`;
    case 'activating':
      return `activating: the loader is armed for ${where}`;
    case 'activated':
      return `activated: ${where} is tried at the next boot`;
    case 'trial':
      return `trial: ${where} runs, and its health is checked`;
    case 'committing':
      return `committing: ${where} is marked good`;
    case 'cancelling':
      return 'cancelling: the work is undone';
    case 'rolling-back':
      return `rolling back: the node gives up ${where}`;
    default:
      return `${phase}: ${where}`;
  }
}

const steps: Readonly<Record<string, string>> = {
  'read-back': 'reading back what was written',
  finish: 'making the slot complete',
};

function reasonsOf(status: StatusAnswer, update: UpdateAnswer): readonly string[] {
  // Another update may be under way by now.
  if (status.current?.request.id !== update.request.id) return [];
  return [
    ...status.waitingFor
      // Each pause has a line of its own, however often it is paused.
      .filter(({ code }) => code !== 'resume-needed')
      .map(({ text, until }) => `waiting: ${text}${until === undefined ? '' : ` (until ${formatTime(until)})`}`),
    ...status.degraded.map(({ message, code }) => `degraded: ${message} (${code})`),
  ];
}
