import { z } from 'zod';
import { absolutePath, duration, name, optional, size, yesOrNo } from './config-values.ts';

const minute = 60_000;

const common = {
  name,
  required: yesOrNo(true),
  timeout: duration(100, 10 * minute, 'of 100ms to 10m').default(10_000),
  interval: duration(100, 10 * minute, 'of 100ms to 10m').default(5000),
  retries: z.int('want a whole number').min(0, 'want 0 or more').max(1000, 'want 1000 or fewer').optional(),
  startDelay: duration(0, 10 * minute, 'of 0s to 10m').default(0),
  passes: z.int('want a whole number').min(1, 'want 1 or more').max(100, 'want 100 or fewer').default(1),
  after: z.array(name, 'want a list of names of checks').max(32, 'want at most 32 names').default([]),
  baseline: yesOrNo(false),
};

const argument = z.string('want text; put numbers in quotes').max(4096, 'want at most 4096 characters');

const command = z.strictObject({
  kind: z.literal('command'),
  ...common,
  command: z
    .array(argument, 'want a list: the program and its arguments, with no shell')
    .min(1, 'want the program')
    .max(64, 'want at most 64 arguments')
    .refine((argv) => argv[0]?.startsWith('/') === true, 'want the program with its absolute path'),
});

const http = z
  .strictObject({
    kind: z.literal('http'),
    ...common,
    url: z.url({ protocol: /^https?$/, error: 'want an http:// or https:// URL' }),
    status: z.int('want a status code').min(100, 'want 100 or more').max(599, 'want 599 or less').default(200),
    bodyContains: optional(z.string('want text').min(1, 'want some text').max(1024, 'want at most 1024 characters')),
    caFile: optional(absolutePath),
    clientCertificateFile: optional(absolutePath),
    clientKeyFile: optional(absolutePath),
    insecure: yesOrNo(false),
  })
  .refine(
    ({ clientCertificateFile: certificate, clientKeyFile: key }) => (certificate === undefined) === (key === undefined),
    { path: ['clientKeyFile'], message: 'want it together with clientCertificateFile, or neither' },
  )
  .refine(({ insecure, caFile }) => !insecure || caFile === undefined, {
    path: ['insecure'],
    message: 'want false beside caFile: any certificate would be taken',
  })
  .refine(
    ({ url, caFile, clientKeyFile, insecure }) =>
      url.startsWith('https:') || (caFile === undefined && clientKeyFile === undefined && !insecure),
    { path: ['url'], message: 'want an https:// URL, or no settings of TLS' },
  )
  .transform(({ insecure, ...rest }) => ({ ...rest, isInsecure: insecure }));

const tcp = z.strictObject({
  kind: z.literal('tcp'),
  ...common,
  host: z
    .string('want a host name or an address')
    .regex(/^[A-Za-z0-9.:_-]{1,255}$/, 'want a host name or an address, an IPv6 one without brackets'),
  port: z.int('want a port').min(1, 'want 1 or more').max(65535, 'want 65535 or less'),
});

const kubelet = z.strictObject({
  kind: z.literal('kubelet'),
  ...common,
  url: z
    .url({ protocol: /^http$/, error: 'want the http:// URL of its health endpoint' })
    .default('http://127.0.0.1:10248/healthz'),
});

const kubernetesNode = z.strictObject({
  kind: z.literal('kubernetes-node'),
  ...common,
  kubeconfig: absolutePath.default('/etc/kubernetes/kubelet.conf'),
  node: optional(z.string('want the name of a node').regex(/^[a-z0-9.-]{1,253}$/, 'want the name of a node')),
});

const host = z
  .strictObject({
    kind: z.literal('host'),
    ...common,
    freeDisk: z
      .array(z.strictObject({ path: absolutePath, min: size }), 'want a list of {path, min}')
      .max(16, 'want at most 16 paths')
      .default([]),
    memory: optional(size),
    temperature: optional(z.number('want degrees Celsius').min(1, 'want 1 or more').max(150, 'want 150 or less')),
    timeSynchronised: yesOrNo(false),
    defaultRoute: yesOrNo(false),
  })
  .refine(
    ({ freeDisk, memory, temperature, timeSynchronised, defaultRoute }) =>
      freeDisk.length > 0 || memory !== undefined || temperature !== undefined || timeSynchronised || defaultRoute,
    'want at least one of freeDisk, memory, temperature, timeSynchronised and defaultRoute',
  )
  .transform(({ freeDisk, memory, temperature, timeSynchronised, defaultRoute, ...rest }) => ({
    ...rest,
    freeDisk: freeDisk.map(({ path, min }) => ({ path, minBytes: min })),
    memoryMinBytes: memory,
    temperatureMaxCelsius: temperature,
    isTimeSynchronised: timeSynchronised,
    hasDefaultRoute: defaultRoute,
  }));

const unitName = z
  .string('want the name of a unit')
  .regex(
    /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}\.(service|socket|target|mount|timer|path|device|scope|slice|swap|automount)$/,
    'want a unit with its suffix, such as web.service',
  );

/**
 * A node without a way to a registry gets no update any more; what may be its outage is told from that. An attempt has the
 * time in which asking a registry gives up by itself, as a name server that is gone is known only then.
 */
const registryReachable = z.strictObject({
  kind: z.literal('registry-reachable'),
  ...common,
  timeout: duration(100, 10 * minute, 'of 100ms to 10m').default(75_000),
  interval: duration(100, 10 * minute, 'of 100ms to 10m').default(10_000),
  baseline: z.literal(true, 'want true: it counts only where it passed before the update').default(true),
});

const systemdState = z.strictObject({
  kind: z.literal('systemd-state'),
  ...common,
  baseline: yesOrNo(true),
  ignore: z.array(unitName, 'want a list of units').max(64, 'want at most 64 units').default([]),
});

/** Its scripts may wait for minutes for what they check. */
const greenboot = z.strictObject({
  kind: z.literal('greenboot'),
  ...common,
  timeout: duration(100, 10 * minute, 'of 100ms to 10m').default(5 * minute),
  directories: z
    .array(absolutePath, 'want a list of directories')
    .min(1, 'want a directory')
    .max(8, 'want at most 8 directories')
    .default(['/usr/lib/greenboot', '/etc/greenboot']),
});

const systemdUnit = z
  .strictObject({
    kind: z.literal('systemd-unit'),
    ...common,
    unit: unitName,
    maxRestarts: z.int('want a whole number').min(0, 'want 0 or more').optional(),
  })
  .transform((settings) => ({ ...settings, maxRestarts: settings.maxRestarts }));

const kinds =
  'command, http, tcp, systemd-unit, systemd-state, kubelet, kubernetes-node, host, registry-reachable or greenboot';

/** The shape of one health check. */
export const check = z
  .discriminatedUnion(
    'kind',
    [command, http, tcp, systemdUnit, systemdState, kubelet, kubernetesNode, host, registryReachable, greenboot],
    `want kind: ${kinds}`,
  )
  .transform(({ required, timeout, interval, retries, startDelay, baseline, ...kind }) => ({
    ...kind,
    baseline: ruleOf(kind.kind, baseline),
    startDelayMs: startDelay,
    isRequired: required,
    timeoutMs: timeout,
    intervalMs: interval,
    retries,
  }));

function ruleOf(kind: string, isCompared: boolean): 'none' | 'excuse' | 'prove' {
  if (kind === 'registry-reachable') return 'prove';
  return isCompared ? 'excuse' : 'none';
}

/** The check of the registry that every node has which does not say otherwise. */
export const registryCheck = check.parse({ kind: 'registry-reachable', name: 'registry-reachable' });
