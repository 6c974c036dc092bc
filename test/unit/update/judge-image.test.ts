import { describe, expect, it } from 'vitest';
import type { LoaderProof } from '../../../agent/core/facts.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { SlotService } from '../../../agent/core/ports.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { ImageJudge, pinned, targetOf } from '../../../agent/update/judge-image.ts';
import { planOf } from '../../../agent/update/plan.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';
import { digest, target } from '../core/samples.ts';
import { type TestImage, testImage, TestRegistry } from './registry.ts';
import { deploymentIn, nodeWhere, soundNode } from './samples.ts';
import { codeOf } from './wiring.ts';

const reference = parseReference('registry.acme.io/os/edge:v2');
const never = new AbortController().signal;

const proven: LoaderProof = { loader: 'grub/kaon', isProven: true, by: 'boot', atMs: 1 };

interface JudgeOptions {
  readonly loaderProof?: LoaderProof | undefined;
  readonly isProofRequired?: boolean;
}

async function judgeOf(
  image: TestImage,
  node = soundNode,
  options: JudgeOptions = { loaderProof: proven },
): Promise<{ judge: ImageJudge; opened: (string | undefined)[] }> {
  const registry = new TestRegistry();
  registry.push(image);
  const opened: (string | undefined)[] = [];
  const refuse = () => Promise.reject(new Error('judging changes nothing'));
  const slots: SlotService = {
    readNode: async () => node,
    repairLoader: refuse,
    writeSlot: refuse,
    estimateWrite: refuse,
    activate: refuse,
    markGood: refuse,
    markBad: refuse,
    reboot: refuse,
    armLoaderTest: refuse,
    readLoaderTest: refuse,
    clearLoaderTest: refuse,
    keepEvidence: refuse,
  };
  const sources = (from: string | undefined) => {
    opened.push(from);
    return registry;
  };
  const identity = { compatible: 'acme-gw-2', agentVersion: '1.4.0' };
  const facts = new FactsKeeper(new MemoryFacts());
  const { loaderProof, isProofRequired = false } = options;
  await facts.change((data) => ({ ...data, loaderProof }));
  const loader = { name: 'grub/kaon', isProofRequired };
  return { judge: new ImageJudge({ sources, trust: registry, slots, facts, identity, loader }), opened };
}

describe('judging an image', () => {
  it('says what it would put where', async () => {
    const image = testImage('v2', { rollbackIndex: 4 });
    const { judge } = await judgeOf(image);
    const { manifestDigest } = image.facts;
    expect(targetOf(await judge.judge(reference, undefined, {}, never))).toEqual({
      slot: 'b',
      previous: 'a',
      digest: manifestDigest,
      resolvedDigest: manifestDigest,
      version: 'v2',
      rollbackIndex: 4,
      keyIds: ['release-1'],
      rule: 'registry.acme.io/os',
    });
  });

  it('takes the image from where the request says', async () => {
    const { judge, opened } = await judgeOf(testImage('v2'));
    await judge.judge(reference, 'oci:/media/usb', {}, never);
    expect(opened).toEqual(['oci:/media/usb']);
  });

  it('knows the image that runs only in a slot that is proven', async () => {
    const image = testImage('v2');
    const deployments = { a: deploymentIn('a', { digest: image.facts.manifestDigest }) };
    const runs = async (node = soundNode) =>
      (await (await judgeOf(image, node)).judge.judge(reference, undefined, deployments, never)).isAlreadyRunning;
    expect(await runs()).toBe(true);
    expect(await runs(nodeWhere('unrenewed', 'bad'))).toBe(false);
    expect(await runs({ ...soundNode, booted: 'b' })).toBe(false);
  });

  it('rejects what nobody signed', async () => {
    const { judge } = await judgeOf(testImage('v2'));
    const other = parseReference('registry.acme.io/os/edge:v3');
    expect(await codeOf(judge.judge(other, undefined, {}, never))).toBe('image-not-found');
  });
});

describe('a plan', () => {
  async function warnings(image: TestImage, node = soundNode, hasLoaderCounted?: boolean): Promise<string> {
    const judged = await (await judgeOf(image, node)).judge.judge(reference, undefined, {}, never);
    return planOf('v2', judged, hasLoaderCounted).warnings.join('\n');
  }

  it('warns of a loader that was seen not to count', async () => {
    expect(await warnings(testImage('v2'), soundNode, false)).toContain('would never fall back');
    expect(await warnings(testImage('v2'), soundNode, true)).toBe('');
  });

  it('warns of a loader that never showed that it counts, or showed that it does not', async () => {
    const image = testImage('v2');
    const planned = async (loaderProof: LoaderProof | undefined) => {
      const { judge } = await judgeOf(image, soundNode, { loaderProof });
      return planOf('v2', await judge.judge(reference, undefined, {}, never), undefined).warnings.join('\n');
    };
    expect(await planned(undefined)).toContain('selftest --reboot');
    expect(await planned({ ...proven, isProven: false })).toContain('did not write back');
    expect(await planned({ ...proven, loader: 'gpt' })).toContain('selftest --reboot');
    expect(await planned(proven)).toBe('');
  });

  it.each([
    ['never showed that it counts', undefined],
    ['did not count when it should have', { ...proven, isProven: false }],
  ])('is blocked where the update rules want a proof of a loader that %s', async (_what, loaderProof) => {
    const { judge } = await judgeOf(testImage('v2'), soundNode, { loaderProof, isProofRequired: true });
    const { blockers } = await judge.judge(reference, undefined, {}, never);
    expect(blockers).toMatchObject([{ code: 'loader-unproven' }]);
  });

  it('is not blocked where the loader has the proof', async () => {
    const { judge } = await judgeOf(testImage('v2'), soundNode, { loaderProof: proven, isProofRequired: true });
    expect((await judge.judge(reference, undefined, {}, never)).blockers).toEqual([]);
  });

  it('warns where a trial has one try', async () => {
    expect(await warnings(testImage('v2'), { ...soundNode, maxTries: 1 })).toContain('one try');
    expect(await warnings(testImage('v2'))).toBe('');
  });

  it('states no size to write when the image states none, and warns', async () => {
    const root = { name: 'root', layerDigest: digest, layerSizeBytes: 10, contentSizeBytes: undefined };
    const image = testImage('v2', { partitions: [root] });
    expect(await warnings(image)).toContain('does not state the size');
    const plan = planOf('v2', await (await judgeOf(image)).judge.judge(reference, undefined, {}, never), undefined);
    expect(plan).toMatchObject({ downloadBytes: 10, writeBytes: undefined });
  });
});

describe('a pinned reference', () => {
  it('names what the tag resolved to, else the image itself', () => {
    const index = `sha256:${'3'.repeat(64)}`;
    const image = 'registry.acme.io/os/edge:v2';
    expect(pinned(image, { ...target, resolvedDigest: index }).digest).toBe(index);
    expect(pinned(image, { ...target, resolvedDigest: undefined }).digest).toBe(digest);
    expect(pinned(image, { ...target, resolvedDigest: undefined, digest: undefined })).toEqual(parseReference(image));
  });
});
