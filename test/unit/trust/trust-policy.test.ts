import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { SignatureEvidence } from '../../../agent/core/ports.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import type { TrustRule } from '../../../agent/trust/trust-rules.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { sampleImage, sampleIndex, type SampleImage, sha256, toManifest } from '../../fakes/sample-image.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { codeOf, flipBit, repository, resolved, trustKey } from './samples.ts';

const [one, two, stranger] = [makeSigner('ed25519'), makeSigner('ecdsa-p256'), makeSigner('ed25519')];
const keys = [trustKey('one', one), trustKey('two', two)];
const rule = (prefix: string, names: readonly string[], more: Partial<TrustRule> = {}): TrustRule => ({
  prefix,
  require: { keys: names, atLeast: 1 },
  isDowngradeAllowed: false,
  ...more,
});
const policy = new RuleTrustPolicy({ keys, rules: [rule('registry.test/os', ['one'])] });
const image = sampleImage(['v1']);
const other = sampleImage(['v2'], 8192, 2);
const index = sampleIndex([{ image: image.manifest, architecture: 'amd64' }], ['v1']);
const signed = (found: SampleImage, ...signatures: readonly SignatureEvidence[]) => ({
  image: resolved(found),
  signatures,
});
const good = signed(image, one.signImage(image.manifest.digest));

/** The sample image with another config or other fields of its manifest. */
function changed(config: string | Record<string, unknown>, manifestChange: Record<string, unknown> = {}): SampleImage {
  const base = JSON.parse(image.configBytes.toString()) as object;
  const configBytes = Buffer.from(typeof config === 'string' ? config : JSON.stringify({ ...base, ...config }));
  const descriptor = { mediaType: mediaTypes.kaonConfig, digest: sha256(configBytes), size: configBytes.byteLength };
  const old = JSON.parse(image.manifest.bytes.toString()) as object;
  const manifest = toManifest({ ...old, config: descriptor, ...manifestChange }, mediaTypes.ociManifest, []);
  return { ...image, configBytes, manifest };
}

const judgeChanged = (found: SampleImage) => policy.judge(signed(found, one.signImage(found.manifest.digest)));

describe('a trust policy', () => {
  it('trusts a signed image, and says by which rule and keys', () => {
    expect(policy.judge(good)).toMatchObject({
      manifestDigest: image.manifest.digest,
      rule: 'registry.test/os',
      keyIds: ['one'],
      isDowngradeAllowed: false,
      name: 'sample',
      version: '1.0.1',
      compatible: ['board-1'],
      rollbackIndex: 0,
      minimumAgent: undefined,
      agentVersion: undefined,
      partitions: [
        { name: 'root', layerDigest: image.layer.digest, layerSizeBytes: 4096, contentSizeBytes: undefined },
      ],
    });
  });

  it('trusts an image by the signature of its index', () => {
    const judged = policy.judge({ image: resolved(image, index), signatures: [one.signImage(index.digest)] });
    expect(judged.manifestDigest).toBe(image.manifest.digest);
  });

  it('goes by the rule of the longest prefix, also when a shorter one would be fulfilled', () => {
    const strict = new RuleTrustPolicy({
      keys,
      rules: [rule('registry.test', ['one']), rule('registry.test/os', ['two'], { isDowngradeAllowed: true })],
    });
    expect(codeOf(() => strict.judge(good))).toBe('signer-untrusted');
    const byTwo = strict.judge(signed(image, two.signImage(image.manifest.digest)));
    expect(byTwo).toMatchObject({ rule: 'registry.test/os', isDowngradeAllowed: true, keyIds: ['two'] });
  });

  it('refuses a repository without a rule, however well it is signed; without rules it refuses all', () => {
    const elsewhere = { ...good, image: { ...good.image, reference: parseReference('registry.test/osx:v1') } };
    expect(codeOf(() => policy.judge(elsewhere))).toBe('trust-rule-missing');
    const closed = new RuleTrustPolicy({ keys, rules: [] });
    expect(codeOf(() => closed.judge(good))).toBe('trust-rule-missing');
  });

  it('takes images of the listed repositories alone, whatever rules there are', () => {
    const listed = (...repositories: readonly string[]) =>
      new RuleTrustPolicy({ keys, rules: [rule('registry.test', ['one'])], repositories });
    expect(listed('other.test', 'registry.test/os').judge(good).rule).toBe('registry.test');
    expect(codeOf(() => listed('registry.test/lab').judge(good))).toBe('repository-refused');
    expect(codeOf(() => listed('registry.test/o').judge(good))).toBe('repository-refused');
    expect(listed('registry.test/lab').explain(good).verdict).toMatchObject({ isTrusted: false });
  });

  it('is not made from a rule that can never be fulfilled', () => {
    const making = () => new RuleTrustPolicy({ keys, rules: [rule('registry.test/os', ['three'])] });
    expect(codeOf(making)).toBe('config-invalid');
  });

  it.each<[string, string, readonly SignatureEvidence[]]>([
    ['without signature', 'signature-missing', []],
    ['with the signature of another image', 'signature-mismatch', [one.signImage(other.manifest.digest)]],
    ['signed by a stranger', 'signer-untrusted', [stranger.signImage(image.manifest.digest)]],
    ['with a garbled signature', 'signature-invalid', [{ ...one.signImage(image.manifest.digest), signature: '%' }]],
  ])('refuses an image %s as %s', (_what, code, signatures) => {
    expect(codeOf(() => policy.judge({ image: resolved(image), signatures }))).toBe(code);
    expect(codeOf(() => policy.judgeAndMint({ image: resolved(image), signatures }))).toBe(code);
  });

  it('does not parse an image that nobody trusted signed', () => {
    const garbage = { ...resolved(image), manifestBytes: Buffer.from('{'), configBytes: Buffer.from('{') };
    expect(codeOf(() => policy.judge({ image: garbage, signatures: [] }))).toBe('signature-missing');
  });
});

describe('the facts of a trusted image', () => {
  it('come from bytes that hash to what was signed, and from nothing beside them', () => {
    const { signatures } = good;
    const base = resolved(image);
    const swaps = [
      { ...base, configBytes: flipBit(image.configBytes, 300) },
      { ...base, configBytes: changed({ rollbackIndex: 9 }).configBytes },
      { ...base, manifestBytes: other.manifest.bytes },
      { ...base, manifestBytes: other.manifest.bytes, configBytes: other.configBytes },
      { ...resolved(other), resolvedDigest: image.manifest.digest },
      { ...resolved(other), resolvedDigest: image.manifest.digest, indexBytes: image.manifest.bytes },
      { ...resolved(other), resolvedDigest: image.manifest.digest, indexBytes: index.bytes },
    ];
    for (const swapped of swaps) {
      for (const judge of [
        () => policy.judge({ image: swapped, signatures }),
        () => policy.judgeAndMint({ image: swapped, signatures }),
      ]) {
        expect(['digest-mismatch', 'manifest-invalid']).toContain(codeOf(judge));
      }
    }
    const renamed = { ...base, reference: parseReference(`${repository}:v9`) };
    expect(policy.judge({ image: renamed, signatures }).version).toBe('1.0.1');
  });

  it('are those of the config, not of annotations', () => {
    const found = changed(
      { rollbackIndex: 3, agentVersion: '0.2.0' },
      { annotations: { 'org.opencontainers.image.version': '9.9.9', rollbackIndex: '99' } },
    );
    expect(judgeChanged(found)).toMatchObject({ version: '1.0.1', rollbackIndex: 3, agentVersion: '0.2.0' });
  });

  it('are the ones that the slot writer is given', () => {
    const { image: judged, descriptor } = policy.judgeAndMint(good);
    expect(judged).toEqual(policy.judge(good));
    expect(TrustedDescriptor.isMinted(descriptor)).toBe(true);
    expect(descriptor.facts).toEqual({
      manifestDigest: image.manifest.digest,
      partitions: [
        {
          name: 'root',
          encoding: 'raw',
          layerDigest: image.layer.digest,
          layerSizeBytes: 4096,
          contentDigest: undefined,
          contentSizeBytes: undefined,
        },
      ],
    });
  });
});

describe('a name that every object has as a property', () => {
  const names = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', '__proto__'];

  it.each(names)('is no layer type: %s', (mediaType) => {
    const found = changed({}, { layers: [{ mediaType, digest: image.layer.digest, size: 4096 }] });
    expect(codeOf(() => judgeChanged(found))).toBe('manifest-invalid');
  });

  it('is a partition name like any other where its letters are allowed', () => {
    const partition = { name: 'constructor', layer: image.layer.digest };
    expect(judgeChanged(changed({ partitions: [partition] })).partitions).toMatchObject([{ name: 'constructor' }]);
    for (const name of ['__proto__', 'toString']) {
      const found = changed({ partitions: [{ ...partition, name }] });
      expect(codeOf(() => judgeChanged(found))).toBe('manifest-invalid');
    }
  });

  it.each(names)('is a key id like any other: %s', (id) => {
    const odd = new RuleTrustPolicy({ keys: [trustKey(id, one)], rules: [rule('registry.test/os', [id])] });
    expect(odd.judge(good).keyIds).toEqual([id]);
    const theirs = signed(image, stranger.signImage(image.manifest.digest));
    expect(codeOf(() => odd.judge(theirs))).toBe('signer-untrusted');
    expect(codeOf(() => new RuleTrustPolicy({ keys, rules: [rule('registry.test/os', [id])] }))).toBe('config-invalid');
  });

  it('gives a config no facts by way of its prototype', () => {
    const text = image.configBytes.toString().replace('{', '{"__proto__":{"rollbackIndex":99,"agentVersion":"9.9.9"},');
    expect(codeOf(() => judgeChanged(changed(text)))).toBe('manifest-invalid');
    const annotated = changed({}, { annotations: JSON.parse('{"__proto__":"x"}') as object });
    expect(codeOf(() => judgeChanged(annotated))).toBe('manifest-invalid');
    expect(judgeChanged(changed({}, { annotations: { constructor: 'y' } })).name).toBe('sample');
  });
});

describe('the explanation of a trust policy', () => {
  it('tells the rule, each signature, and the keys that made the image trusted', () => {
    const explained = policy.explain(
      signed(image, stranger.signImage(image.manifest.digest, 'first'), one.signImage(image.manifest.digest, 'second')),
    );
    expect(explained).toMatchObject({
      repository,
      rule: { prefix: 'registry.test/os', keys: ['one'], atLeast: 1 },
      findings: [
        { source: 'first', result: 'no-key-fits', keyId: undefined },
        { source: 'second', result: 'verified', keyId: 'one' },
      ],
      verdict: { isTrusted: true, keyIds: ['one'] },
    });
  });

  it('tells the reason of a refusal with its code, and does not throw', () => {
    expect(policy.explain(signed(image)).verdict).toMatchObject({
      isTrusted: false,
      reason: expect.stringMatching(/^signature-missing: cannot trust the image/) as string,
    });
    const broken = { ...good, image: { ...good.image, configBytes: flipBit(image.configBytes, 300) } };
    expect(policy.explain(broken)).toMatchObject({
      findings: [{ result: 'verified' }],
      verdict: { isTrusted: false, reason: expect.stringMatching(/^digest-mismatch: /) as string },
    });
    const elsewhere = { ...good, image: { ...good.image, reference: parseReference('other.test/os:v1') } };
    expect(policy.explain(elsewhere)).toMatchObject({
      rule: undefined,
      findings: [],
      verdict: { isTrusted: false, reason: expect.stringMatching(/^trust-rule-missing: /) as string },
    });
  });

  it('says trusted exactly where judging passes, for bits turned anywhere', () => {
    const signature = one.signImage(image.manifest.digest);
    const bytes = Buffer.from(signature.signature, 'base64');
    for (let bit = 0; bit < 4096; bit += 509) {
      const turn = (whole: Uint8Array) => flipBit(whole, bit % (whole.byteLength * 8));
      const variants = [
        { ...good, image: { ...good.image, manifestBytes: turn(image.manifest.bytes) } },
        { ...good, image: { ...good.image, configBytes: turn(image.configBytes) } },
        { ...good, signatures: [{ ...signature, payload: turn(signature.payload) }] },
        { ...good, signatures: [{ ...signature, signature: Buffer.from(turn(bytes)).toString('base64') }] },
      ];
      for (const variant of variants) {
        expect(policy.explain(variant).verdict.isTrusted).toBe(false);
        expect(codeOf(() => policy.judge(variant))).toBeTypeOf('string');
      }
    }
  });
});
