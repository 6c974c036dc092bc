import type { UpdateEvent, UpdateRules } from '../../../agent/core/update-events.ts';
import type { Phase, Target, UpdateRequest, UpdateState } from '../../../agent/core/update-state.ts';

export const rules: UpdateRules = {
  tries: 4,
  attempts: 3,
  retryBaseMs: 1_000,
  retryMaxMs: 60_000,
  trialDeadlineMs: 600_000,
  loaderAttempts: 3,
  loaderRetryBaseMs: 2_000,
  loaderRetryMaxMs: 30_000,
};

export const digest = `sha256:${'1'.repeat(64)}`;

export const update: UpdateRequest = {
  id: 'update-1',
  kind: 'install',
  image: 'registry.acme.io/os/edge:v2',
  from: undefined,
  until: 'committed',
  requestedAtMs: 1_000,
  requestedBy: 'operator',
};

export const target: Target = {
  slot: 'b',
  previous: 'a',
  digest,
  resolvedDigest: digest,
  version: '2',
  rollbackIndex: 2,
  keyIds: ['release-1'],
  rule: 'registry.acme.io/os',
};

const targeted = { update, target, isRearmed: false } as const;
const pause = { atMs: 4_000 } as const;
const turning = {
  reason: 'health-failed',
  message: 'check web failed',
  evidence: [],
  cause: { kind: 'check-failed', isInconclusive: false, checks: ['web'] },
} as const;

const baseline = { atMs: 4_500, checks: [{ name: 'web', isPassed: true }] } as const;

const probation = { update: { ...update, id: 'update-0' }, target, leftMs: 600_000 } as const;
const alarm = { atMs: 4_000, message: 'check web failed' } as const;

/** Every phase, with each difference inside it that the machine looks at. */
export const states: readonly (readonly [string, UpdateState])[] = [
  ['idle', { phase: 'idle' }],
  ['idle, in probation', { phase: 'idle', probation }],
  ['idle, in probation that fails', { phase: 'idle', probation: { ...probation, alarm } }],
  ['preparing', { phase: 'preparing', update }],
  ['preparing, in probation', { phase: 'preparing', update, probation }],
  ['preparing, paused', { phase: 'preparing', update, pause }],
  ['writing', { phase: 'writing', ...targeted }],
  ['writing, paused', { phase: 'writing', ...targeted, pause }],
  ['staged', { phase: 'staged', ...targeted }],
  ['staged, until staged', { phase: 'staged', ...targeted, update: { ...update, until: 'staged' } }],
  ['staged, paused', { phase: 'staged', ...targeted, pause }],
  ['activating', { phase: 'activating', ...targeted }],
  ['activating, baseline taken', { phase: 'activating', ...targeted, baseline }],
  ['activated', { phase: 'activated', ...targeted, isRebootAsked: false }],
  [
    'activated, until activated',
    { phase: 'activated', ...targeted, update: { ...update, until: 'activated' }, isRebootAsked: false },
  ],
  ['trial', { phase: 'trial', ...targeted, bootId: 'boot-1', deadlineMonotonicMs: 600_000 }],
  ['committing', { phase: 'committing', ...targeted }],
  ['cancelling', { phase: 'cancelling', update, target }],
  ['cancelling, nothing written', { phase: 'cancelling', update, target: undefined }],
  [
    'rolling-back, not booted',
    { phase: 'rolling-back', ...targeted, ...turning, isTargetBooted: false, step: 'record' },
  ],
  ['rolling-back, booted', { phase: 'rolling-back', ...targeted, ...turning, isTargetBooted: true, step: 'record' }],
  [
    'rolling-back, out of probation',
    { phase: 'rolling-back', ...targeted, ...turning, isTargetBooted: true, step: 'record', probation },
  ],
  ['rolling-back, rebooting', { phase: 'rolling-back', ...targeted, ...turning, isTargetBooted: true, step: 'reboot' }],
];

const atMs = 5_000;
const error = { code: 'registry-unreachable', message: 'cannot reach registry.acme.io: no route' } as const;

const checked = { message: 'check web', evidence: [], watchedMs: 60_000, isFallbackGood: true, atMs } as const;

/** Every event, with each difference inside it that the machine looks at. */
export const events: readonly (readonly [string, UpdateEvent])[] = [
  ['update-requested', { type: 'update-requested', update, atMs }],
  ['rollback-requested', { type: 'rollback-requested', update: { ...update, kind: 'rollback' }, target, atMs }],
  ['prepared', { type: 'prepared', target, atMs }],
  ['found-running', { type: 'found-running', digest, atMs }],
  ['slot-written', { type: 'slot-written', atMs }],
  ['activation-asked', { type: 'activation-asked', until: 'committed', atMs }],
  ['gates-opened', { type: 'gates-opened', atMs }],
  ['baseline-taken', { type: 'baseline-taken', checks: [{ name: 'gps', isPassed: false }], atMs }],
  ['armed', { type: 'armed', atMs }],
  ['reboot-asked', { type: 'reboot-asked', atMs }],
  ['verdict passed', { type: 'verdict-reached', isPassed: true, message: 'all passed', evidence: [], atMs }],
  ['verdict failed', { type: 'verdict-reached', isPassed: false, message: 'web failed', evidence: [], atMs }],
  ['marked-good', { type: 'marked-good', atMs }],
  ['probation passed', { type: 'probation-checked', ...checked, isPassed: true }],
  ['probation failed', { type: 'probation-checked', ...checked, isPassed: false }],
  ['turned-back', { type: 'turned-back', atMs }],
  ['pause-asked', { type: 'pause-asked', atMs }],
  ['resume-asked', { type: 'resume-asked', atMs }],
  ['resume-asked, metered', { type: 'resume-asked', isMeteredAllowed: true, atMs }],
  ['cancel-asked', { type: 'cancel-asked', atMs }],
  ['cancelled', { type: 'cancelled', atMs }],
  ['effect-failed, retryable', { type: 'effect-failed', error, isRetryable: true, atMs }],
  ['effect-failed, for good', { type: 'effect-failed', error, isRetryable: false, atMs }],
];

/** The state of `name`. */
export function stateNamed(name: string): UpdateState {
  const found = states.find(([known]) => known === name);
  if (found === undefined) throw new Error(`no sample state ${name}`);
  return found[1];
}

/** The event of `name`. */
export function eventNamed(name: string): UpdateEvent {
  const found = events.find(([known]) => known === name);
  if (found === undefined) throw new Error(`no sample event ${name}`);
  return found[1];
}

/** The phase that each state goes to on each event; what is not listed stays as it is. */
export const expected: Readonly<Record<string, Readonly<Record<string, Phase>>>> = {
  idle: { 'update-requested': 'preparing', 'rollback-requested': 'activating' },
  'idle, in probation': {
    'update-requested': 'preparing',
    'rollback-requested': 'activating',
    'probation passed': 'idle',
    'probation failed': 'idle',
  },
  'idle, in probation that fails': {
    'update-requested': 'preparing',
    'rollback-requested': 'activating',
    'probation passed': 'idle',
    'probation failed': 'idle',
  },
  'preparing, in probation': {
    prepared: 'writing',
    'found-running': 'idle',
    'cancel-asked': 'cancelling',
    'pause-asked': 'preparing',
    'resume-asked, metered': 'preparing',
    'effect-failed, retryable': 'preparing',
    'effect-failed, for good': 'idle',
  },
  preparing: {
    prepared: 'writing',
    'found-running': 'idle',
    'cancel-asked': 'cancelling',
    'pause-asked': 'preparing',
    'resume-asked, metered': 'preparing',
    'effect-failed, retryable': 'preparing',
    'effect-failed, for good': 'idle',
  },
  'preparing, paused': {
    prepared: 'writing',
    'found-running': 'idle',
    'cancel-asked': 'cancelling',
    'resume-asked': 'preparing',
    'resume-asked, metered': 'preparing',
  },
  writing: {
    'slot-written': 'staged',
    'cancel-asked': 'cancelling',
    'pause-asked': 'writing',
    'resume-asked, metered': 'writing',
    'effect-failed, retryable': 'writing',
    'effect-failed, for good': 'idle',
  },
  'writing, paused': {
    'slot-written': 'staged',
    'cancel-asked': 'cancelling',
    'resume-asked': 'writing',
    'resume-asked, metered': 'writing',
  },
  staged: {
    'activation-asked': 'staged',
    'gates-opened': 'activating',
    'pause-asked': 'staged',
    'resume-asked, metered': 'staged',
    'cancel-asked': 'cancelling',
  },
  'staged, until staged': {
    'activation-asked': 'staged',
    'pause-asked': 'staged',
    'resume-asked, metered': 'staged',
    'cancel-asked': 'cancelling',
  },
  'staged, paused': { 'resume-asked': 'staged', 'resume-asked, metered': 'staged', 'cancel-asked': 'cancelling' },
  activating: {
    'baseline-taken': 'activating',
    armed: 'activated',
    'cancel-asked': 'rolling-back',
    'effect-failed, retryable': 'activating',
    'effect-failed, for good': 'activating',
  },
  'activating, baseline taken': {
    'baseline-taken': 'activating',
    armed: 'activated',
    'cancel-asked': 'rolling-back',
    'effect-failed, retryable': 'activating',
    'effect-failed, for good': 'activating',
  },
  activated: {
    'activation-asked': 'activated',
    'reboot-asked': 'activated',
    'cancel-asked': 'rolling-back',
    'effect-failed, retryable': 'activated',
    'effect-failed, for good': 'activated',
  },
  'activated, until activated': {
    'activation-asked': 'activated',
    'reboot-asked': 'activated',
    'cancel-asked': 'rolling-back',
    'effect-failed, retryable': 'activated',
    'effect-failed, for good': 'activated',
  },
  trial: {
    'verdict passed': 'committing',
    'verdict failed': 'rolling-back',
    'cancel-asked': 'rolling-back',
    'effect-failed, retryable': 'rolling-back',
    'effect-failed, for good': 'rolling-back',
  },
  committing: {
    'marked-good': 'idle',
    'effect-failed, retryable': 'committing',
    'effect-failed, for good': 'committing',
  },
  cancelling: {
    cancelled: 'idle',
    'effect-failed, retryable': 'cancelling',
    'effect-failed, for good': 'cancelling',
  },
  'cancelling, nothing written': {
    cancelled: 'idle',
    'effect-failed, retryable': 'cancelling',
    'effect-failed, for good': 'cancelling',
  },
  'rolling-back, not booted': {
    'turned-back': 'idle',
    'effect-failed, retryable': 'rolling-back',
    'effect-failed, for good': 'rolling-back',
  },
  'rolling-back, booted': {
    'turned-back': 'rolling-back',
    'effect-failed, retryable': 'rolling-back',
    'effect-failed, for good': 'rolling-back',
  },
  'rolling-back, out of probation': {
    'turned-back': 'rolling-back',
    'effect-failed, retryable': 'rolling-back',
    'effect-failed, for good': 'rolling-back',
  },
  'rolling-back, rebooting': {
    'turned-back': 'rolling-back',
    'effect-failed, retryable': 'rolling-back',
    'effect-failed, for good': 'rolling-back',
  },
};
