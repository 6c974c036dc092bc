import type { RollbackKind } from '../../agent/core/rollback-cause.ts';
import { type Behaviour, tries } from './images.ts';
import type { VmResult } from './scenario.ts';

/** A record of a rollback, as kaon's API has it. */
export interface ReadRollback {
  readonly id: string;
  readonly reason: string;
  readonly message: string;
  readonly kind?: string;
  readonly checks?: readonly string[];
  readonly tries?: { readonly armed: number; readonly used: number };
  readonly evidence: readonly { readonly kind: string; readonly name: string; readonly text: string }[];
}

/** What a record must say. */
export interface ExpectedRollback {
  readonly reason: string;
  readonly kind: RollbackKind;
  /** The required checks that failed; absent: the verdict, where there was one, names none. */
  readonly checks?: readonly string[];
  /** Whether the loader used up all tries. */
  readonly areTriesUsedUp: boolean;
  /** Each matches a piece of the evidence, written `kind name: text`. */
  readonly evidence: readonly RegExp[];
}

/** Of a trial that the loader gave up, whatever else is known of it. */
const usedUp = {
  reason: 'never-booted',
  areTriesUsedUp: true,
  evidence: [new RegExp(`^loader slot b: booted a, .* with 0 of ${tries} tries left`)],
} as const;

const byVerdict = { reason: 'health-failed', areTriesUsedUp: false } as const;

/**
 * What an image that behaves so leaves behind. Of a boot without a userspace nothing but the loader's counter is left:
 * the kernel's store of panics is a module here.
 */
export const rollbackOf = {
  panic: { ...usedUp, kind: 'never-booted' },
  'dies-early': { ...usedUp, kind: 'never-booted' },
  hangs: { ...usedUp, kind: 'agent-absent' },
  'no-agent': { ...usedUp, kind: 'agent-absent' },
  'agent-crashes': { ...usedUp, kind: 'agent-absent' },
  // A sign in any try decides.
  'dies-then-hangs': { ...usedUp, kind: 'agent-absent' },
  'absent-then-crashes': { ...usedUp, kind: 'agent-absent' },
  'init-freezes': {
    ...usedUp,
    kind: 'kernel-panic',
    evidence: [...usedUp.evidence, /^pstore [^ ]*: [^]*Software Watchdog Timer expired/],
  },
  'config-refused': { ...byVerdict, kind: 'agent-degraded', evidence: [/^health-check agent: [^]*config-invalid/] },
  unhealthy: {
    ...byVerdict,
    kind: 'check-failed',
    checks: ['well'],
    evidence: [/^health-check well: [^]*exit code 1/],
  },
  cancelled: { reason: 'operator', areTriesUsedUp: false, kind: 'operator', evidence: [] },
  'newer-unhealthy': {
    ...byVerdict,
    kind: 'check-failed',
    checks: ['well'],
    evidence: [/^health-check well: [^]*exit code 1/],
  },
  'unit-fails': {
    ...byVerdict,
    kind: 'check-failed',
    checks: ['edge'],
    evidence: [/^health-check edge: [^]*edge\.service is not active: .*Result=exit-code/, /^units [^]*edge\.service/],
  },
  'greenboot-fails': {
    ...byVerdict,
    kind: 'check-failed',
    checks: ['greenboot'],
    evidence: [/^health-check greenboot: [^]*01-edge\.sh: [^]*the uplink is missing/],
  },
  'breaks-later': {
    ...byVerdict,
    kind: 'check-failed',
    evidence: [/^health-check late: [^]*exit code 1/],
  },
} as const satisfies Partial<Record<Behaviour, ExpectedRollback>>;

/** What holds of the records of a node, which are expected the oldest first. */
export function heldRollbacks(
  { rollbacks, shownRollback }: Pick<VmResult, 'rollbacks' | 'shownRollback'>,
  expected: readonly ExpectedRollback[],
): Readonly<Record<string, boolean>> {
  const read = rollbacks.toReversed();
  const each = expected.map((one, index) => heldRollback(read[index], one, `rollback ${index + 1}`));
  return {
    [`slot a's agent tells ${expected.length} rollbacks (it tells ${read.length})`]: read.length === expected.length,
    'kaonctl shows the newest one as the API does':
      JSON.stringify(shownRollback) === JSON.stringify(rollbacks[0] ?? null),
    ...Object.fromEntries(each.flatMap((held) => Object.entries(held))),
  };
}

function heldRollback(
  read: ReadRollback | undefined,
  expected: ExpectedRollback,
  name: string,
): Readonly<Record<string, boolean>> {
  const { kind = 'none', reason = 'none', tries: used, checks = [] } = read ?? {};
  const pieces = (read?.evidence ?? []).map((item) => `${item.kind} ${item.name}: ${item.text}`);
  return {
    [`${name} is ${expected.kind} by ${expected.reason} (it is ${kind} by ${reason})`]:
      kind === expected.kind && reason === expected.reason,
    [`${name} has a message`]: (read?.message ?? '') !== '',
    [`${name} names the failed checks ${(expected.checks ?? []).join()} (it names ${checks.join()})`]:
      checks.join() === (expected.checks ?? []).join(),
    [`${name} says whether all tries are used (${used?.used ?? 'none'} of ${used?.armed ?? 'none'})`]:
      expected.areTriesUsedUp === (used !== undefined && used.used === used.armed),
    ...Object.fromEntries(
      expected.evidence.map((pattern) => [
        `${name} has evidence that matches ${pattern.source} (it has ${pieces.map((piece) => piece.slice(0, 160)).join(' | ')})`,
        pieces.some((piece) => pattern.test(piece)),
      ]),
    ),
  };
}
