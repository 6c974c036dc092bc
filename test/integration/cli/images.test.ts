import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli } from '../../../agent/cli/program.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { PublishedPatch } from '../../../agent/image/patch-image.ts';
import type { RegistryAuthOptions } from '../../fakes/registry-auth.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { patternBytes } from '../../fakes/sample-image.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';
import { never, registrySource } from '../../unit/image/samples.ts';

let folder = '';
const registries: EmbeddedRegistry[] = [];
const at = (name: string) => join(folder, name);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-cli-images-'));
  await writeFile(at('root.img'), patternBytes(300_000, 3));
});
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()));
  await rm(folder, { recursive: true });
});

async function run(...argv: readonly string[]) {
  const io = new RecordingIo({ environment: { KAON_SOCKET: at('kaon.sock') } });
  return { io, exitCode: await runCli(argv, io, testDeps()) };
}

/** Runs a command that must succeed; its JSON. */
async function done<T = Record<string, unknown>>(...argv: readonly string[]): Promise<T> {
  const { io, exitCode } = await run(...argv, '--json');
  expect(io.stderr.split('\n').filter((line) => line.startsWith('kaonctl:'))).toEqual([]);
  expect(exitCode).toBe(0);
  return io.json() as T;
}

async function startFor(auth?: RegistryAuthOptions): Promise<{ registry: EmbeddedRegistry; reference: string }> {
  const registry = await startRegistry(auth === undefined ? {} : { auth });
  registries.push(registry);
  return { registry, reference: `${registry.host}/os/edge:v2` };
}

const buildArgs = () => [
  ...['image', 'build', '--name', 'edge', '--version', '2', '--compatible', 'acme-gw-2', '--compatible', 'acme-gw-3'],
  ...['--partition', `root=${at('root.img')}`, '--output', at('layout'), '--frame-size', '64KiB'],
];

async function keys(...names: readonly string[]): Promise<void> {
  for (const name of names) await done('keygen', '--output', at(name));
}

/** A node's configuration with one key, and one rule for `prefix`; `more` stands at its end. */
function nodeConfig(prefix: string, more = ''): string {
  const slot = (name: string) =>
    `  ${name}: {bootName: ${name.toUpperCase()}, partitions: {root: {device: /dev/${name}}}}`;
  return [
    'formatVersion: 1',
    'node: {compatible: acme-gw-2}',
    `stateDir: ${folder}`,
    'slots:',
    slot('a'),
    slot('b'),
    `bootloader: {type: grub, environment: ${at('grubenv')}}`,
    'trust:',
    `  keys: {release-1: {file: ${at('release.pub')}}}`,
    `  rules: [{prefix: "${prefix}", require: {keys: [release-1], atLeast: 1}}]`,
    more,
    '',
  ].join('\n');
}

describe('from partition files to a verified image', () => {
  it('in a registry: build, push, sign, inspect, verify', async () => {
    const { reference } = await startFor();
    await keys('release');
    const built = await done<{ digest: string }>(...buildArgs());
    const pushed = await done('image', 'push', at('layout'), reference, '--insecure-http');
    expect(pushed).toMatchObject({ digest: built.digest, signatureTags: [] });
    const again = await run('image', 'push', at('layout'), reference, '--insecure-http');
    expect(again.io.stderr).toMatch(/^there already: sha256:/m);
    expect(again.io.stdout).toContain('0 B uploaded');

    const verify = ['image', 'verify', reference, '--insecure-http', '--key', `release=${at('release.pub')}`];
    expect((await run(...verify)).exitCode).toBe(65);
    const signed = await done('image', 'sign', '--key', at('release.key'), reference, '--insecure-http');
    expect(signed).toMatchObject({ digest: built.digest });
    expect(await done('image', 'inspect', reference, '--insecure-http')).toMatchObject({
      manifestDigest: built.digest,
      config: { name: 'edge', version: '2', compatible: ['acme-gw-2', 'acme-gw-3'] },
      layers: [{ name: 'root', contentSizeBytes: 300_000, encoding: 'zstd' }],
      signatures: [{}, {}],
    });
    const verified = await done(...verify, '--deep');
    expect(verified).toMatchObject({ digest: built.digest, checkedLayers: [{}, {}] });
    expect((await run(...verify)).io.stdout).toMatch(/^trusted: signed with release$/m);
  });

  it('with a kernel and an initrd for a loader that cannot read a slot', async () => {
    for (const [name, seed] of [
      ['vmlinuz', 5],
      ['initrd.img', 6],
    ] as const) {
      await writeFile(at(name), patternBytes(20_000, seed));
    }
    const boot = ['--kernel', at('vmlinuz'), '--initrd', at('initrd.img'), '--boot-options', 'quiet ro'];
    const built = await run(...buildArgs(), ...boot);
    expect(built.io.stdout).toMatch(/^kernel +20 KiB/m);
    const from = ['--from', `oci:${at('layout')}`];
    const { io } = await run('image', 'inspect', 'registry.acme.io/os/edge', ...from);
    expect(io.stdout).toMatch(/^boot options: +quiet ro$/m);
    expect(io.stdout).toMatch(/^initrd +20 KiB +sha256:/m);
  });

  it('offline: signed in the layout, pushed with its signatures, verified in both places', async () => {
    const { reference } = await startFor();
    await keys('release');
    const { digest } = await done<{ digest: string }>(...buildArgs(), '--ref-name', 'v2');
    await done('image', 'sign', '--key', at('release.key'), '--layout', `${at('layout')}:v2`, reference);
    const verify = ['image', 'verify', reference, '--key', `release=${at('release.pub')}`];
    expect(await done(...verify, '--from', `oci:${at('layout')}`)).toMatchObject({ digest });
    const pushed = await done('image', 'push', `${at('layout')}:v2`, reference, '--insecure-http');
    expect(pushed).toMatchObject({
      signatureTags: [`${digest.replace(':', '-')}.sig`],
      referrers: [expect.any(String)],
    });
    expect(await done('image', 'inspect', reference, '--insecure-http')).toMatchObject({ signatures: [{}, {}] });
    expect(await done(...verify, '--insecure-http')).toMatchObject({ digest });
  });

  describe('patches', () => {
    const before = patternBytes(400_000, 8);
    const after = Buffer.from(before);
    for (let at = 0; at < after.byteLength; at += 3000) after[at] = (after[at] ?? 0) ^ 0x55;

    /** Builds two images into layouts; their digests. */
    async function twoImages(): Promise<readonly [older: string, newer: string]> {
      const digests: string[] = [];
      for (const [name, content] of Object.entries({ older: before, newer: after })) {
        await writeFile(at('root.img'), content);
        const args = buildArgs().map((arg) => (arg === at('layout') ? at(name) : arg));
        digests.push((await done<{ digest: string }>(...args, '--level', '3')).digest);
      }
      return [digests[0] ?? '', digests[1] ?? ''];
    }

    const patchesOf = async (registry: EmbeddedRegistry, newer: string, base: string) => {
      const source = registrySource(registry.host);
      const image = await source.resolve(parseReference(`${registry.host}/os/edge@${newer}`), never);
      return source.patches(image, base, never);
    };

    it.each([[true], [false]])('lie beside the newer image, where the registry lists referrers: %s', async (lists) => {
      const [older, newer] = await twoImages();
      const registry = await startRegistry({ listsReferrers: lists });
      registries.push(registry);
      await keys('release');
      const at1 = `${registry.host}/os/edge:v1`;
      const at2 = `${registry.host}/os/edge:v2`;
      await done('image', 'push', at('older'), at1, '--insecure-http');
      await done('image', 'push', at('newer'), at2, '--insecure-http');
      const args = ['image', 'patch', at1, at2, '--insecure-http', '--key', at('release.key'), '--level', '5'];
      const made = await done<PublishedPatch>(...args);
      expect(made).toMatchObject({ base: older, subject: newer, partitions: [{ name: 'root' }] });
      const [{ patchBytes, insteadOfBytes } = { patchBytes: 1, insteadOfBytes: 0 }] = made.partitions;
      expect(patchBytes).toBeLessThan(insteadOfBytes / 10);
      expect(await patchesOf(registry, newer, older)).toMatchObject([
        { partition: 'root', layerSizeBytes: patchBytes },
      ]);
      expect(await patchesOf(registry, newer, newer)).toEqual([]);
      const tag = `${made.digest?.replace(':', '-') ?? ''}.sig`;
      expect(registry.content.manifest('os/edge', tag)).toBeDefined();
      const again = await run(...args);
      expect(again.io.stdout).toContain(`patch ${made.digest ?? ''}`);
      expect(await patchesOf(registry, newer, older)).toHaveLength(1);
      expect((await run('image', 'patch', at2, at2, '--insecure-http')).exitCode).toBe(64);
    });

    it('are made in a layout, leave its image what it is, and are pushed with it', async () => {
      const [older, newer] = await twoImages();
      const from = ['--old-from', `oci:${at('older')}`, '--layout', at('newer'), '--level', '5'];
      const made = await done<PublishedPatch>(
        'image',
        'patch',
        'registry.acme.io/os:v1',
        'registry.acme.io/os:v2',
        ...from,
      );
      expect(made).toMatchObject({ base: older, subject: newer });
      const inspected = await done('image', 'inspect', 'registry.acme.io/os:v9', '--from', `oci:${at('newer')}`);
      expect(inspected).toMatchObject({ manifestDigest: newer });
      const { registry, reference } = await startFor();
      const pushed = await done('image', 'push', at('newer'), reference, '--insecure-http');
      expect(pushed).toMatchObject({ digest: newer, referrers: [made.digest] });
      expect(await patchesOf(registry, newer, older)).toHaveLength(1);
    });
  });

  it.each([
    ['by nobody', [], 'signature-missing'],
    ['by a stranger', ['stranger'], 'signer-untrusted'],
  ] as const)('signed %s is refused with its code, exit 65', async (_who, signers, code) => {
    const reference = 'registry.acme.io/os/edge:v2';
    await keys('release', 'stranger');
    await done(...buildArgs());
    for (const signer of signers) {
      await done('image', 'sign', '--key', at(`${signer}.key`), '--layout', at('layout'), reference);
    }
    const from = ['--from', `oci:${at('layout')}`];
    const verify = ['image', 'verify', reference, ...from, '--key', `release=${at('release.pub')}`];
    const { io, exitCode } = await run(...verify, '--json');
    expect(exitCode).toBe(65);
    expect(io.json()).toMatchObject({ error: { code, details: { explanation: { verdict: { isTrusted: false } } } } });
    const plain = await run(...verify);
    expect(plain.io.stdout).toMatch(/^not trusted$/m);
    expect(plain.io.stderr).toContain(`code: ${code} (exit 65)`);
  });

  it("is judged by a node's own rules with --config", async () => {
    const reference = 'registry.acme.io/os/edge:v2';
    await keys('release');
    await done(...buildArgs());
    await done('image', 'sign', '--key', at('release.key'), '--layout', at('layout'), reference);
    const config = at('kaon.yaml');
    const verify = ['image', 'verify', reference, '--from', `oci:${at('layout')}`, '--config', config];
    await writeFile(config, nodeConfig('registry.acme.io/os'));
    expect(await done(...verify)).toMatchObject({ explanation: { verdict: { keyIds: ['release-1'] } } });
    const explain = ['trust', 'explain', reference, '--from', `oci:${at('layout')}`, '--config', config];
    const explained = await run(...explain);
    expect(explained.exitCode).toBe(0);
    expect(explained.io.stdout).toMatch(/^rule: +registry\.acme\.io\/os$/m);
    expect(explained.io.stdout).toMatch(/^wants: +signatures of 1 of: release-1 \(key, ed25519\)$/m);
    expect(explained.io.stdout).toMatch(/^verified +simple-signing +release-1 +key release-1 signed sha256:/m);
    expect(explained.io.stdout).toMatch(/^verified +bundle +release-1 +key release-1 signed sha256:/m);
    expect(explained.io.stdout).toMatch(/^trusted: signed with release-1$/m);
    await writeFile(config, nodeConfig('registry.acme.io/os').replace('trust:', 'trust:\n  revoked: [release-1]'));
    const revoked = await run(...explain);
    expect(revoked.exitCode).toBe(65);
    expect(revoked.io.stdout).toMatch(/^revoked +bundle +release-1 +key release-1 signed it, and is revoked/m);
    expect(revoked.io.stdout).toMatch(/^not trusted: signer-untrusted: /m);
    expect(revoked.io.stderr).toContain('code: signer-untrusted');
    const json = await run(...explain, '--json');
    expect(JSON.parse(json.io.stdout)).toMatchObject({
      error: { details: { explanation: { findings: [{ result: 'revoked' }, { result: 'revoked' }] } } },
    });
    await writeFile(config, nodeConfig('registry.acme.io/other'));
    expect((await run(...verify)).io.stderr).toContain('code: trust-rule-missing');
    expect((await run(...explain)).io.stdout).toMatch(/^rule: +none/m);
    expect((await run(...verify, '--key', `x=${at('release.pub')}`)).exitCode).toBe(64);
  });

  it('is fetched as the node would with --config: past the proxy where that is so', async () => {
    const { reference } = await startFor();
    await keys('release');
    await done(...buildArgs());
    await done('image', 'push', at('layout'), reference, '--insecure-http');
    await done('image', 'sign', '--key', at('release.key'), reference, '--insecure-http');
    const host = reference.split('/')[0] ?? '';
    const verify = ['image', 'verify', reference, '--config', at('kaon.yaml')];
    const way = (noProxy: string) =>
      `registries: {"${host}": {insecureHttp: true, proxy: "http://127.0.0.1:9", noProxy: ["${noProxy}"]}}`;
    await writeFile(at('kaon.yaml'), nodeConfig(host, way(host)));
    expect(await done(...verify)).toMatchObject({ explanation: { verdict: { keyIds: ['release-1'] } } });
  });

  it('is refused by a registry without the credentials, and let in with them', async () => {
    const { reference } = await startFor({ kind: 'basic', username: 'ci', password: 'p:w' });
    await done(...buildArgs());
    const push = ['image', 'push', at('layout'), reference, '--insecure-http'];
    expect((await run(...push)).exitCode).toBe(77);
    const auth = Buffer.from('ci:p:w').toString('base64');
    const host = reference.split('/')[0] ?? '';
    await writeFile(at('auth.json'), JSON.stringify({ auths: { [host]: { auth } } }), { mode: 0o600 });
    await done(...push, '--auth-file', at('auth.json'));
    const io = new RecordingIo({ environment: { REGISTRY_AUTH_FILE: at('auth.json') } });
    expect(await runCli(['image', 'inspect', reference, '--insecure-http'], io, testDeps())).toBe(0);
  });

  it('ends with Ctrl-C, exit 130', async () => {
    const { reference } = await startFor();
    await done(...buildArgs());
    const io = new RecordingIo();
    io.onErr = () => io.interrupt();
    expect(await runCli(['image', 'push', at('layout'), reference, '--insecure-http'], io, testDeps())).toBe(130);
  });
});

describe('what is named wrongly', () => {
  it.each([
    [['image', 'inspect', 'registry.acme.io/UPPER'], 65],
    [['image', 'inspect', 'registry.acme.io/os/edge:v2', '--from', 'oci:/nowhere'], 65],
    [['image', 'verify', 'registry.acme.io/os/edge:v2'], 64],
    [['image', 'verify', 'registry.acme.io/os/edge:v2', '--key', 'x=/nowhere.pub'], 78],
    [['image', 'verify', 'registry.acme.io/os/edge:v2', '--config', '/nowhere/kaon.yaml'], 78],
    [['image', 'sign', '--key', '/nowhere.key', 'registry.acme.io/os/edge:v2'], 64],
    [['image', 'inspect', 'registry.acme.io/os/edge:v2', '--ca-file', '/nowhere.pem'], 78],
  ])('%j exits %d with a fix', async (argv, exitCode) => {
    const found = await run(...argv);
    expect(found.exitCode).toBe(exitCode);
    expect(found.io.stderr).toMatch(/^kaonctl: cannot .*\nfix: .+\ncode: /);
    expect(found.io.stdout).toBe('');
  });

  it('a partition file that is missing or empty is told by its name', async () => {
    await writeFile(at('root.img'), '');
    const { io, exitCode } = await run(...buildArgs());
    expect(exitCode).toBe(64);
    expect(io.stderr).toContain('root.img for partition root: it is empty');
  });
});

describe('keys', () => {
  it.each(['ed25519', 'ecdsa-p256'])('of %s are made once: the private one for its owner alone', async (algorithm) => {
    await done('keygen', '--output', at('k'), '--algorithm', algorithm);
    const before = await readFile(at('k.key'), 'utf8');
    expect((await stat(at('k.key'))).mode & 0o777).toBe(0o600);
    const { io, exitCode } = await run('keygen', '--output', at('k'));
    expect(exitCode).toBe(64);
    expect(io.stderr).toContain('never overwritten');
    expect(await readFile(at('k.key'), 'utf8')).toBe(before);
  });

  it('that are public do not sign', async () => {
    await keys('release');
    const sign = ['image', 'sign', '--key', at('release.pub'), '--layout', at('layout'), 'registry.acme.io/os/edge:v2'];
    expect((await run(...sign)).io.stderr).toContain('code: key-invalid');
  });
});

describe('a trigger', () => {
  const image = `registry.acme.io/os/edge@sha256:${'1'.repeat(64)}`;
  const sign = (...more: readonly string[]) => [
    ...['trigger', 'sign', '--key', at('fleet.key'), '--action', 'stage', '--sequence', '42', '--expires-in', '1h'],
    ...more,
  ];

  it('says what it was asked to say, in its envelope', async () => {
    await keys('fleet');
    const output = at('trigger.json');
    await done(...sign('--image', image, '--node-id', 'node-1', '--compatible', 'acme-gw-2', '--output', output));
    const envelope = JSON.parse(await readFile(output, 'utf8')) as { payload: string };
    expect(JSON.parse(Buffer.from(envelope.payload, 'base64').toString())).toEqual({
      formatVersion: 1,
      image,
      action: 'stage',
      sequence: 42,
      expiresAt: new Date(1_750_000_000_000 + 3_600_000).toISOString(),
      node: { id: 'node-1', compatible: 'acme-gw-2' },
    });
    const { io } = await run(...sign('--image', image));
    expect(Object.keys(io.json() as object)).toContain('payload');
  });

  it('without a digest is not signed, nor with a key of another kind', async () => {
    await keys('fleet');
    expect((await run(...sign('--image', 'registry.acme.io/os/edge:v2'))).exitCode).toBe(64);
    await done('keygen', '--output', at('ec'), '--algorithm', 'ecdsa-p256');
    const { io } = await run(...sign('--image', image, '--key', at('ec.key')));
    expect(io.stderr).toContain('code: key-invalid');
  });
});
