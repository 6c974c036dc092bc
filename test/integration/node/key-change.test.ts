import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LyingKaond } from '../../fakes/lying-kaond.ts';
import { fillRegistry, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { makeSigner, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { until } from '../../fakes/simulated-node.ts';
import { rootContent } from '../../fakes/slot-root.ts';
import { NodeBench, type PushedImage, slotBytes } from './node-bench.ts';

/**
 * Keys that come with an image: each slot holds a root of its own with a trust policy in /usr/lib/kaon, and what the node
 * itself is configured with has none and is never touched. Both daemons are asked; kaon-slotd by somebody in the place of
 * kaond, which would refuse before.
 */
let bench: NodeBench;
const next = makeSigner('ecdsa-p256');

beforeEach(async () => {
  bench = await NodeBench.open();
  const { folder, registry } = bench;
  const trust = `trust:
  keys: { release: { file: ${folder}/release.pub } }
  rules: [{ prefix: "${registry.host}/os", require: { keys: [release] } }]
`;
  // A trial passes once somebody says so.
  const check = `{ name: word, kind: command, command: [/bin/test, -e, ${folder}/word], interval: 100ms }`;
  await bench.node.configure(bench.config([[trust, `health: { deadline: 10m, checks: [${check}] }\n`]]));
  await writeFile(join(folder, 'slot-a.img'), rootContent(rootWith(bench.release), slotBytes));
  await bench.powerOn();
}, 60_000);

afterEach(async () => {
  await bench.close();
}, 60_000);

/** The files of a root whose images `signer` has to sign. */
function rootWith(signer: TestSigner): Readonly<Record<string, string>> {
  const policy = `trust:
  keys: { image: { file: ${bench.root}/usr/lib/kaon/image.pub } }
  rules: [{ prefix: "${bench.registry.host}/os", require: { keys: [image] } }]
`;
  return { 'usr/lib/kaon/kaon.yaml': policy, 'usr/lib/kaon/image.pub': signer.publicPem.toString() };
}

function signatures(digest: string, signers: readonly TestSigner[]) {
  const payload = simpleSigningPayload(digest);
  return signers.map((signer) => ({ payload, signature: signer.sign(payload).toString('base64') }));
}

/** An image that brings the policy of `brings`. */
function push(brings: TestSigner, ...signers: readonly TestSigner[]): PushedImage {
  const version = { 'etc/version': String(bench.registry.requests.length) };
  const content = rootContent({ ...rootWith(brings), ...version }, slotBytes / 2);
  const image = bench.push({ signer: 'nobody', content });
  const made = signatures(image.digest, signers);
  const layers = made.map(({ payload, signature }) => signatureLayer(payload, signature));
  const payloads = made.map(({ payload }) => payload);
  fillRegistry(bench.registry.content, 'os/edge', [signatureObject(image.digest, layers, payloads)]);
  return image;
}

/** What kaon-slotd itself answers to the write of an image that `signer` alone signed, before any layer is sent. */
async function slotdSays(signer: TestSigner, slot: 'a' | 'b'): Promise<string> {
  const { reference, digest } = push(signer, signer);
  const { content } = bench.registry;
  const manifest = content.manifest('os/edge', digest)?.bytes ?? Buffer.alloc(0);
  const { config } = JSON.parse(manifest.toString()) as { readonly config: { readonly digest: string } };
  const image = {
    reference,
    resolvedDigest: digest,
    manifestDigest: digest,
    manifest: manifest.toString('base64'),
    config: (content.blob('os/edge', config.digest) ?? Buffer.alloc(0)).toString('base64'),
    signatures: signatures(digest, [signer]).map(({ payload, signature }) => ({
      payload: payload.toString('base64'),
      signature,
      source: 'here',
    })),
  };
  // kaond starts it where it was idle.
  await bench.kaonctl('status');
  return new LyingKaond(join(bench.folder, 'run/slotd.sock')).ask({ method: 'write-slot', slot, image, patches: [] });
}

/** What both daemons say to images by `signer` alone: staged by kaond and written, or the codes of their refusals. */
async function bothSay(signer: TestSigner, inactive: 'a' | 'b'): Promise<readonly [kaond: string, slotd: string]> {
  const { exitCode, stderr } = await bench.kaonctl('stage', push(signer, signer).reference);
  if (exitCode === 0) {
    await bench.kaonctl('cancel');
    await until('the end of the update', 60_000, async () => ((await phase()) === 'idle' ? true : undefined));
    // It wrote the slot, so that both took it.
    return ['staged', 'written'];
  }
  return [/code: (\S+)/.exec(stderr)?.[1] ?? stderr, await slotdSays(signer, inactive)];
}

async function phase(): Promise<string | undefined> {
  return ((await bench.node.read('/v1/status')) as { readonly phase: string } | undefined)?.phase;
}

/** Installs `image` up to its trial; resolves to what waits for the end of that update. */
async function intoTrial(image: PushedImage): Promise<() => Promise<string>> {
  expect(await bench.kaonctl('stage', image.reference)).toMatchObject({ exitCode: 0 });
  const { current } = (await bench.node.read('/v1/status')) as {
    readonly current: { readonly request: { id: string } };
  };
  await bench.kaonctl('activate', '--reboot');
  await until('the boot of the other slot', 60_000, async () => (bench.node.booted === 'b' ? true : undefined));
  return () =>
    until('the end of the update', 60_000, async () => {
      const update = (await bench.node.read(`/v1/updates/${current.request.id}`)) as
        { readonly outcome?: { readonly result: string } } | undefined;
      return update?.outcome?.result;
    });
}

const giveWord = () => writeFile(join(bench.folder, 'word'), '');

const trusted = ['staged', 'written'];
const untrusted = ['signer-untrusted', 'signer-untrusted'];

describe('an image that brings the next key in its root', { timeout: 240_000 }, () => {
  it('is refused while the last key rules, where the next one alone signed it', async () => {
    expect(await bothSay(next, 'b')).toEqual(untrusted);
    expect(await bothSay(bench.release, 'b')).toEqual(trusted);
  });

  it('rolls back where only the last key signed it, and with its root the last key is back', async () => {
    await giveWord();
    const ended = await intoTrial(push(next, bench.release));
    expect(await ended()).toBe('rolled-back');
    expect((await bench.kaonctl('rollbacks', '--json')).stdout).toContain('does not trust the image itself');
    expect(bench.node.booted).toBe('a');
    expect(await bothSay(next, 'b')).toEqual(untrusted);
    expect(await bothSay(bench.release, 'b')).toEqual(trusted);
  });

  it('gives the next key nothing to write in its trial, and all from its commit on', async () => {
    const ended = await intoTrial(push(next, bench.release, next));
    await until('the trial', 60_000, async () => ((await phase()) === 'trial' ? true : undefined));
    // The root that runs has the next key, but what runs is unproven, and no fallback for a write.
    expect(await bothSay(next, 'a')).toEqual(['update-in-progress', 'booted-slot-unproven']);
    expect(await bothSay(bench.release, 'a')).toEqual(['update-in-progress', 'signer-untrusted']);
    await giveWord();
    expect(await ended()).toBe('committed');
    expect(await bothSay(bench.release, 'a')).toEqual(untrusted);
    expect(await bothSay(next, 'a')).toEqual(trusted);
  });

  it('leaves the last key in the other slot, where an operator who goes back finds it', async () => {
    await giveWord();
    expect(await (await intoTrial(push(next, bench.release, next)))()).toBe('committed');
    await bench.kaonctl('rollback', '--detach');
    await until('the old slot', 60_000, async () =>
      bench.node.booted === 'a' && (await phase()) === 'idle' ? true : undefined,
    );
    expect(await bothSay(next, 'b')).toEqual(untrusted);
    expect(await bothSay(bench.release, 'b')).toEqual(trusted);
  });
});
