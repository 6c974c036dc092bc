import { createHash } from 'node:crypto';
import { type CheckUnit, startAllowanceMs } from '../checkd/check-unit.ts';
import type { Configured, ConfiguredChecks } from '../checkd/server.ts';
import type { HealthConfig } from '../config/config.ts';
import type { Clock, HostProbe, RegistryProbe } from '../core/ports.ts';
import { attemptWithin } from '../health/attempt.ts';
import { type CheckPorts, type CheckSettings, createAfterVerdict, createChecks } from '../health/create-checks.ts';
import type { CheckAttempt, CommandRunner, HealthCheck, ScheduledCheck } from '../health/health-check.ts';
import { type AfterVerdict, HealthRunner } from '../health/health-runner.ts';

/** How long what follows a verdict may take in the unit; the runner of kaond has a limit of its own. */
const afterLimitMs = 30_000;

/** The checks of a node, each in the unit where it belongs. `unit`: kaon-check; `undefined`: all run in this process. */
export function buildHealth(
  { checks, deadlineMs, hardDeadlineMs }: Pick<HealthConfig, 'checks' | 'deadlineMs' | 'hardDeadlineMs'>,
  ports: CheckPorts,
  clock: Clock,
  unit: CheckUnit | undefined,
): HealthRunner {
  const extensionMs = hardDeadlineMs - deadlineMs;
  const after = createAfterVerdict(checks, ports);
  if (unit === undefined) return new HealthRunner(createChecks(checks, ports), clock, extensionMs, after);
  const scheduled = checks.flatMap((setting) =>
    createChecks([setting], ports).map((one) => (isUnits(setting) ? inUnit(one, setting, unit, clock) : one)),
  );
  return new HealthRunner(scheduled, clock, extensionMs, after.length === 0 ? [] : [afterInUnit(checks, after, unit)]);
}

/** What kaon-check runs by the configuration that it read itself. */
export function configuredChecks(
  settings: readonly CheckSettings[],
  { commands, host }: { readonly commands: CommandRunner; readonly host: HostProbe },
  clock: Clock,
): ConfiguredChecks {
  const ports = { commands, host, registry: noRegistry };
  const made = settings.filter(isUnits).flatMap((setting) =>
    createChecks([setting], ports).map(({ check, timeoutMs }) => {
      const run = async (signal: AbortSignal) => attemptWithin(clock, check, timeoutMs, signal);
      return [check.name, { settings: digestOf(setting), run }] as const;
    }),
  );
  const concluding = new HealthRunner([], clock, 0, createAfterVerdict(settings, ports));
  const after = (isPassed: boolean): Configured<void> => ({
    settings: digestOf(settings.filter(({ kind }) => kind === 'greenboot')),
    run: async (signal) => concluding.conclude(isPassed, signal),
  });
  return { checks: new Map(made), after: { passed: after(true), failed: after(false) } };
}

/** Whether a check runs in kaon-check: all but that of the registry, which only kaond knows how to ask. */
function isUnits({ kind }: CheckSettings): boolean {
  return kind !== 'registry-reachable';
}

/** A check in kaon-check; in this process where that has no answer, so that no trial fails for a unit that does not start. */
function inUnit(one: ScheduledCheck, setting: CheckSettings, unit: CheckUnit, clock: Clock): ScheduledCheck {
  const { check, timeoutMs } = one;
  const settings = digestOf(setting);
  const remote: HealthCheck = {
    name: check.name,
    isRequired: check.isRequired,
    leadMs: startAllowanceMs,
    run: async (signal): Promise<CheckAttempt> =>
      (await unit.attempt({ check: check.name, settings }, timeoutMs, signal)) ??
      attemptWithin(clock, check, timeoutMs, signal),
  };
  return { ...one, check: remote };
}

function afterInUnit(checks: readonly CheckSettings[], after: readonly AfterVerdict[], unit: CheckUnit): AfterVerdict {
  const settings = digestOf(checks.filter(({ kind }) => kind === 'greenboot'));
  return async (isPassed, signal) => {
    const verdict = isPassed ? 'passed' : 'failed';
    if (await unit.conclude({ verdict, settings }, afterLimitMs, signal)) return;
    await Promise.all(after.map(async (act) => act(isPassed, signal)));
  };
}

/** Equal for equal settings, as both daemons make them by the same code from the same files. */
function digestOf(settings: CheckSettings | readonly CheckSettings[]): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex');
}

/** Never asked: the registry's check is kaond's. */
const noRegistry: RegistryProbe = {
  probe: async () => Promise.resolve({ kind: 'not-asked', text: 'kaond asks the registry' }),
};
