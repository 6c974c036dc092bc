import { describe, expect, it } from 'vitest';
import { ownTrustFault } from '../../../agent/compose/own-trust.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import type { SignedImages } from '../../../agent/core/signed-images.ts';
import type { UpdateState } from '../../../agent/core/update-state.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { makeSigner, type TestSigner } from '../../fakes/signer.ts';
import { resolved, trustKey } from '../trust/samples.ts';

const [older, newer] = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];
const image = sampleImage(['v2']);
const { digest } = image.manifest;
const kept = (...signers: readonly TestSigner[]): SignedImages => ({
  save: async () => undefined,
  load: async (slot) =>
    slot === 'b'
      ? { signed: { image: resolved(image), signatures: signers.map((one) => one.signImage(digest)) }, judgedAtMs: 7 }
      : undefined,
});
const policyOf = (signer: TestSigner) =>
  new RuleTrustPolicy({
    keys: [trustKey('key', signer)],
    rules: [{ prefix: 'registry.test', require: { keys: ['key'], atLeast: 1 }, isDowngradeAllowed: false }],
  });

function trialOf(changes: { readonly kind?: 'rollback'; readonly digest?: string } = {}): UpdateState {
  return {
    phase: 'trial',
    update: {
      id: 'u',
      kind: changes.kind ?? 'install',
      image: 'registry.test/os/edge:v2',
      from: undefined,
      until: 'committed',
      requestedAtMs: 0,
      requestedBy: 'operator',
    },
    target: {
      slot: 'b',
      previous: 'a',
      digest: changes.digest ?? digest,
      resolvedDigest: digest,
      version: '2',
      rollbackIndex: 0,
      keyIds: [],
      rule: undefined,
    },
  } as unknown as UpdateState;
}

describe('a trial whose image brings a trust policy', () => {
  it('is failed where that policy does not trust the image itself, in words that say why', async () => {
    const fault = await ownTrustFault(trialOf(), kept(older), async () => [policyOf(newer)]);
    expect(fault).toMatchObject({ isRequired: true, status: 'failed' });
    expect(fault?.output).toMatch(
      /^signer-untrusted: the trust policy that this image brings does not trust the image/,
    );
  });

  it('is not failed where the old keys signed and the new ones, too', async () => {
    expect(await ownTrustFault(trialOf(), kept(older, newer), async () => [policyOf(newer)])).toBeUndefined();
  });

  it('is not failed where as many of the old keys signed as their rule wants, and as many of the new ones', async () => {
    const [old1, old2, new1, new2] = [makeSigner('ed25519'), makeSigner('ed25519'), older, newer];
    const twoOf = (...signers: readonly TestSigner[]) =>
      new RuleTrustPolicy({
        keys: signers.map((signer, index) => trustKey(`key-${index}`, signer)),
        rules: [
          {
            prefix: 'registry.test',
            require: { keys: signers.map((_signer, index) => `key-${index}`), atLeast: 2 },
            isDowngradeAllowed: false,
          },
        ],
      });
    const writes = async (...signers: readonly TestSigner[]) => {
      const found = await kept(...signers).load('b');
      return () => found === undefined || twoOf(old1, old2).judge(found.signed);
    };
    const faultOf = (...signers: readonly TestSigner[]) =>
      ownTrustFault(trialOf(), kept(...signers), async () => [twoOf(new1, new2)]);
    // The slot that runs judges by its own keys, so that new ones alone never get onto a slot.
    expect(await writes(old1, new1, new2)).toThrow(expect.objectContaining({ code: 'signer-untrusted' }) as Error);
    expect(await writes(old1, old2, new1)).not.toThrow();
    expect(await faultOf(old1, old2, new1)).toMatchObject({ status: 'failed' });
    expect(await writes(old1, old2, new1, new2)).not.toThrow();
    expect(await faultOf(old1, old2, new1, new2)).toBeUndefined();
  });

  it('is judged as of the time when it was written, and as of now: either is enough', async () => {
    const asked: number[] = [];
    const policies = async (atMs: number) => {
      asked.push(atMs);
      return [policyOf(newer), policyOf(older)];
    };
    expect(await ownTrustFault(trialOf(), kept(older), policies)).toBeUndefined();
    expect(asked).toEqual([7]);
  });

  it('is not failed where the policy is about other registries alone', async () => {
    const elsewhere = new RuleTrustPolicy({
      keys: [trustKey('key', newer)],
      rules: [{ prefix: 'other.test', require: { keys: ['key'], atLeast: 1 }, isDowngradeAllowed: false }],
    });
    expect(await ownTrustFault(trialOf(), kept(older), async () => [elsewhere])).toBeUndefined();
  });

  it('is not failed where the policy lists other repositories alone', async () => {
    const elsewhere = new RuleTrustPolicy({
      keys: [trustKey('key', newer)],
      rules: [{ prefix: 'registry.test', require: { keys: ['key'], atLeast: 1 }, isDowngradeAllowed: false }],
      repositories: ['registry.test/moved'],
    });
    expect(await ownTrustFault(trialOf(), kept(older), async () => [elsewhere])).toBeUndefined();
  });

  it('is failed where the policy cannot be read', async () => {
    const policies = () => Promise.reject(new AgentError('key-invalid', 'cannot read the key'));
    expect((await ownTrustFault(trialOf(), kept(newer), policies))?.output).toMatch(/^key-invalid: /);
  });

  it.each<[string, UpdateState, SignedImages]>([
    ['of an operator who goes back', trialOf({ kind: 'rollback' }), kept(older)],
    ['of another image than what is kept', trialOf({ digest: `sha256:${'0b'.repeat(32)}` }), kept(older)],
    ['of which nothing is kept', trialOf(), { save: async () => undefined, load: async () => undefined }],
    ['that is none', { phase: 'idle' }, kept(older)],
  ])('is not judged by it, %s', async (_what, state, files) => {
    expect(await ownTrustFault(state, files, async () => [policyOf(newer)])).toBeUndefined();
  });
});
