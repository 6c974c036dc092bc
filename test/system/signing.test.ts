import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseReference } from '../../agent/core/image-format/reference.ts';
import type { SimpleSignature } from '../../agent/core/ports.ts';
import { generateKeyPair } from '../../agent/image/keygen.ts';
import { parseSigningKey } from '../../agent/image/private-key.ts';
import { signInLayout, signInRegistry } from '../../agent/image/sign-image.ts';
import { verifyImage } from '../../agent/image/verify-image.ts';
import { parseTrustKey } from '../../agent/trust/keys.ts';
import { RuleTrustPolicy } from '../../agent/trust/trust-policy.ts';
import { decodeLayer } from '../../partitions/frames/decode-layer.ts';
import { sampleImage } from '../fakes/sample-image.ts';
import { signatureStatement, simpleSigningPayload } from '../fakes/signer.ts';
import { buildSample, layoutSource, never, partitionBytes, pusherFor, registrySource } from '../unit/image/samples.ts';
import { codeOf, flipBit, resolved } from '../unit/trust/samples.ts';
import { type RealRegistry, startDockerRegistry } from './docker-registry.ts';

const kinds = ['ed25519', 'ecdsa-p256', 'rsa'] as const;
type Kind = (typeof kinds)[number];

/** How OpenSSL makes a key of each kind. */
const keyOptions: Readonly<Record<Kind, readonly string[]>> = {
  ed25519: ['-algorithm', 'ed25519'],
  'ecdsa-p256': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072'],
};
let directory = '';

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-signing-'));
});
afterAll(() => rm(directory, { recursive: true }));

function run(command: string, ...args: string[]): Buffer {
  return execFileSync(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A key pair made by OpenSSL: `KIND.key` and `KIND.pub`. */
function makeKey(kind: Kind): void {
  run('openssl', 'genpkey', ...keyOptions[kind], '-out', `${kind}.key`);
  run('openssl', 'pkey', '-in', `${kind}.key`, '-pubout', '-out', `${kind}.pub`);
}

/** The signature of `payload` by OpenSSL with `KIND.key`. */
async function signByOpenssl(kind: Kind, payload: Uint8Array): Promise<SimpleSignature> {
  await writeFile(join(directory, 'payload'), payload);
  const signature =
    kind === 'ed25519'
      ? run('openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', `${kind}.key`, '-in', 'payload')
      : run('openssl', 'dgst', '-sha256', '-sign', `${kind}.key`, 'payload');
  return { payload: new Uint8Array(payload), signature: signature.toString('base64'), source: `openssl, ${kind}` };
}

/** Whether OpenSSL verifies `signature` over `payload` by `KIND.pub`. */
async function isVerifiedByOpenssl(kind: Kind, payload: Uint8Array, signature: Uint8Array): Promise<boolean> {
  await writeFile(join(directory, 'payload'), payload);
  await writeFile(join(directory, 'signature'), signature);
  const raw = [
    'pkeyutl',
    '-verify',
    '-rawin',
    '-pubin',
    '-inkey',
    `${kind}.pub`,
    '-sigfile',
    'signature',
    '-in',
    'payload',
  ];
  const digest = ['dgst', '-sha256', '-verify', `${kind}.pub`, '-signature', 'signature', 'payload'];
  try {
    run('openssl', ...(kind === 'ed25519' ? raw : digest));
    return true;
  } catch (error) {
    // 1: the signature does not verify. Anything else is a mistake of the test.
    if (error instanceof Error && 'status' in error && error.status === 1) return false;
    throw error;
  }
}

async function policyOf(kind: Kind, prefix = 'registry.test'): Promise<RuleTrustPolicy> {
  const key = parseTrustKey(kind, await readFile(join(directory, `${kind}.pub`)));
  const require = { keys: [kind], atLeast: 1 };
  return new RuleTrustPolicy({ keys: [key], rules: [{ prefix, require, isDowngradeAllowed: false }] });
}

describe.each(kinds)('a key and signature that OpenSSL made, %s', (kind) => {
  it('are accepted by the trust policy, for that payload only', async () => {
    makeKey(kind);
    const image = sampleImage(['v1']);
    const policy = await policyOf(kind);
    const judge = (evidence: SimpleSignature) =>
      codeOf(() => policy.judge({ image: resolved(image), signatures: [evidence] }).keyIds);
    const good = await signByOpenssl(kind, simpleSigningPayload(image.manifest.digest));
    expect(judge(good)).toEqual({ returned: [kind] });
    expect(judge({ ...good, payload: flipBit(good.payload, 5) })).toBe('signer-untrusted');
    const other = `sha256:${'0b'.repeat(32)}`;
    expect(judge(await signByOpenssl(kind, simpleSigningPayload(other)))).toBe('signature-mismatch');
  });
});

describe.each(['ed25519', 'ecdsa-p256'] as const)('a key and signature that we made, %s', (kind) => {
  it('are verified by OpenSSL, for that payload only', async () => {
    const folder = await mkdtemp(join(directory, 'ours-'));
    const [privateKeyFile, publicKeyFile] = [join(folder, 'release.key'), join(directory, `${kind}.pub`)];
    await rm(publicKeyFile, { force: true });
    await generateKeyPair({ algorithm: kind, privateKeyFile, publicKeyFile });
    const built = await buildSample(folder, { root: partitionBytes(100_000) });
    const reference = parseReference('registry.test/os/edge:v1');
    const key = parseSigningKey('release.key', await readFile(privateKeyFile, 'utf8'));
    await signInLayout(built.layout, undefined, reference, key, never);
    const source = layoutSource(built.layout);
    const [found] = (await source.signatures(await source.resolve(reference, never), never)) as SimpleSignature[];
    const signature = Buffer.from(found!.signature, 'base64');
    expect(Buffer.from(found!.payload).toString()).toContain(built.digest);
    expect(await isVerifiedByOpenssl(kind, found!.payload, signature)).toBe(true);
    expect(await isVerifiedByOpenssl(kind, flipBit(found!.payload, 5), signature)).toBe(false);
  });
});

/** What a DSSE signature is over (DSSE v1, "PAE"), put together by printf. */
function paeByShell(type: string, payload: Uint8Array): Buffer {
  execFileSync('sh', ['-c', `printf 'DSSEv1 %d %s %d ' ${type.length} ${type} ${payload.byteLength} > pae`], {
    cwd: directory,
  });
  execFileSync('sh', ['-c', 'cat >> pae'], { cwd: directory, input: payload });
  return run('cat', 'pae');
}

const statementType = 'application/vnd.in-toto+json';

describe('a Sigstore bundle', () => {
  it.each(kinds)('whose signature OpenSSL made is accepted by the trust policy: %s', async (kind) => {
    makeKey(kind);
    const image = sampleImage(['v1']);
    const statement = signatureStatement(image.manifest.digest);
    const { signature } = await signByOpenssl(kind, paeByShell(statementType, statement));
    const document = {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { publicKey: { hint: 'none' } },
      dsseEnvelope: {
        payload: statement.toString('base64'),
        payloadType: statementType,
        signatures: [{ sig: signature }],
      },
    };
    const bundle = new Uint8Array(Buffer.from(JSON.stringify(document)));
    const policy = await policyOf(kind);
    const judged = policy.judge({ image: resolved(image), signatures: [{ bundle, source: 'openssl' }] });
    expect(judged.keyIds).toEqual([kind]);
  });

  it.each(['ed25519', 'ecdsa-p256'] as const)(
    'that we put into docker-registry is found there, and verified by OpenSSL: %s',
    async (kind) => {
      const registry = await startDockerRegistry(directory, `bundles-${kind}`);
      try {
        makeKey(kind);
        const folder = await mkdtemp(join(directory, 'bundle-'));
        const built = await buildSample(folder, { root: partitionBytes(100_000, 9) });
        const reference = parseReference(`${registry.host}/os/bundles:v1`);
        run(
          'skopeo',
          '--insecure-policy',
          'copy',
          '--dest-tls-verify=false',
          `oci:${built.layout}:v1`,
          `docker://${reference.repository}:v1`,
        );
        const key = parseSigningKey(`${kind}.key`, await readFile(join(directory, `${kind}.key`), 'utf8'));
        const pusher = pusherFor(registry.host, 'os/bundles');
        await signInRegistry(pusher, reference, key, never, ['bundle']);
        pusher.close();
        const source = registrySource(registry.host);
        const image = await source.resolve(reference, never);
        const signatures = await source.signatures(image, never);
        source.close();
        const policy = await policyOf(kind, registry.host);
        expect(policy.judge({ image, signatures }).keyIds).toEqual([kind]);
        const [found] = signatures.flatMap((one) => ('bundle' in one ? [one] : []));
        const { dsseEnvelope } = JSON.parse(Buffer.from(found!.bundle).toString()) as {
          dsseEnvelope: { payload: string; payloadType: string; signatures: { sig: string }[] };
        };
        const pae = paeByShell(dsseEnvelope.payloadType, Buffer.from(dsseEnvelope.payload, 'base64'));
        const signature = Buffer.from(dsseEnvelope.signatures[0]!.sig, 'base64');
        expect(await isVerifiedByOpenssl(kind, pae, signature)).toBe(true);
        expect(await isVerifiedByOpenssl(kind, flipBit(pae, 5), signature)).toBe(false);
      } finally {
        await registry.stop();
      }
    },
    60_000,
  );
});

describe('layers and the zstd command', () => {
  async function* fromFile(path: string): AsyncGenerator<Uint8Array> {
    yield await readFile(path);
  }

  async function decoded(path: string): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of decodeLayer('zstd', fromFile(path))) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  it('agree on the layers that we build', async () => {
    const folder = await mkdtemp(join(directory, 'layer-'));
    const root = partitionBytes(3_000_000, 5);
    const built = await buildSample(folder, { root });
    const { layerDigest } = built.partitions[0]!;
    const layer = join(built.layout, 'blobs', layerDigest.replace(':', '/'));
    run('zstd', '-q', '-t', layer);
    run('zstd', '-q', '-d', layer, '-o', join(folder, 'decoded'));
    expect((await readFile(join(folder, 'decoded'))).equals(root)).toBe(true);
    expect((await decoded(layer)).equals(root)).toBe(true);
  });

  it('agree on layers of several frames that the command makes', async () => {
    const folder = await mkdtemp(join(directory, 'frames-'));
    const root = partitionBytes(9_000_000, 6);
    await writeFile(join(folder, 'one'), root.subarray(0, 4_000_001));
    await writeFile(join(folder, 'two'), root.subarray(4_000_001));
    run('zstd', '-q', '-3', join(folder, 'one'));
    run('zstd', '-q', '-19', '--no-check', join(folder, 'two'));
    run('sh', '-c', `cat '${folder}/one.zst' '${folder}/two.zst' > '${folder}/both.zst'`);
    expect((await decoded(join(folder, 'both.zst'))).equals(root)).toBe(true);
  });
});

describe('a signature that OpenSSL made and skopeo stored in docker-registry', () => {
  let registry: RealRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry(directory, 'registry');
  }, 60_000);
  afterAll(() => registry.stop());

  /** Pushes the image in `layout` with `evidence`, which skopeo itself puts into cosign's layout. */
  async function pushBySkopeo(layout: string, evidence: SimpleSignature, name: string): Promise<void> {
    const folder = await mkdtemp(join(directory, 'push-'));
    const [copy, settings] = [join(folder, 'copy'), join(folder, 'registries.d')];
    run('skopeo', '--insecure-policy', 'copy', `oci:${layout}:v1`, `dir:${copy}`);
    const mimeType = 'application/vnd.dev.cosign.simplesigning.v1+json';
    const payload = Buffer.from(evidence.payload).toString('base64');
    const annotations = { 'dev.cosignproject.cosign/signature': evidence.signature };
    const text = `\0sigstore-json\n${JSON.stringify({ mimeType, payload, annotations })}`;
    await writeFile(join(copy, 'signature-1'), text);
    await mkdir(settings);
    await writeFile(join(settings, 'default.yaml'), 'default-docker: {use-sigstore-attachments: true}\n');
    const to = ['--dest-tls-verify=false', `dir:${copy}`, `docker://${registry.host}/${name}`];
    run('skopeo', '--insecure-policy', '--registries.d', settings, 'copy', ...to);
  }

  it.each(kinds)(
    'is found by the registry source and accepted by the trust policy: %s',
    async (kind) => {
      makeKey(kind);
      const folder = await mkdtemp(join(directory, 'image-'));
      const built = await buildSample(folder, { root: partitionBytes(200_000, 7) });
      const good = await signByOpenssl(kind, simpleSigningPayload(built.digest, `${registry.host}/os/${kind}`));
      await pushBySkopeo(built.layout, good, `os/${kind}:v1`);
      const source = registrySource(registry.host);
      const reference = parseReference(`${registry.host}/os/${kind}:v1`);
      const image = await source.resolve(reference, never);
      expect(image.resolvedDigest).toBe(built.digest);
      const signatures = await source.signatures(image, never);
      expect(signatures).toMatchObject([{ signature: good.signature }]);
      const policy = await policyOf(kind, registry.host);
      expect(policy.judge({ image, signatures })).toMatchObject({ manifestDigest: built.digest, keyIds: [kind] });
      const verified = await verifyImage(source, reference, policy, true, never);
      // The partition and its block index.
      expect(verified.checkedLayers).toHaveLength(2);
      source.close();
    },
    60_000,
  );

  it('is refused when it is that of another image', async () => {
    makeKey('ed25519');
    const folder = await mkdtemp(join(directory, 'other-'));
    const built = await buildSample(folder, { root: partitionBytes(200_000, 8) });
    const other = await signByOpenssl('ed25519', simpleSigningPayload(`sha256:${'0b'.repeat(32)}`));
    await pushBySkopeo(built.layout, other, 'os/other:v1');
    const source = registrySource(registry.host);
    const image = await source.resolve(parseReference(`${registry.host}/os/other:v1`), never);
    const signatures = await source.signatures(image, never);
    const policy = await policyOf('ed25519', registry.host);
    expect(codeOf(() => policy.judge({ image, signatures }))).toBe('signature-mismatch');
    source.close();
  }, 60_000);
});
