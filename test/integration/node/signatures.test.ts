import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FactsFile } from '../../../agent/store/facts-file.ts';
import { bundleObject, fillRegistry, type SampleManifest, toManifest } from '../../fakes/sample-image.ts';
import { imageBundle, signatureStatement } from '../../fakes/signer.ts';
import { SigstoreAuthority } from '../../fakes/sigstore-authority.ts';
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
  await bench.node.provision(
    bench.config([
      [keys, `${keys}\n  ${more}`],
      ['rules: [', `rules: [${byIdentity}`],
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
  if (staged.exitCode === 0) await bench.kaonctl('cancel');
  return staged;
}

describe('a node, both halves of it', { timeout: 60_000 }, () => {
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

  it('keeps the attested time in both halves, as what the time is not before', async () => {
    const kept = JSON.parse(await readFile(join(bench.folder, 'slotd', 'signed-time.json'), 'utf8')) as object;
    expect(kept).toEqual({ formatVersion: 1, latestMs: authority.atMs });
    const { data } = await new FactsFile(join(bench.folder, 'state')).load();
    expect(data.signedTimeMs).toBe(authority.atMs);
  });
});
