import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseManifest } from '../../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { inspectImage } from '../../../agent/image/inspect-image.ts';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { signInLayout } from '../../../agent/image/sign-image.ts';
import { verifyImage } from '../../../agent/image/verify-image.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { sampleImage, writeLayout } from '../../fakes/sample-image.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { trustKey } from '../trust/samples.ts';
import { buildSample, layoutSource, makeFolder, never, partitionBytes } from './samples.ts';

const signer = makeSigner('ed25519');
const reference = parseReference('registry.test/os/edge:v1');
const policy = new RuleTrustPolicy({
  keys: [trustKey('release', signer)],
  rules: [{ prefix: 'registry.test/os', require: { keys: ['release'], atLeast: 1 }, isDowngradeAllowed: false }],
});
let folder: Awaited<ReturnType<typeof makeFolder>>;
beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => folder.remove());

const content = () => ({ root: partitionBytes(100_000, 1), boot: partitionBytes(50_000, 2) });
const sign = (layout: string) =>
  signInLayout(layout, undefined, reference, parseSigningKey('test.key', signer.privatePem), never);
const verify = (layout: string, isDeep: boolean) => verifyImage(layoutSource(layout), reference, policy, isDeep, never);

/** Turns one bit in the middle of a blob, which keeps its name and size. */
async function damage(layout: string, digest: string): Promise<void> {
  const path = join(layout, 'blobs', digest.replace(':', '/'));
  const bytes = await readFile(path);
  bytes[bytes.byteLength >> 1]! ^= 1;
  await writeFile(path, bytes);
}

describe('inspecting an image', () => {
  it('tells what it says of itself, and how many signatures lie beside it', async () => {
    const built = await buildSample(folder.path, content());
    const inspected = await inspectImage(layoutSource(built.layout), reference, never);
    expect(inspected).toMatchObject({
      resolvedDigest: built.digest,
      manifestDigest: built.digest,
      config: { name: 'edge', version: '1.2.3', rollbackIndex: 4 },
      signatures: [],
    });
    expect(inspected.layers.map(({ name, contentDigest }) => [name, contentDigest])).toEqual(
      built.partitions.map(({ name, contentDigest }) => [name, contentDigest]),
    );
    await sign(built.layout);
    expect((await inspectImage(layoutSource(built.layout), reference, never)).signatures).toHaveLength(2);
  });

  it('is judged with every layer that a node fetches of it, block indexes among them', async () => {
    const built = await buildSample(folder.path, content());
    await sign(built.layout);
    const source = layoutSource(built.layout);
    const image = await source.resolve(reference, never);
    const judged = policy.judge({ image, signatures: await source.signatures(image, never) });
    const { layers } = parseManifest(image.manifestBytes);
    const known = judged.partitions.flatMap(({ layerDigest, layerSizeBytes, index }) => [
      { digest: layerDigest, sizeBytes: layerSizeBytes },
      ...(index === undefined ? [] : [{ digest: index.layerDigest, sizeBytes: index.layerSizeBytes }]),
    ]);
    expect(known.map(({ digest }) => digest).toSorted()).toEqual(layers.map(({ digest }) => digest).toSorted());
    for (const each of known) expect(layers).toContainEqual(expect.objectContaining(each));
  });

  it('refuses what is no kaon image, and what is not there', async () => {
    const image = sampleImage(['v1']);
    const foreign = Buffer.from(image.manifest.bytes.toString().replace('vnd.kaon.config.v1', 'vnd.oci.config.v1'));
    const digest = `sha256:${createHash('sha256').update(foreign).digest('hex')}`;
    await writeLayout(folder.path, [{ ...image, manifests: [{ ...image.manifest, bytes: foreign, digest }] }]);
    const source = layoutSource(folder.path);
    await expect(inspectImage(source, reference, never)).rejects.toMatchObject({ code: 'manifest-invalid' });
    const missing = inspectImage(layoutSource(folder.path, 'v9'), reference, never);
    await expect(missing).rejects.toMatchObject({ code: 'image-not-found' });
  });
});

describe('verifying an image', () => {
  it('passes for a signed one, and reads layers only when it goes deep', async () => {
    const built = await buildSample(folder.path, content());
    await sign(built.layout);
    expect(await verify(built.layout, false)).toMatchObject({
      digest: built.digest,
      explanation: { verdict: { isTrusted: true, keyIds: ['release'] } },
      checkedLayers: [],
    });
    expect((await verify(built.layout, true)).checkedLayers).toEqual(
      [...built.partitions, ...built.partitions.map(({ index }) => index)].map(({ layerDigest, layerSizeBytes }) => ({
        digest: layerDigest,
        sizeBytes: layerSizeBytes,
      })),
    );
  });

  it('tells of an untrusted one without rejecting, and reads none of its layers', async () => {
    const built = await buildSample(folder.path, content());
    await damage(built.layout, built.partitions[0]!.layerDigest);
    const found = await verify(built.layout, true);
    expect(found.explanation.verdict).toMatchObject({
      isTrusted: false,
      reason: expect.stringMatching(/^signature-missing/) as string,
    });
    expect(found.checkedLayers).toEqual([]);
  });

  it('finds a damaged layer only when it goes deep', async () => {
    const built = await buildSample(folder.path, content());
    await sign(built.layout);
    await damage(built.layout, built.partitions[1]!.layerDigest);
    expect((await verify(built.layout, false)).explanation.verdict.isTrusted).toBe(true);
    await expect(verify(built.layout, true)).rejects.toMatchObject({
      code: 'digest-mismatch',
      message: expect.stringContaining(built.partitions[1]!.layerDigest) as string,
    });
  });
});
