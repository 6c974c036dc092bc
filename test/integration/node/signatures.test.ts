import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FactsFile } from '../../../agent/store/facts-file.ts';
import { bundleObject, fillRegistry, type SampleManifest, toManifest } from '../../fakes/sample-image.ts';
import { imageBundle, signatureStatement } from '../../fakes/signer.ts';
import { SigstoreAuthority } from '../../fakes/sigstore-authority.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench, type PushedImage } from './node-bench.ts';

const ci = { issuer: 'https://issuer.test', subject: 'https://forge.test/acme/os/release@refs/heads/main' };

let bench: NodeBench;
let authority: SigstoreAuthority;

beforeAll(async () => {
  bench = await NodeBench.open();
  authority = await SigstoreAuthority.start();
  await writeFile(join(bench.folder, 'trusted-root.json'), authority.trustedRoot);
  const keys = `keys: { release: { file: ${bench.folder}/release.pub } }`;
  const more = `identities: { ci: { issuer: "${ci.issuer}", subject: "${ci.subject}" } }\n  trustedRoot: ${bench.folder}/trusted-root.json`;
  const byIdentity = `{ prefix: "${bench.registry.host}/os/edge/ci", require: { identities: [ci] } }, `;
  const built = `{ identities: [ci], builder: "https://forge.test/runner", buildType: "https://forge.test/build", source: { repository: "https://forge.test/acme/os" } }`;
  const byBuild = `{ prefix: "${bench.registry.host}/os/edge/built", require: { keys: [release] }, requireProvenance: ${built} }, `;
  await bench.node.provision(
    bench.config([
      // Each of the repositories has signers of its own.
      [keys, `${keys}\n  ${more}\n  repositories: ["${bench.registry.host}/os"]`],
      ['rules: [', `rules: [${byIdentity}${byBuild}`],
    ]),
  );
  await bench.powerOn();
}, 60_000);

afterAll(async () => {
  await bench.close();
  await authority.close();
}, 60_000);

/** Puts `bundles` beside `image`, and nothing else. */
function putBundles(image: PushedImage, repository: string, bundles: readonly Uint8Array[]): void {
  const held = bench.registry.content.manifest(repository, image.digest)!;
  const subject: SampleManifest = { ...toManifest({}, held.mediaType, []), bytes: held.bytes, digest: held.digest };
  fillRegistry(bench.registry.content, repository, [bundleObject(subject, bundles)]);
}

async function stageAndCancel(image: PushedImage): Promise<{ readonly exitCode: number; readonly stderr: string }> {
  const staged = await bench.kaonctl('stage', image.reference);
  if (staged.exitCode === 0) await cancel();
  return staged;
}

/** Cancels what is staged; an update that ends is still in the way of the next one. */
async function cancel(): Promise<void> {
  await bench.kaonctl('cancel');
  await until('the end of the update', 60_000, async () => {
    const status = (await bench.node.read('/v1/status')) as { readonly phase: string } | undefined;
    return status?.phase === 'idle' ? true : undefined;
  });
}

describe('a node, both halves of it', { timeout: 180_000 }, () => {
  it('installs an image that a key signed in a bundle alone', async () => {
    const image = bench.push({ signer: 'nobody', seed: 41 });
    expect((await stageAndCancel(image)).stderr).toContain('signature-missing');
    putBundles(image, 'os/edge', [imageBundle(bench.release, image.digest).bundle]);
    expect(await stageAndCancel(image)).toMatchObject({ exitCode: 0 });
    expect((await bench.slot('b')).subarray(0, image.content.byteLength).equals(image.content)).toBe(true);
  });

  it('installs an image that an identity of its rule signed, and none of another or by a key', async () => {
    const repository = 'os/edge/ci';
    const image = bench.push({ repository, signer: 'nobody', seed: 42 });
    const statement = signatureStatement(image.digest);
    const before = await bench.untouched();
    const stranger = await authority.sign(statement, { ...ci, subject: `${ci.subject}-not` });
    putBundles(image, repository, [stranger.bundle, imageBundle(bench.release, image.digest).bundle]);
    expect((await stageAndCancel(image)).stderr).toContain('signer-untrusted');
    expect(await bench.untouched()).toEqual(before);
    putBundles(image, repository, [stranger.bundle, (await authority.sign(statement, ci, { log: 'v2' })).bundle]);
    expect(await stageAndCancel(image)).toMatchObject({ exitCode: 0 });
    expect((await bench.slot('b')).subarray(0, image.content.byteLength).equals(image.content)).toBe(true);
  });

  it('installs an image whose builder vouches for its source, shows by whom, and takes no other source', async () => {
    const repository = 'os/edge/built';
    const image = bench.push({ repository, signer: 'nobody', seed: 43 });
    const signature = imageBundle(bench.release, image.digest).bundle;
    const provenanceFrom = async (source: string) => {
      const predicate = {
        buildDefinition: { buildType: 'https://forge.test/build', externalParameters: { source } },
        runDetails: { builder: { id: 'https://forge.test/runner' } },
      };
      const predicateType = 'https://slsa.dev/provenance/v1';
      return (await authority.sign(signatureStatement(image.digest, { predicateType, predicate }), ci)).bundle;
    };
    putBundles(image, repository, [signature, await provenanceFrom('git+https://forge.test/evil/os@refs/heads/main')]);
    const refused = await stageAndCancel(image);
    expect(refused.stderr).toContain('provenance-untrusted');
    expect(refused.stderr).toContain('https://forge.test/evil/os');
    putBundles(image, repository, [signature, await provenanceFrom('git+https://forge.test/acme/os@refs/heads/main')]);
    expect((await bench.kaonctl('plan', image.reference)).stdout).toMatch(
      /built by https:\/\/forge\.test\/runner from/,
    );
    expect(await bench.kaonctl('stage', image.reference)).toMatchObject({ exitCode: 0 });
    const { slots } = (await bench.node.read('/v1/status')) as { readonly slots: readonly { deployment?: object }[] };
    expect(slots[1]?.deployment).toMatchObject({
      keyIds: ['release'],
      provenance: { builderId: 'https://forge.test/runner', sourceRef: 'refs/heads/main', signerId: 'ci' },
    });
    const vouched = /slot b: signed with release .*; built by https:\/\/forge\.test\/runner from .*, as ci vouches/;
    expect((await bench.kaonctl('status')).stdout).toMatch(vouched);
    await cancel();
  });

  it('keeps the attested time in both halves, as what the time is not before', async () => {
    const kept = JSON.parse(await readFile(join(bench.folder, 'slotd', 'signed-time.json'), 'utf8')) as object;
    expect(kept).toEqual({ formatVersion: 1, latestMs: authority.atMs });
    const { data } = await new FactsFile(join(bench.folder, 'state')).load();
    expect(data.signedTimeMs).toBe(authority.atMs);
  });
});
