import { describe, expect, it } from 'vitest';
import { blockersOf, compareVersions, isAlreadyRunning, preflight } from '../../../agent/core/admission.ts';
import {
  addKnownBad,
  clearKnownBad,
  emptyFacts,
  type FactsData,
  knownBadLimit,
  raiseFloor,
} from '../../../agent/core/facts.ts';
import type { NodeBoot, TrustedImage } from '../../../agent/core/ports.ts';
import { digest } from './samples.ts';

const image: TrustedImage = {
  manifestDigest: digest,
  rule: 'registry.acme.io/os',
  keyIds: ['release-1'],
  isDowngradeAllowed: false,
  name: 'edge',
  version: '2',
  compatible: ['acme-gw-2', 'acme-gw-3'],
  rollbackIndex: 5,
  minimumAgent: undefined,
  agentVersion: undefined,
  partitions: [{ name: 'root', layerDigest: digest, layerSizeBytes: 10, contentSizeBytes: 4096 }],
};

const node: NodeBoot = {
  booted: 'a',
  boot: {
    primary: 'a',
    trial: undefined,
    trialTries: 0,
    slots: { a: { state: 'good', triesLeft: 4 }, b: { state: 'bad', triesLeft: 0 } },
  },
  maxTries: 9,
  partitionSizes: { a: { root: 4096 }, b: { root: 4096 } },
};

const identity = { compatible: 'acme-gw-2', agentVersion: '1.4.0' };

function codes(
  change: {
    image?: Partial<TrustedImage>;
    node?: Partial<NodeBoot>;
    facts?: Partial<FactsData>;
    isLost?: boolean;
  } = {},
): readonly string[] {
  const facts = { data: { ...emptyFacts, ...change.facts }, isLost: change.isLost ?? false };
  return preflight({ ...image, ...change.image }, { ...node, ...change.node }, facts, identity).map(({ code }) => code);
}

describe('the preflight', () => {
  it('lets a sound image through', () => {
    expect(codes()).toEqual([]);
  });

  it('refuses an image for another kind of node', () => {
    expect(codes({ image: { compatible: ['acme-gw-20'] } })).toEqual(['image-incompatible']);
  });

  it('refuses an image that needs a newer agent, and takes one that needs this one', () => {
    expect(codes({ image: { minimumAgent: '1.10.0' } })).toEqual(['agent-too-old']);
    expect(codes({ image: { minimumAgent: '1.4.0' } })).toEqual([]);
  });

  it('refuses what rolled back here', () => {
    const facts = addKnownBad(emptyFacts, { digest, reason: 'health-failed', updateId: 'u', atMs: 0 });
    expect(codes({ facts })).toEqual(['known-bad']);
    expect(codes({ facts: clearKnownBad(facts, digest) })).toEqual([]);
  });

  it('refuses an image below the floor unless its rule allows downgrades', () => {
    const facts = raiseFloor(emptyFacts, 6);
    expect(codes({ facts })).toEqual(['downgrade-refused']);
    expect(codes({ facts, image: { isDowngradeAllowed: true } })).toEqual([]);
    expect(codes({ facts: raiseFloor(emptyFacts, 5) })).toEqual([]);
  });

  it('lets nothing but the floor be passed over by an operator, and only for the update that says so', () => {
    const update = {
      id: 'u',
      kind: 'install',
      image: 'r.io/os:v1',
      from: undefined,
      until: 'staged',
      requestedAtMs: 0,
      requestedBy: 'operator',
    } as const;
    const blockers = (['known-bad', 'downgrade-refused', 'image-incompatible'] as const).map((code) => ({
      code,
      message: code,
    }));
    expect(blockersOf(update, blockers)).toEqual(blockers);
    expect(blockersOf({ ...update, downgradeReason: 'x' }, blockers).map(({ code }) => code)).toEqual([
      'known-bad',
      'image-incompatible',
    ]);
  });

  it('starts nothing while the facts are lost', () => {
    expect(codes({ isLost: true })).toEqual(['facts-lost']);
  });

  it.each(['trial', 'unrenewed', 'bad'] as const)('refuses to write beside a booted slot that is %s', (state) => {
    const boot = { ...node.boot, slots: { ...node.boot.slots, a: { state, triesLeft: 1 } } };
    expect(codes({ node: { boot } })).toEqual(['booted-slot-unproven']);
  });

  it('refuses an image that is larger than the partition, and takes one that fills it', () => {
    expect(codes({ node: { partitionSizes: { a: {}, b: { root: 4095 } } } })).toEqual(['slot-too-small']);
    expect(codes()).toEqual([]);
  });

  it('refuses an image whose partitions are not the slot’s', () => {
    expect(codes({ node: { partitionSizes: { a: {}, b: { root: 4096, boot: 4096 } } } })).toEqual([
      'image-incompatible',
    ]);
    expect(codes({ node: { partitionSizes: { a: {}, b: {} } } })).toEqual(['image-incompatible']);
  });

  it('names everything that stands in the way', () => {
    expect(codes({ image: { compatible: ['x'], minimumAgent: '9.0.0' }, isLost: true })).toEqual([
      'image-incompatible',
      'agent-too-old',
      'facts-lost',
    ]);
  });
});

describe('the boot payloads of an image', () => {
  const boot = {
    payloads: [
      { role: 'kernel', layerDigest: digest, layerSizeBytes: 4_097 },
      { role: 'initrd', layerDigest: digest, layerSizeBytes: 1 },
    ],
    options: undefined,
  } as const;
  const payloads = (availableBytes: number) => ({ availableBytes, clusterBytes: 4096 });

  it('are no matter to a loader that reads the slots', () => {
    expect(codes({ image: { boot } })).toEqual([]);
  });

  it('must be there for a loader that does not, and fit in whole clusters', () => {
    expect(codes({ node: { payloads: payloads(1_000_000) } })).toEqual(['image-incompatible']);
    expect(codes({ image: { boot }, node: { payloads: payloads(3 * 4096) } })).toEqual([]);
    expect(codes({ image: { boot }, node: { payloads: payloads(3 * 4096 - 1) } })).toEqual(['boot-partition-full']);
  });

  it('stand behind what the boot partition itself says', () => {
    const fault = { code: 'boot-partition-dirty', message: 'cannot write to the boot partition: it is dirty' } as const;
    expect(codes({ image: { boot }, node: { payloads: fault } })).toEqual(['boot-partition-dirty']);
  });
});

describe('an image that is already running', () => {
  const deployment = {
    slot: 'a',
    digest,
    image: 'x',
    version: '2',
    rollbackIndex: 5,
    keyIds: [],
    rule: undefined,
    updateId: 'u',
    writtenAtMs: 1,
    committedAtMs: 2,
  } as const;

  it('is told by the digest in the booted slot, proven', () => {
    expect(isAlreadyRunning(image, node, { a: deployment })).toBe(true);
    expect(isAlreadyRunning(image, node, { b: { ...deployment, slot: 'b' } })).toBe(false);
    const boot = { ...node.boot, slots: { ...node.boot.slots, a: { state: 'trial', triesLeft: 1 } as const } };
    expect(isAlreadyRunning(image, { ...node, boot }, { a: deployment })).toBe(false);
  });
});

describe('the facts', () => {
  it('keep a bounded number of known-bad digests, the newest', () => {
    const many = Array.from({ length: knownBadLimit + 5 }, (_, index) => `sha256:${String(index).padStart(64, '0')}`);
    const facts = many.reduce(
      (data, bad) => addKnownBad(data, { digest: bad, reason: 'r', updateId: 'u', atMs: 0 }),
      emptyFacts,
    );
    expect(facts.knownBad).toHaveLength(knownBadLimit);
    expect(facts.knownBad.at(-1)?.digest).toBe(many.at(-1));
  });

  it('never lower the floor', () => {
    expect(raiseFloor(raiseFloor(emptyFacts, 7), 3).rollbackFloor).toBe(7);
  });
});

describe('versions', () => {
  it.each([
    ['1.2.3', '1.2.3', 0],
    ['1.2.3', '1.10.0', -1],
    ['2.0.0', '1.99.99', 1],
    ['1.2.3-rc1', '1.2.3', 0],
    ['1.2', '1.2.0', 0],
  ])('%s against %s is %i', (one, other, sign) => {
    expect(Math.sign(compareVersions(one, other))).toBe(sign);
  });
});
