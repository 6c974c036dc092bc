import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fillRegistry, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

let bench: NodeBench;
const lab = makeSigner('ecdsa-p256');

beforeAll(async () => {
  bench = await NodeBench.open();
  await writeFile(join(bench.folder, 'lab.pub'), lab.publicPem);
}, 60_000);
afterAll(async () => {
  await bench.close();
}, 60_000);
beforeEach(async () => {
  await bench.node.powerOff();
});

/** The configuration with a key of the laboratory, whose images lie below lab; `changes` are made to it. */
function config(...changes: readonly (readonly [from: string, to: string])[]): string {
  const { folder, registry } = bench;
  const key = `{ release: { file: ${folder}/release.pub }`;
  const rule = `rules: [{ prefix: "${registry.host}/os"`;
  return bench.config([
    [key, `${key}, lab: { file: ${folder}/lab.pub }`],
    [rule, `rules: [{ prefix: "${registry.host}/lab", require: { keys: [lab] } }, { prefix: "${registry.host}/os"`],
    ...changes,
  ]);
}

async function start(text: string): Promise<void> {
  await bench.node.configure(text);
  await bench.powerOn();
}

/** Pushes an image to `repository` and stages it; what kaonctl says of a refusal, and nothing where it is staged. */
async function stage(repository: string, ...signers: readonly TestSigner[]): Promise<string> {
  const image = bench.push({ repository, signer: 'nobody' });
  const payload = simpleSigningPayload(image.digest);
  const layers = signers.map((signer) => signatureLayer(payload, signer.sign(payload).toString('base64')));
  fillRegistry(bench.registry.content, repository, [signatureObject(image.digest, layers, [payload])]);
  const { exitCode, stderr } = await bench.kaonctl('stage', image.reference);
  if (exitCode !== 0) return stderr;
  await bench.kaonctl('cancel');
  await until('the end of the update', 60_000, async () => {
    const status = (await bench.node.read('/v1/status')) as { readonly phase: string } | undefined;
    return status?.phase === 'idle' ? true : undefined;
  });
  return '';
}

describe('a node whose images may come from two repositories', { timeout: 120_000 }, () => {
  it('follows that of the first image, and takes one of the other only if it is signed by the rule of both', async () => {
    await start(config());
    expect(await stage('os/edge', bench.release)).toBe('');
    expect(await stage('lab/edge', lab)).toContain('code: repository-refused');
    expect(await stage('lab/edge', lab, bench.release)).toBe('');
    // It still follows the first.
    expect(await stage('lab/edge', lab)).toContain('code: repository-refused');
    expect(await stage('os/edge', bench.release)).toBe('');
  });

  it('takes images of each repository that its configuration lists, and of no other', async () => {
    const { host } = bench.registry;
    const listing = (...names: readonly string[]): readonly [string, string] => [
      'trust:\n',
      `trust:\n  repositories: [${names.map((name) => `"${host}/${name}"`).join(', ')}]\n`,
    ];
    await start(config(listing('lab', 'os/edge')));
    expect(await stage('lab/edge', lab)).toBe('');
    expect(await stage('os/edge', bench.release)).toBe('');
    expect(await stage('os/other', bench.release)).toContain('code: repository-refused');
  });

  it('follows another one when its configuration has no rule for the first any more', async () => {
    const { host } = bench.registry;
    await start(config([`{ prefix: "${host}/os"`, `{ prefix: "${host}/retired"`]));
    expect(await stage('lab/edge', lab)).toBe('');
    await bench.node.powerOff();
    await start(config());
    expect(await stage('os/edge', bench.release)).toContain('code: repository-refused');
  });
});
