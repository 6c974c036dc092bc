import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { ImageSource } from '../../../agent/core/ports.ts';
import { inspectImage } from '../../../agent/image/inspect-image.ts';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { signInLayout, signInRegistry } from '../../../agent/image/sign-image.ts';
import { verifyImage } from '../../../agent/image/verify-image.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import { fillRegistry, sampleImage, sampleIndex, writeLayout } from '../../fakes/sample-image.ts';
import { makeSigner, type TestSigner } from '../../fakes/signer.ts';
import { resolved, trustKey } from '../trust/samples.ts';
import { layoutSource, makeFolder, never, pusherFor, registrySource } from './samples.ts';

const [one, two] = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];
const keyOf = (signer: TestSigner) => parseSigningKey('test.key', signer.privatePem);
const image = sampleImage(['v1']);
const other = sampleImage(['v2'], 8192, 2);
const { digest } = image.manifest;
const tag = `${digest.replace(':', '-')}.sig`;

function policyFor(prefix: string, atLeast = 1): RuleTrustPolicy {
  const keys = [trustKey('one', one), trustKey('two', two)];
  return new RuleTrustPolicy({
    keys,
    rules: [{ prefix, require: { keys: ['one', 'two'], atLeast }, isDowngradeAllowed: false }],
  });
}

/** The keys that made the image trusted, or the reason why it is not. */
async function verdictOf(source: ImageSource, reference: string, atLeast = 1): Promise<readonly string[] | string> {
  const parsed = parseReference(reference);
  const { explanation } = await verifyImage(source, parsed, policyFor(parsed.registry, atLeast), false, never);
  return explanation.verdict.isTrusted ? explanation.verdict.keyIds : explanation.verdict.reason;
}

let folder: Awaited<ReturnType<typeof makeFolder>>;
let registry: EmbeddedRegistry;
beforeEach(async () => {
  folder = await makeFolder();
  registry = await startRegistry();
});
afterEach(async () => {
  await folder.remove();
  await registry.close();
});

describe('signing in a layout', () => {
  const name = 'registry.test/os/edge:v1';
  const sign = (signer: TestSigner, reference = name, refName?: string) =>
    signInLayout(folder.path, refName, parseReference(reference), keyOf(signer), never);

  it('makes the image trusted there', async () => {
    await writeLayout(folder.path, [image, other]);
    expect(await verdictOf(layoutSource(folder.path), name)).toMatch(/^signature-missing/);
    expect(await sign(one)).toEqual({
      digest,
      tag,
      formats: ['simple-signing', 'bundle'],
      keyFingerprint: one.fingerprint,
    });
    expect(await verdictOf(layoutSource(folder.path), name)).toEqual(['one']);
    expect(await verdictOf(layoutSource(folder.path), 'registry.test/os/edge:v2')).toMatch(/^signature-missing/);
  });

  it('adds beside the signatures that are there, and changes nothing when repeated', async () => {
    await writeLayout(folder.path, [image]);
    await sign(one);
    await sign(two);
    expect(await verdictOf(layoutSource(folder.path), name, 2)).toEqual(['one', 'two']);
    const before = await readFile(join(folder.path, 'index.json'), 'utf8');
    await sign(two);
    await sign(one);
    expect(await readFile(join(folder.path, 'index.json'), 'utf8')).toBe(before);
  });

  it('signs an index where the name is that of an index', async () => {
    const index = sampleIndex([{ image: image.manifest, architecture: 'amd64' }], ['v1']);
    const unnamed = { ...image, manifests: [{ ...image.manifest, names: [] }] };
    await writeLayout(folder.path, [unnamed, { manifests: [index], blobs: [] }]);
    expect((await sign(one)).digest).toBe(index.digest);
    expect(await verdictOf(layoutSource(folder.path), name)).toEqual(['one']);
  });

  it('refuses to sign another image than the reference pins', async () => {
    await writeLayout(folder.path, [image, other]);
    const signing = sign(one, `registry.test/os/edge@${digest}`, 'v2');
    await expect(signing).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(await verdictOf(layoutSource(folder.path, 'v2'), 'registry.test/os/edge:v2')).toMatch(/^signature-missing/);
  });

  it('refuses what is not there, and a folder that is no layout', async () => {
    await writeLayout(folder.path, [image, other]);
    await expect(sign(one, 'registry.test/os/edge:v9')).rejects.toMatchObject({ code: 'image-not-found' });
    await rm(join(folder.path, 'oci-layout'));
    await expect(sign(one)).rejects.toMatchObject({ code: 'archive-invalid' });
  });
});

describe('signing in a registry', () => {
  const sign = async (signer: TestSigner, rest = ':v1') => {
    const pusher = pusherFor(registry.host, 'os/edge');
    try {
      return await signInRegistry(pusher, parseReference(`${registry.host}/os/edge${rest}`), keyOf(signer), never);
    } finally {
      pusher.close();
    }
  };
  const verdict = async (rest = ':v1', atLeast = 1) => {
    const source = registrySource(registry.host);
    try {
      return await verdictOf(source, `${registry.host}/os/edge${rest}`, atLeast);
    } finally {
      source.close();
    }
  };

  it('makes the image trusted there, by tag and by digest', async () => {
    fillRegistry(registry.content, 'os/edge', [image, other]);
    expect(await verdict()).toMatch(/^signature-missing/);
    expect(await sign(one)).toEqual({
      digest,
      tag,
      formats: ['simple-signing', 'bundle'],
      keyFingerprint: one.fingerprint,
    });
    expect(await verdict()).toEqual(['one']);
    expect(await verdict(`@${digest}`)).toEqual(['one']);
    expect(await verdict(':v2')).toMatch(/^signature-missing/);
  });

  it('adds beside the signatures that are there, and changes nothing when repeated', async () => {
    fillRegistry(registry.content, 'os/edge', [image]);
    await sign(two);
    await sign(one, `@${digest}`);
    expect(await verdict(':v1', 2)).toEqual(['two', 'one']);
    const names = [tag, digest.replace(':', '-')];
    const digests = () => names.map((name) => registry.content.manifest('os/edge', name)?.digest);
    const before = digests();
    await sign(two);
    expect(digests()).toEqual(before);
    expect(before).not.toContain(undefined);
  });

  it('uploads no blob that is there', async () => {
    fillRegistry(registry.content, 'os/edge', [image]);
    await sign(one);
    const uploads = () => registry.requests.filter(({ method }) => method === 'POST').length;
    // An empty config, a payload, a bundle; and then another bundle.
    expect(uploads()).toBe(3);
    await sign(two);
    expect(uploads()).toBe(4);
  });

  it('refuses what is not there, and what has another digest than the reference pins', async () => {
    fillRegistry(registry.content, 'os/edge', [image]);
    await expect(sign(one, ':v9')).rejects.toMatchObject({ code: 'image-not-found' });
    const wrong = `sha256:${'0b'.repeat(32)}`;
    registry.content.putManifest('os/edge', other.manifest.bytes, other.manifest.mediaType, wrong);
    await expect(sign(one, `@${wrong}`)).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(registry.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('does not write over signatures that it cannot read', async () => {
    fillRegistry(registry.content, 'os/edge', [image]);
    registry.content.putManifest('os/edge', Buffer.from('{"layers":{}}'), image.manifest.mediaType, tag);
    await expect(sign(one)).rejects.toMatchObject({ code: 'manifest-invalid' });
    expect(registry.content.manifest('os/edge', tag)?.bytes.toString()).toBe('{"layers":{}}');
  });

  it('is told of by inspection, which verifies nothing', async () => {
    fillRegistry(registry.content, 'os/edge', [image]);
    await sign(one);
    const source = registrySource(registry.host);
    const inspected = await inspectImage(source, parseReference(`${registry.host}/os/edge:v1`), never);
    source.close();
    expect(inspected.signatures).toEqual([
      { source: expect.stringContaining(tag) as string, payloadBytes: expect.any(Number) as number },
      { source: expect.stringContaining('os/edge@sha256:') as string, payloadBytes: expect.any(Number) as number },
    ]);
  });
});

describe.each(['simple-signing', 'bundle'] as const)('signing as %s alone', (format) => {
  it.each([one, two])('makes the image trusted with a $kind key, and puts nothing else there', async (signer) => {
    fillRegistry(registry.content, 'os/edge', [image]);
    const pusher = pusherFor(registry.host, 'os/edge');
    const reference = parseReference(`${registry.host}/os/edge:v1`);
    await signInRegistry(pusher, reference, keyOf(signer), never, [format]);
    pusher.close();
    const source = registrySource(registry.host);
    const found = await source.signatures(await source.resolve(reference, never), never);
    source.close();
    expect(found.map((evidence) => 'bundle' in evidence)).toEqual([format === 'bundle']);
    expect(policyFor('registry.test').judge({ image: resolved(image), signatures: found }).keyIds).toHaveLength(1);
  });
});
