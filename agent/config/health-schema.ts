import { z } from 'zod';
import { duration, name } from './config-values.ts';

const minute = 60_000;

const common = {
  name,
  required: z.boolean('want true or false').default(true),
  timeout: duration(100, 10 * minute, 'of 100ms to 10m').default(10_000),
  interval: duration(100, 10 * minute, 'of 100ms to 10m').default(5000),
  retries: z.int('want a whole number').min(0, 'want 0 or more').max(1000, 'want 1000 or fewer').optional(),
};

const argument = z.string('want text; put numbers in quotes').max(4096, 'want at most 4096 characters');

const check = z
  .discriminatedUnion(
    'kind',
    [
      z.strictObject({
        kind: z.literal('command'),
        ...common,
        command: z
          .array(argument, 'want a list: the program and its arguments, with no shell')
          .min(1, 'want the program')
          .max(64, 'want at most 64 arguments')
          .refine((argv) => argv[0]?.startsWith('/') === true, 'want the program with its absolute path'),
      }),
      z.strictObject({
        kind: z.literal('http'),
        ...common,
        url: z.url({ protocol: /^https?$/, error: 'want an http:// or https:// URL' }),
        status: z.int('want a status code').min(100, 'want 100 or more').max(599, 'want 599 or less').default(200),
      }),
      z.strictObject({
        kind: z.literal('systemd-unit'),
        ...common,
        unit: z
          .string('want the name of a unit')
          .regex(
            /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}\.(service|socket|target|mount|timer|path|device|scope|slice|swap|automount)$/,
            'want a unit with its suffix, such as web.service',
          ),
        maxRestarts: z.int('want a whole number').min(0, 'want 0 or more').optional(),
      }),
    ],
    'want kind: command, http or systemd-unit',
  )
  .transform(({ required, timeout, interval, retries, ...kind }) => ({
    isRequired: required,
    timeoutMs: timeout,
    intervalMs: interval,
    retries,
    ...(kind.kind === 'systemd-unit' ? { ...kind, maxRestarts: kind.maxRestarts } : kind),
  }));

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
