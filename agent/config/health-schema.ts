import { z } from 'zod';
import { duration } from './config-values.ts';
import { check } from './check-schema.ts';

const minute = 60_000;

/** The shape of `health`. The deadline leaves room before the trial guard, which reboots 15 minutes after the boot. */
export const healthSchema = z
  .strictObject({
    deadline: duration(
      10_000,
      12 * minute,
      'of 10s to 12m, as the trial guard reboots 15 minutes after the boot',
    ).default(10 * minute),
    checks: z
      .array(check, 'want a list of checks')
      .max(32, 'want at most 32 checks')
      .refine((checks) => new Set(checks.map((one) => one.name)).size === checks.length, 'want each name once')
      .default([]),
  })
  .transform(({ deadline, checks }) => ({ deadlineMs: deadline, checks }));
