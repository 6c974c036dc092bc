import type { HealthAnswer, StatusAnswer } from './answers.ts';

/** What `health --wait` makes of the node: the trial goes on, or this is how the boot is to be seen. */
export type BootVerdict =
  | { readonly kind: 'running' }
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/**
 * Whether this boot may be held for complete. A booted slot that the loader does not hold for good, with no trial that
 * would prove it, is no success: what waits for the verdict waits for a slot that proved itself.
 */
export function bootVerdict(status: StatusAnswer, health: HealthAnswer): BootVerdict {
  const { phase, booted, current, degraded, slots } = status;
  const isTargetBooted = booted !== undefined && current?.target?.slot === booted;
  if (phase === 'trial' || phase === 'committing') return { kind: 'running' };
  if (phase === 'rolling-back' && isTargetBooted) {
    return fail('health-failed', `the trial of slot ${booted} failed and the node goes back`);
  }
  // The agent has just started in the slot that it armed, and not looked at it yet.
  if (phase === 'activated' && isTargetBooted) return { kind: 'running' };
  if (health.verdict === 'failed') return fail('health-failed', 'the last trial of this boot failed');
  const slot = slots.find(({ isBooted }) => isBooted);
  if (slot === undefined) {
    const [first] = degraded;
    return fail(
      first?.code ?? 'slotd-unreachable',
      `the booted slot is not known${first === undefined ? '' : `: ${first.message}`}`,
    );
  }
  if (slot.state === 'good') return { kind: 'passed' };
  return fail(
    'booted-slot-unproven',
    `slot ${slot.name} runs, is ${slot.state} at the loader, and no trial is under way`,
  );
}

function fail(code: string, reason: string): BootVerdict {
  return { kind: 'failed', code, message: `cannot hold this boot for complete: ${reason}` };
}
