import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { AgentError } from '../../../agent/core/errors.ts';
import type { KaonConfig } from '../../../agent/config/config.ts';
import { registryCheck } from '../../../agent/config/check-schema.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';

const minimal = {
  formatVersion: 1,
  node: { compatible: 'acme' },
  slots: {
    a: { bootName: 'A', partitions: { root: { device: '/dev/a' } } },
    b: { bootName: 'B', partitions: { root: { device: '/dev/b' } } },
  },
  bootloader: { type: 'grub' },
};

/** `minimal` with the value at a dotted path replaced; `undefined` removes it. */
function changed(path: string, value: unknown): unknown {
  const copy = structuredClone(minimal) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop()!;
  let at = copy;
  for (const key of keys) at = (at[key] ??= {}) as Record<string, unknown>;
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
  return copy;
}

function parseAll(image: unknown, ...node: readonly unknown[]): KaonConfig {
  return parseConfig({
    image: image === undefined ? undefined : { path: '/usr/lib/kaon/kaon.yaml', text: stringify(image) },
    node: node.map((value, n) => ({ path: `node-${n}.yaml`, text: stringify(value) })),
  });
}

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof AgentError && error.code === 'config-invalid') return error.details['problems'] as string[];
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  it('has a rule for metered links', () => {
    const { update } = parseAll(
      undefined,
      changed('update.metered', { link: 'metered', rule: 'wait', limit: '50MiB' }),
    );
    expect(update.metered).toEqual({ link: 'metered', rule: 'wait', limitBytes: 50 * 1024 * 1024 });
    for (const [key, value, want] of [
      ['link', 'yes', 'want auto, metered or unmetered'],
      ['rule', 'delta', 'want full, wait or fail'],
      ['limit', 50, 'want a size such as 50MiB'],
    ] as const) {
      const problems = problemsOf(() => parseAll(undefined, changed(`update.metered.${key}`, value)));
      expect(problems).toEqual([expect.stringContaining(want)]);
      expect(problems[0]).toContain(`update.metered.${key}`);
    }
  });

  it('has a complete example', () => {
    const text = readFileSync('examples/kaon.yaml', 'utf8');
    const config = parseConfig({ image: undefined, node: [{ path: 'examples/kaon.yaml', text }] });
    expect(Object.keys(parse(text) as object).sort()).toEqual(Object.keys(config).sort());
    expect(config.health.checks.map(({ kind }) => kind)).toEqual([
      ...['http', 'systemd-unit', 'tcp', 'host'],
      ...['command', 'command', 'registry-reachable'],
    ]);
    expect(config.health.checks[4]).toEqual({
      name: 'modem',
      kind: 'command',
      command: ['/usr/lib/acme/check-modem', '--quick'],
      isRequired: true,
      timeoutMs: 30_000,
      intervalMs: 5000,
      retries: 3,
      startDelayMs: 0,
      passes: 1,
      after: [],
      baseline: 'none',
    });
    expect(config.slots.a.partitions['vendor']?.keep).toBe(true);
    expect(config.update.retry).toEqual({ attempts: 5, baseMs: 15_000, maxMs: 900_000 });
  });

  it('fills in every default', () => {
    expect(parseAll(undefined, minimal)).toEqual({
      formatVersion: 1,
      node: { id: undefined, compatible: 'acme', labels: {} },
      stateDir: '/var/lib/kaon',
      slots: {
        a: { bootName: 'A', partitions: { root: { device: '/dev/a', kind: 'block', keep: false } } },
        b: { bootName: 'B', partitions: { root: { device: '/dev/b', kind: 'block', keep: false } } },
      },
      bootloader: { type: 'grub', environment: '/boot/grub/grubenv', shadow: undefined, dialect: 'kaon', tries: 4 },
      trust: { keys: {}, identities: {}, trustedRoot: undefined, revoked: [], rules: [] },
      registries: {},
      registriesConf: '/etc/containers/registries.conf',
      health: { deadlineMs: 600_000, hardDeadlineMs: 720_000, probation: undefined, checks: [registryCheck] },
      update: {
        download: { bytesPerSecond: undefined },
        metered: { link: 'auto', rule: 'full', limitBytes: undefined },
        reboot: { inhibitorWaitMs: 1_800_000, afterWait: 'force' },
        unprovenLoader: 'warn',
        retry: { attempts: 5, baseMs: 15_000, maxMs: 900_000 },
        write: { unchanged: 'overwrite' },
      },
      triggers: { keys: {} },
      api: { socket: '/run/kaon/kaon.sock' },
    });
  });

  it("arms one try in RAUC's dialect", () => {
    expect(parseAll(undefined, changed('bootloader.dialect', 'rauc')).bootloader.tries).toBe(1);
  });

  it('merges maps and replaces lists over its drop-ins', () => {
    const check = { name: 'one', kind: 'http', url: 'http://127.0.0.1/' };
    const config = parseAll(
      undefined,
      { ...minimal, health: { deadline: '5m', checks: [check] } },
      { node: { labels: { site: 'oslo' } }, health: { checks: [{ ...check, name: 'two' }] } },
      { node: { labels: { rack: '7' } } },
    );
    expect(config.node).toEqual({ id: undefined, compatible: 'acme', labels: { site: 'oslo', rack: '7' } });
    expect(config.health.deadlineMs).toBe(300_000);
    expect(config.health.checks.map(({ name }) => name)).toEqual(['two', 'registry-reachable']);
  });

  const rule = { prefix: 'r.io/os', require: { keys: ['k'] } };
  const keys = { k: { file: '/k.pub' } };
  const built = { builder: 'b', buildType: 't', source: { repository: 'r' } };
  const identities = { ci: { issuer: 'https://issuer.test', subject: 'ci@acme.io' } };
  it.each([
    ['node.compatble', 'x', 'node.compatble: this key is not known'],
    ['extra', 1, 'extra: this key is not known'],
    ['formatVersion', undefined, 'formatVersion: it is missing; want 1'],
    ['formatVersion', 2, 'formatVersion: it is 2; want 1'],
    ['node.compatible', undefined, 'node.compatible: it is missing; want text'],
    ['node.id', 17, 'node.id: it is 17; want text; put numbers in quotes'],
    ['node', 'acme', 'node: it is "acme"; want a map of settings'],
    ['stateDir', 'state', 'stateDir: it is "state"; want an absolute path'],
    ['slots.b', undefined, 'slots.b: it is missing'],
    ['slots.a.bootName', 'A B', 'slots.a.bootName: it is "A B"; want at most 16 letters'],
    ['slots.b.bootName', 'BB', 'slots.b.bootName: it is "BB"; want as many letters as "A" has'],
    ['slots.b.bootName', 'A', 'slots.b.bootName: it is "A" as in slot a'],
    ['slots.b.partitions.root.device', '/dev/a', 'slots.b.partitions.root.device: it is "/dev/a" as in slots.a'],
    ['slots.b.partitions.root.kind', 'disk', 'slots.b.partitions.root.kind: it is "disk"; want block or file'],
    ['slots.b.partitions.root.keep', true, 'slots.b.partitions.root.keep: it is true; want the same in both'],
    ['slots.b.partitions.boot', { device: '/dev/c' }, 'slots.a.partitions.boot: it is missing; want the same'],
    ['slots.a.partitions', {}, 'slots.a.partitions: it is {}; want at least one'],
    ['bootloader.type', 'lilo', 'bootloader.type: it is "lilo"; want grub'],
    ['bootloader.tries', 0, 'bootloader.tries: it is 0; want 1 or more'],
    ['bootloader', { type: 'grub', dialect: 'rauc', tries: 3 }, "bootloader.tries: it is 3; want 1: RAUC's"],
    ['trust', { rules: [rule] }, 'trust.rules.0.require.keys: it names "k"; want an id under trust.keys'],
    ['trust', { keys, rules: [rule, rule] }, 'trust.rules.1.prefix: it is "r.io/os" a second time'],
    ['trust', { keys, rules: [{ ...rule, prefix: 'R.io/os/' }] }, 'trust.rules.0.prefix: it is "R.io/os/"; want HOST'],
    [
      'trust',
      { keys, rules: [{ ...rule, require: { keys: ['k'], atLeast: 2 } }] },
      'trust.rules.0.require.atLeast: it is 2; want no more',
    ],
    [
      'trust',
      { rules: [{ prefix: 'r.io/os', require: { identities: ['ci'] } }] },
      'trust.rules.0.require.identities: it names "ci"; want an id under trust.identities',
    ],
    [
      'trust',
      { identities, rules: [{ prefix: 'r.io/os', require: { identities: ['ci'] } }] },
      'want trust.trustedRoot',
    ],
    ['trust', { keys, rules: [{ ...rule, requireTransparencyLog: true }] }, 'want trust.trustedRoot'],
    ['trust', { keys, identities: { k: identities.ci } }, 'trust.identities.k: a key has this id; want another'],
    ['trust', { keys, rules: [{ ...rule, require: {} }] }, 'want at least one key or identity'],
    [
      'trust',
      { keys, rules: [{ ...rule, require: { keys: ['k'], maxAge: '90d' } }] },
      'trust.rules.0.require.maxAge: it is "90d"; want requireTransparencyLog: true beside it',
    ],
    [
      'trust.keys.k',
      { file: '/k', notBefore: '2026-01-01' },
      'trust.keys.k.notBefore: it is "2026-01-01"; want a time',
    ],
    [
      'trust.keys.k',
      { file: '/k', notBefore: '2026-02-01T00:00:00Z', notAfter: '2026-02-01T00:00:00Z' },
      'want a time after notBefore',
    ],
    [
      'trust',
      { keys, rules: [{ ...rule, requireProvenance: { ...built, keys: ['x'] } }] },
      'trust.rules.0.requireProvenance.keys: it names "x"; want an id under trust.keys',
    ],
    [
      'trust',
      { keys, rules: [{ ...rule, requireProvenance: built }] },
      'trust.rules.0.requireProvenance: it is {"builder":"b","buildType":"t","source":{"repository":"r"}}; want at least one',
    ],
    ['trust.revoked', ['no spaces'], 'trust.revoked.0: it is "no spaces"; want an id, or sha256:'],
    ['trust.repositories', ['https://r.io/os'], 'trust.repositories.0: it is "https://r.io/os"; want HOST[:PORT]'],
    ['trust.repositories', [], 'trust.repositories: it is []; want at least one'],
    ['trust', null, 'trust: it is null; want a map'],
    ['trust.nodeMayReplace', true, 'trust.nodeMayReplace: this key is not known'],
    ['registries', { 'https://r.io': {} }, 'registries.https://r.io: want host[:port]'],
    ['registries', { 'r.io': { mirrors: ['https://m.io'] } }, 'registries.r.io.mirrors.0: it is "https://m.io"; want'],
    ['registries', { 'r.io': { mirrors: [{ location: 'm.io', prefix: 'os/' }] } }, 'registries.r.io.mirrors.0'],
    ['registries', { 'r.io': { mirrors: Array(17).fill('m.io') } }, 'want at most 16 mirrors'],
    ['registries', { 'r.io': { clientCertFile: '/c.pem' } }, 'registries.r.io.clientKeyFile: it is missing; want'],
    ['registries', { 'r.io': { authHosts: ['https://a.io/'] } }, 'registries.r.io.authHosts.0: it is "https://a.io/"'],
    ['registries', { 'r.io': { proxy: 'ftp://x' } }, 'registries.r.io.proxy: it is "ftp://x"; want a proxy URL'],
    ['health.deadline', '10', 'health.deadline: it is "10"; want a duration such as 90s'],
    ['health.deadline', '13m', 'health.deadline: it is "13m"; want a duration such as 90s, 10m or 2h, of 10s to 12m'],
    ['health.checks', [{ name: 'x', kind: 'shell' }], 'health.checks.0.kind: it is "shell"; want kind: command'],
    ['health.checks', [{ name: 'x', kind: 'http' }], 'health.checks.0.url: it is missing; want an http'],
    [
      'health.checks',
      [{ name: 'x', kind: 'command', command: ['sh', '-c', 'true'] }],
      'health.checks.0.command: it is ["sh","-c","true"]; want the program with its absolute path',
    ],
    ['update.download.rateLimit', '4KiB/s', 'update.download.rateLimit: it is "4KiB/s"; want 16KiB/s or more'],
    ['update.download.rateLimit', 'fast', 'update.download.rateLimit: it is "fast"; want a rate such as 4MiB/s'],
    [
      'update.windows.reboot',
      [{ days: ['sat'], from: '02:00', to: '05:00', timeZone: 'Europe/Oslo' }],
      'this is not supported by this version',
    ],
    ['update.retry', { base: '1h', max: '1m' }, 'update.retry.max: it is "1m"; want at least what base says'],
    ['triggers.keys', { k: { file: '/k', actions: ['format'] } }, 'triggers.keys.k.actions.0: it is "format"; want'],
    ['api.tcp', '0.0.0.0:80', 'api.tcp: it is "0.0.0.0:80"; this is not supported by this version'],
    ['api.statusPage', true, 'api.statusPage: it is true; this is not supported by this version'],
    ['api.socket', `/${'x'.repeat(120)}`, 'want at most 107 characters'],
  ])('with %s = %j says what is wrong, where, and what to write', (path, value, expected) => {
    expect(problemsOf(() => parseAll(undefined, changed(path, value))).join('\n')).toContain(expected);
  });

  it('accepts what it does not obey yet where it is switched off', () => {
    const off = { api: { tcp: null, statusPage: false }, registries: { 'r.io:5000': {} } };
    expect(parseAll(undefined, { ...minimal, ...off }).registries['r.io:5000']).toEqual({
      authFile: undefined,
      authHosts: [],
      caFile: undefined,
      clientCertFile: undefined,
      clientKeyFile: undefined,
      isInsecureHttpAllowed: false,
      proxy: undefined,
      noProxy: [],
      mirrors: [],
    });
  });

  it('takes mirrors by their location, or with what they hold and may say', () => {
    const mirrors = ['cache.lan:5000/copies/acme', { location: '[::1]:5000', prefix: 'os/edge', tags: true }];
    const { registries } = parseAll(undefined, { ...minimal, registries: { 'r.io': { mirrors } } });
    expect(registries['r.io']?.mirrors).toEqual([
      { registry: 'cache.lan:5000', path: 'copies/acme', prefix: '', isTagged: false },
      { registry: '[::1]:5000', path: '', prefix: 'os/edge', isTagged: true },
    ]);
  });

  it('reports no silence unless it says how long is too long', () => {
    const silence = (trust: unknown) => parseAll(undefined, { ...minimal, trust }).trust.reportSilenceAfterMs;
    expect(silence({})).toBeUndefined();
    expect(silence({ reportSilenceAfter: '90d' })).toBe(90 * 86_400_000);
    expect(problemsOf(() => parseAll(undefined, { ...minimal, trust: { reportSilenceAfter: '5m' } }))).toEqual([
      'trust.reportSilenceAfter: it is "5m"; want a duration such as 90s, 10m or 2h, of 1h to 3650d',
    ]);
  });

  it('tells all problems and shows the first three', () => {
    const broken = { ...minimal, one: 1, two: 2, three: 3, four: 4 };
    const problems = problemsOf(() => parseAll(undefined, broken));
    expect(problems).toHaveLength(4);
    expect(() => parseAll(undefined, broken)).toThrow(/node-0\.yaml.*one: .*three: .*; and 1 more$/);
  });

  it.each([
    ['a: [1', 'text'],
    ['a: 1\na: 2', 'twice'],
    ['just text', 'want a map of settings'],
    ['- 1', 'want a map of settings'],
    [`a: &a [x]\nb: &b [${'*a,'.repeat(50)}]\nc: &c [${'*b,'.repeat(50)}]\nd: [${'*c,'.repeat(50)}]`, 'alias'],
    ['node: &a { id: x, compatible: *a }', 'alias'],
    ['a: !!js/function "x"', 'known'],
    ['__proto__: {polluted: true}', 'known'],
  ])('that is not sound YAML is config-invalid (%j)', (text) => {
    expect(problemsOf(() => parseConfig({ image: undefined, node: [{ path: 'x.yaml', text }] }))).not.toEqual([]);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('says what it finds in its error, and prints nothing', () => {
    const printed = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const node = [{ path: 'x.yaml', text: '? {a: 1}\n: x\nb: !unknown y\n' }];
    expect(problemsOf(() => parseConfig({ image: undefined, node }))).not.toEqual([]);
    expect(printed).not.toHaveBeenCalled();
    printed.mockRestore();
  });
});

describe("the image's configuration", () => {
  const image = {
    trust: {
      keys: { release: { file: '/usr/lib/kaon/keys/release.pub' } },
      identities: { ci: { issuer: 'https://issuer.test', subject: 'ci@acme.io' } },
      trustedRoot: '/usr/lib/kaon/trusted-root.json',
      rules: [{ prefix: 'r.io/os', require: { keys: ['release'] } }],
    },
    health: { deadline: '3m' },
  };
  const own = { file: '/etc/kaon/keys/own.pub' };
  const withTrust = (trust: unknown) => ({ ...minimal, trust });
  const ruleOf = (prefix: string) => ({ prefix, require: { keys: ['own'] } });

  it('gives the defaults that the node does not set', () => {
    const config = parseAll(image, minimal);
    expect(config.health.deadlineMs).toBe(180_000);
    expect(config.trust.rules.map(({ prefix }) => prefix)).toEqual(['r.io/os']);
  });

  it('lets the node add rules for other repositories', () => {
    const { trust } = parseAll(image, withTrust({ keys: { own }, rules: [ruleOf('other.io/apps')] }));
    expect(trust.rules.map(({ prefix }) => prefix)).toEqual(['r.io/os', 'other.io/apps']);
    expect(Object.keys(trust.keys)).toEqual(['release', 'own']);
  });

  it.each([
    ['replaces its rule', { keys: { own }, rules: [ruleOf('r.io/os')] }],
    ['goes below its rule, where the longer prefix would win', { keys: { own }, rules: [ruleOf('r.io/os/gateway')] }],
    ['replaces its key', { keys: { release: own } }],
    ['replaces its identity', { identities: { ci: { issuer: 'https://evil.test', subject: 'ci' } } }],
    ['replaces its trusted root', { trustedRoot: '/etc/kaon/trusted-root.json' }],
  ])('is not weakened by a node that %s', (_name, trust) => {
    expect(problemsOf(() => parseAll(image, withTrust(trust)))).toHaveLength(1);
  });

  it('has its list of repositories stand, and takes one of the node where it has none', () => {
    const listing = { ...image, trust: { ...image.trust, repositories: ['r.io/os'] } };
    expect(problemsOf(() => parseAll(listing, withTrust({ repositories: ['r.io'] })))).toEqual([
      'trust.repositories: the image has a list; remove it, as the image does not let the node replace it',
    ]);
    expect(parseAll(listing, withTrust({})).trust.repositories).toEqual(['r.io/os']);
    expect(parseAll(image, withTrust({ repositories: ['r.io'] })).trust.repositories).toEqual(['r.io']);
  });

  it('has what it revokes revoked, and what the node revokes besides', () => {
    const revoking = { ...image, trust: { ...image.trust, revoked: ['release'] } };
    const { trust } = parseAll(revoking, withTrust({ revoked: ['own'] }));
    expect(trust.revoked).toEqual(['release', 'own']);
    expect(parseAll(revoking, withTrust({ revoked: [] })).trust.revoked).toEqual(['release']);
  });

  it('keeps its rules when the node empties the list', () => {
    expect(parseAll(image, withTrust({ rules: [] })).trust.rules).toHaveLength(1);
  });

  it('lets the node replace its policy where it says so', () => {
    const open = { ...image, trust: { ...image.trust, nodeMayReplace: true } };
    const { trust } = parseAll(open, withTrust({ keys: { own }, rules: [ruleOf('r.io/os')] }));
    expect(trust.rules).toEqual([
      {
        prefix: 'r.io/os',
        require: { keys: ['own'], identities: [], atLeast: 1, maxAgeMs: undefined },
        isLogEntryRequired: false,
        isDowngradeAllowed: false,
        provenance: undefined,
      },
    ]);
  });
});
