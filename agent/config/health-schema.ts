import { z } from 'zod';
import { check, registryCheck } from './check-schema.ts';
import { duration, yesOrNo } from './config-values.ts';

const minute = 60_000;
/** What the trial guard leaves: it reboots 15 minutes after the boot, the agent is up in one and commits in another. */
const longest = 12 * minute;
const range = 'of 10s to 12m, as the trial guard reboots 15 minutes after the boot';

const hour = 60 * minute;
const probationLength = duration(minute, 30 * 24 * hour, 'of 1m to 30d');
const probationMap = z.strictObject({
  for: probationLength,
  interval: duration(10_000, 24 * hour, 'of 10s to 24h').default(5 * minute),
  onFailure: z.enum(['alarm', 'roll-back'], 'want alarm or roll-back').default('alarm'),
});

/** How long alone, or a map; the errors of a map are its own. */
const probation = z
  .unknown()
  .optional()
  .transform((value) => (typeof value === 'string' ? { for: value } : value))
  .pipe(probationMap.nullish())
  .transform((found) =>
    found ? { durationMs: found.for, intervalMs: found.interval, onFailure: found.onFailure } : undefined,
  );

type Checks = readonly z.output<typeof check>[];

const checks = z
  .array(check, 'want a list of checks')
  .max(32, 'want at most 32 checks')
  .refine((found) => new Set(found.map((one) => one.name)).size === found.length, 'want each name once')
  .default([]);

/** The shape of `health`. The deadlines leave room before the trial guard. */
export const healthSchema = z
  .strictObject({
    deadline: duration(10_000, longest, range).default(10 * minute),
    hardDeadline: duration(10_000, longest, range).default(longest),
    registryReachable: yesOrNo(true),
    probation,
    checks,
  })
  .refine(({ deadline, hardDeadline }) => deadline <= hardDeadline, {
    path: ['hardDeadline'],
    message: 'want at least what deadline says',
  })
  .transform(({ deadline, hardDeadline, registryReachable, checks: named, probation: watched }, context) => {
    const problems = [...orderProblems(named), ...delayProblems(named, deadline), ...nameProblems(named)];
    for (const { path, message } of problems) context.addIssue({ code: 'custom', path: ['checks', ...path], message });
    const isNamed = named.some(({ kind }) => kind === 'registry-reachable');
    const all = registryReachable && !isNamed ? [...named, registryCheck] : named;
    return { deadlineMs: deadline, hardDeadlineMs: hardDeadline, probation: watched, checks: all };
  });

interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What is wrong with the order of `checks`: names that are not there, cycles, and an advisory check that would decide. */
function orderProblems(found: Checks): readonly Problem[] {
  const byName = new Map(found.map((one) => [one.name, one]));
  return found.flatMap(({ name, isRequired, after }, index) => {
    const path = [index, 'after'];
    const unknown = after.find((other) => !byName.has(other));
    if (unknown !== undefined) return [{ path, message: `want names of checks; there is no ${unknown}` }];
    if (isBefore(name, name, byName, new Set()))
      return [{ path, message: 'want an order: this check comes after itself' }];
    const advisory = after.find((other) => byName.get(other)?.isRequired === false);
    return isRequired && advisory !== undefined
      ? [{ path, message: `want required checks: the failure of ${advisory}, which is advisory, would decide` }]
      : [];
  });
}

/** Whether `name` stands somewhere before `start`. */
function isBefore(
  name: string,
  start: string,
  byName: ReadonlyMap<string, Checks[number]>,
  seen: Set<string>,
): boolean {
  return (byName.get(start)?.after ?? []).some((other) => {
    if (other === name) return true;
    if (seen.has(other)) return false;
    seen.add(other);
    return isBefore(name, other, byName, seen);
  });
}

function delayProblems(found: Checks, deadlineMs: number): readonly Problem[] {
  return found.flatMap(({ startDelayMs }, index) =>
    startDelayMs < deadlineMs ? [] : [{ path: [index, 'startDelay'], message: 'want less than health.deadline' }],
  );
}

/** Names that checks have which nobody names. */
function nameProblems(found: Checks): readonly Problem[] {
  const wanted = new Set(found.flatMap(({ kind, name }) => (kind === 'greenboot' ? [`${name}-wanted`] : [])));
  return found.flatMap(({ kind, name }, index) => {
    if (wanted.has(name))
      return [{ path: [index, 'name'], message: 'want another name: greenboot has a check of this one' }];
    return name === registryCheck.name && kind !== 'registry-reachable'
      ? [{ path: [index, 'name'], message: 'want another name: the check of the registry has this one' }]
      : [];
  });
}
