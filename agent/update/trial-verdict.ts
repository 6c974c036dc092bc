import { joinEvidence } from '../core/evidence-bounds.ts';
import type { CheckProgress, CheckResult, Clock, HealthChecks } from '../core/ports.ts';
import { causeOfVerdict } from '../core/rollback-cause.ts';
import type { UpdateEvent } from '../core/update-events.ts';
import type { InPhase } from '../core/update-state.ts';
import { verdictOf } from '../core/verdict.ts';
import { CheckHistory } from './check-history.ts';

/**
 * Runs the node's checks until the deadline of the trial and judges it by them and by `faults`, what is wrong with the agent
 * itself. Rejects with the reason of `signal`, and where the checks can't be run.
 */
export async function judgeTrial(
  ports: {
    readonly health: HealthChecks;
    readonly clock: Clock;
    readonly onCheck: (progress: CheckProgress) => void;
  },
  state: InPhase<'trial'>,
  faults: readonly CheckResult[],
  signal: AbortSignal,
): Promise<UpdateEvent> {
  const { health, clock, onCheck } = ports;
  const leftMs = Math.max(0, state.deadlineMonotonicMs - clock.monotonicMs());
  const history = new CheckHistory();
  const onProgress = (progress: CheckProgress) => {
    history.add(progress);
    onCheck(progress);
  };
  const checks = await health.run(leftMs, onProgress, signal, state.baseline);
  const verdict = verdictOf([...faults, ...checks]);
  await health.conclude(verdict.isPassed, signal);
  const atMs = clock.nowMs();
  if (verdict.isPassed) return { type: 'verdict-reached', ...verdict, atMs };
  const evidence = joinEvidence(verdict.evidence, history.evidence());
  return { type: 'verdict-reached', ...verdict, evidence, cause: causeOfVerdict(faults, checks), atMs };
}
