import { describe, expect, it } from 'vitest';
import { fulfilsFollowed } from '../../../agent/core/followed-repository.ts';
import type { SignedImage } from '../../../agent/core/ports.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { makeSigner, type TestSigner } from '../../fakes/signer.ts';
import { resolved, trustKey } from '../trust/samples.ts';

const [one, two] = [makeSigner('ed25519'), makeSigner('ed25519')];
const image = sampleImage(['v1']);
const signedBy = (...signers: readonly TestSigner[]) => ({
  image: resolved(image),
  signatures: signers.map((signer) => signer.signImage(image.manifest.digest)),
});
const rule = (prefix: string, atLeast: number) => ({
  prefix,
  require: { keys: ['one', 'two'], atLeast },
  isDowngradeAllowed: false,
});
// The sample is said to be of registry.test/os/edge.
const policy = new RuleTrustPolicy({
  keys: [trustKey('one', one), trustKey('two', two)],
  rules: [rule('registry.test/os', 1), rule('registry.test/strict', 2)],
});
const judge = (signed: SignedImage) => policy.judge(signed);

describe('the repository that a node follows', () => {
  it('is nothing to go by while there is none, and always fulfilled by its own images', () => {
    expect(fulfilsFollowed(judge, signedBy(one), undefined)).toBe(false);
    expect(fulfilsFollowed(judge, signedBy(one), 'registry.test/os/edge')).toBe(true);
  });

  it('has its rule fulfilled by what is signed by it, whatever repository that is said to be of', () => {
    expect(fulfilsFollowed(judge, signedBy(one, two), 'registry.test/strict/edge')).toBe(true);
    expect(fulfilsFollowed(judge, signedBy(one), 'registry.test/os/other')).toBe(true);
  });

  it('keeps an image of another repository out that is not signed by its rule, and says what to do', () => {
    expect(() => fulfilsFollowed(judge, signedBy(one), 'registry.test/strict/edge')).toThrow(
      expect.objectContaining({
        code: 'repository-refused',
        message: expect.stringMatching(
          /follows registry\.test\/strict\/edge.*signer-untrusted.*trust\.repositories with registry\.test\/os\/edge/,
        ) as string,
      }),
    );
  });

  it('holds no longer where the configuration has no rule for it any more', () => {
    expect(fulfilsFollowed(judge, signedBy(one), 'retired.test/os/edge')).toBe(false);
  });
});
