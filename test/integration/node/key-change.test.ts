import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signatureLayer, signatureObject, fillRegistry } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench, type PushedImage } from './node-bench.ts';

let bench: NodeBench;
const next = makeSigner('ecdsa-p256');

beforeAll(async () => {
  bench = await NodeBench.open();
  await writeFile(join(bench.folder, 'next.pub'), next.publicPem);
  await bench.powerOn();
}, 60_000);

afterAll(async () => {
  await bench.close();
}, 60_000);

function signBy(image: PushedImage, signers: readonly TestSigner[]): void {
  const payload = simpleSigningPayload(image.digest);
  const layers = signers.map((signer) => signatureLayer(payload, signer.sign(payload).toString('base64')));
  fillRegistry(bench.registry.content, 'os/edge', [signatureObject(image.digest, layers, [payload])]);
}

/** Stages `image`, and boots it with a configuration that has the next key in place of the last, as its root brings it. */
async function updateWithNextKey(image: PushedImage): Promise<{ readonly result: string; readonly message?: string }> {
  expect(await bench.kaonctl('stage', image.reference)).toMatchObject({ exitCode: 0 });
  const staged = (await bench.node.read('/v1/status')) as { readonly current: { readonly request: { id: string } } };
  await bench.node.configure(bench.config([[`${bench.folder}/release.pub`, `${bench.folder}/next.pub`]]));
  await bench.kaonctl('activate', '--reboot');
  return until('the end of the update', 30_000, async () => {
    const update = (await bench.node.read(`/v1/updates/${staged.current.request.id}`)) as
      { readonly outcome?: { readonly result: string; readonly message?: string } } | undefined;
    return update?.outcome;
  });
}

describe('an image that brings the next key', { timeout: 90_000 }, () => {
  it('rolls back where only the last key signed it, and the last key stands', async () => {
    const image = bench.push({ signer: 'nobody', seed: 51 });
    signBy(image, [bench.release]);
    const outcome = await updateWithNextKey(image);
    expect(outcome.result).toBe('rolled-back');
    const rollbacks = await bench.kaonctl('rollbacks', '--json');
    expect(rollbacks.stdout).toContain('does not trust the image itself');
    // The root of the old slot has the old key; here it is put back by hand.
    await bench.node.powerOff();
    await bench.node.configure(bench.config());
    await bench.powerOn();
    expect(await bench.goodUpdateWorks()).toBe(true);
  });

  it('is committed where both signed it, and from then on the next key decides', async () => {
    const image = bench.push({ signer: 'nobody', seed: 52 });
    signBy(image, [bench.release, next]);
    expect((await updateWithNextKey(image)).result).toBe('committed');
    const byLast = bench.push({ seed: 53 });
    expect((await bench.kaonctl('stage', byLast.reference)).stderr).toContain('signer-untrusted');
  });
});
