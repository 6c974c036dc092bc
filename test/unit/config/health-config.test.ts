import { describe, expect, it } from 'vitest';
import { healthSchema } from '../../../agent/config/health-schema.ts';

function parse(health: unknown) {
  return healthSchema.safeParse(health);
}

/** `path: what to write` of each problem of one check. */
function problemsOf(check: unknown): readonly string[] {
  const { error } = parse({ checks: [check] });
  return (error?.issues ?? []).map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`);
}

function checkOf(check: unknown) {
  return parse({ checks: [check] }).data?.checks[0];
}

const web = { name: 'web', kind: 'http', url: 'https://127.0.0.1/' };

describe('a probation', () => {
  const probationOf = (probation: unknown) => parse({ probation }).data?.probation;
  const problem = (probation: unknown) => {
    const [issue] = parse({ probation }).error?.issues ?? [];
    return issue && `${issue.path.join('.')}: ${issue.message}`;
  };

  it('is none unless one is asked for, by its length alone or with all that it has', () => {
    expect(parse({}).data).toMatchObject({ probation: undefined });
    expect(probationOf('4h')).toEqual({ durationMs: 14_400_000, intervalMs: 300_000, onFailure: 'alarm' });
    expect(probationOf({ for: '1d', interval: '10m', onFailure: 'roll-back' })).toEqual({
      durationMs: 86_400_000,
      intervalMs: 600_000,
      onFailure: 'roll-back',
    });
  });

  it('is refused with the field and the fix', () => {
    expect(problem('4')).toBe('probation.for: want a duration such as 90s, 10m or 2h, of 1m to 30d');
    expect(problem({ for: '4h', onFailure: 'rollback' })).toBe('probation.onFailure: want alarm or roll-back');
    expect(problem({ for: '4h', interval: '1s' })).toContain('probation.interval: want a duration');
    expect(problem(4)).toContain('probation: ');
  });
});

describe('the check of the registry', () => {
  const names = (health: unknown) => parse(health).data?.checks.map(({ name }) => name);

  it('is there unless it is switched off, and counts only where it passed before', () => {
    expect(parse({}).data?.checks).toMatchObject([
      { name: 'registry-reachable', kind: 'registry-reachable', baseline: 'prove', isRequired: true },
    ]);
    expect(names({ registryReachable: false, checks: [web] })).toEqual(['web']);
  });

  it('is the one that is named, where one is', () => {
    expect(names({ checks: [{ name: 'updates', kind: 'registry-reachable', required: false }] })).toEqual(['updates']);
  });

  it('shares its name with no other', () => {
    const [issue] = parse({ checks: [{ ...web, name: 'registry-reachable' }] }).error?.issues ?? [];
    expect(issue?.message).toBe('want another name: the check of the registry has this one');
  });
});

describe('the order of health checks', () => {
  const chain = (...links: readonly (readonly [string, readonly string[]])[]) =>
    parse({ checks: links.map(([name, after]) => ({ ...web, name, after })) });
  const firstProblem = ({ error }: ReturnType<typeof parse>) => {
    const [issue] = error?.issues ?? [];
    return issue && `${issue.path.join('.')}: ${issue.message}`;
  };

  it('may be any without a cycle', () => {
    expect(chain(['c', ['a', 'b']], ['b', ['a']], ['a', []]).success).toBe(true);
  });

  it.each([
    [[['a', ['a']]], 'checks.0.after: want an order: this check comes after itself'],
    [
      [
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['b']],
      ],
      'checks.1.after: want an order: this check comes after itself',
    ],
    [[['a', ['b']]], 'checks.0.after: want names of checks; there is no b'],
  ] as const)('is refused for %j', (links, problem) => {
    expect(firstProblem(chain(...links))).toBe(problem);
  });

  it('lets no advisory check decide over a required one', () => {
    const checks = [
      { ...web, after: ['gps'] },
      { ...web, name: 'gps', required: false },
    ];
    expect(firstProblem(parse({ checks }))).toContain('the failure of gps, which is advisory, would decide');
    const other = [
      { ...web, after: ['gps'], required: false },
      { ...web, name: 'gps', required: false },
    ];
    expect(parse({ checks: other }).success).toBe(true);
  });

  it('has a hard deadline that is no shorter than the deadline, and start delays that are shorter', () => {
    expect(firstProblem(parse({ deadline: '10m', hardDeadline: '9m' }))).toBe(
      'hardDeadline: want at least what deadline says',
    );
    expect(firstProblem(parse({ deadline: '1m', checks: [{ ...web, startDelay: '1m' }] }))).toBe(
      'checks.0.startDelay: want less than health.deadline',
    );
    expect(firstProblem(parse({ hardDeadline: '13m' }))).toContain('of 10s to 12m');
  });
});

describe('the configuration of health checks', () => {
  it('fills in what an http check leaves out', () => {
    expect(checkOf(web)).toMatchObject({ status: 200, isInsecure: false, isRequired: true, timeoutMs: 10_000 });
  });

  it('compares units that failed with those before the update, unless it is told not to', () => {
    expect(checkOf({ name: 'units', kind: 'systemd-state' })).toMatchObject({ baseline: 'excuse', ignore: [] });
    expect(checkOf({ name: 'units', kind: 'systemd-state', baseline: false })).toMatchObject({ baseline: 'none' });
  });

  it('gives scripts of greenboot five minutes', () => {
    expect(checkOf({ name: 'greenboot', kind: 'greenboot' })).toMatchObject({
      timeoutMs: 300_000,
      directories: ['/usr/lib/greenboot', '/etc/greenboot'],
    });
  });

  it('has the host in bytes and degrees', () => {
    const host = { name: 'host', kind: 'host', freeDisk: [{ path: '/var', min: '512MiB' }], defaultRoute: true };
    expect(checkOf(host)).toMatchObject({
      freeDisk: [{ path: '/var', minBytes: 512 * 1024 * 1024 }],
      memoryMinBytes: undefined,
      hasDefaultRoute: true,
      isTimeSynchronised: false,
    });
  });

  it.each([
    [{ ...web, clientKeyFile: '/key.pem' }, 'clientKeyFile: want it together with clientCertificateFile, or neither'],
    [
      { ...web, insecure: true, caFile: '/ca.pem' },
      'insecure: want false beside caFile: any certificate would be taken',
    ],
    [{ ...web, url: 'http://127.0.0.1/', caFile: '/ca.pem' }, 'url: want an https:// URL, or no settings of TLS'],
    [{ ...web, bodyContains: '' }, 'bodyContains: want some text'],
    [{ ...web, caFile: 'ca.pem' }, 'caFile: want an absolute path, beginning with /'],
    [
      { name: 'r', kind: 'registry-reachable', baseline: false },
      'baseline: want true: it counts only where it passed before the update',
    ],
    [
      { name: 's', kind: 'systemd-state', ignore: ['web'] },
      'ignore.0: want a unit with its suffix, such as web.service',
    ],
    [{ name: 'g', kind: 'greenboot', directories: ['etc'] }, 'directories.0: want an absolute path, beginning with /'],
    [
      { name: 'h', kind: 'host' },
      ': want at least one of freeDisk, memory, temperature, timeSynchronised and defaultRoute',
    ],
    [{ name: 'h', kind: 'host', temperature: '90' }, 'temperature: want degrees Celsius'],
    [
      { name: 'h', kind: 'host', freeDisk: [{ path: 'var', min: '1' }] },
      'freeDisk.0.path: want an absolute path, beginning with /',
      'freeDisk.0.min: want a size such as 50MiB',
    ],
    [{ name: 'k', kind: 'kubelet', url: 'https://x/' }, 'url: want the http:// URL of its health endpoint'],
    [{ name: 'k', kind: 'kubernetes-node', node: 'GW' }, 'node: want the name of a node'],
    [{ name: 'db', kind: 'tcp', host: '127.0.0.1' }, 'port: want a port'],
    [{ name: 'db', kind: 'tcp', host: '127.0.0.1', port: 65_536 }, 'port: want 65535 or less'],
    [
      { name: 'db', kind: 'tcp', host: '[::1]', port: 1 },
      'host: want a host name or an address, an IPv6 one without brackets',
    ],
  ])('refuses %j', (check, ...problems) => {
    expect(problemsOf(check)).toEqual(problems);
  });
});
