import { describe, expect, it } from 'vitest';
import type { SignatureEvidence } from '../../../agent/core/ports.ts';
import { findSignatures, requireSignatures } from '../../../agent/trust/judge-signatures.ts';
import { resolveRules } from '../../../agent/trust/trust-rules.ts';
import { makeSigner, simpleSigningPayload } from '../../fakes/signer.ts';
import { codeOf, flipBit, trustKey } from './samples.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const indexDigest = `sha256:${'0b'.repeat(32)}`;
const otherDigest = `sha256:${'0c'.repeat(32)}`;
const [one, two, three, stranger] = [
  makeSigner('ed25519'),
  makeSigner('ecdsa-p256'),
  makeSigner('rsa'),
  makeSigner('ed25519'),
];
const keys = [trustKey('one', one), trustKey('two', two), trustKey('three', three), trustKey('alias', one)];

function ruleOf(names: readonly string[], atLeast: number) {
  return resolveRules({ keys }, [
    { prefix: 'r.test', require: { keys: names, atLeast }, isDowngradeAllowed: false },
  ])[0]!;
}

function judge(evidence: readonly SignatureEvidence[], atLeast = 1, names = ['one', 'two', 'three']) {
  const rule = ruleOf(names, atLeast);
  return requireSignatures(rule, findSignatures(rule, evidence, [indexDigest, digest]));
}

const resultsOf = (evidence: readonly SignatureEvidence[]) =>
  findSignatures(ruleOf(['one', 'two', 'three'], 1), evidence, [digest]).map(({ result }) => result);

const good = one.signImage(digest);
const garbled = { ...good, signature: 'not base64!' };
const turned = { ...good, signature: Buffer.from(flipBit(one.sign(good.payload), 9)).toString('base64') };

describe('signatures of an image', () => {
  it.each([one, two, three])('by a $kind key of the rule are enough', (signer) => {
    expect(judge([signer.signImage(digest)])).toHaveLength(1);
  });

  it('may be for the index or for the manifest in it', () => {
    expect(judge([one.signImage(indexDigest)])).toEqual(['one']);
    expect(judge([one.signImage(digest)])).toEqual(['one']);
    expect(judge([one.signImage(indexDigest), two.signImage(digest)], 2)).toEqual(['one', 'two']);
  });

  it('are accepted when good ones stand among bad ones, wherever they stand', () => {
    const bad = [
      garbled,
      turned,
      stranger.signImage(digest),
      one.signImage(otherDigest),
      two.evidence(Buffer.from('')),
    ];
    for (let at = 0; at <= bad.length; at += 1) {
      expect(judge([...bad.slice(0, at), good, ...bad.slice(at)])).toEqual(['one']);
    }
  });
});

describe('a rule that wants several keys', () => {
  it('is fulfilled by that many different keys', () => {
    const all = [one, two, three].map((signer) => signer.signImage(digest));
    expect(judge(all, 3)).toEqual(['one', 'two', 'three']);
    expect(judge(all.slice(1), 2)).toEqual(['two', 'three']);
    expect(codeOf(() => judge(all.slice(1), 3))).toBe('signer-untrusted');
  });

  it('counts a key once, however often it signed', () => {
    const again = two.signImage(digest);
    // ECDSA signs differently each time: signatures are no way to tell signers apart.
    expect(again.signature).not.toBe(two.signImage(digest).signature);
    for (const twice of [
      [good, good],
      [again, two.signImage(digest)],
      [one.signImage(digest), one.signImage(indexDigest), one.evidence(simpleSigningPayload(digest, 'other.test/os'))],
    ]) {
      expect(codeOf(() => judge(twice, 2))).toBe('signer-untrusted');
    }
  });

  it('counts a key once under two names', () => {
    expect(codeOf(() => judge([good, one.signImage(digest)], 2, ['one', 'alias', 'two']))).toBe('signer-untrusted');
    expect(judge([good, two.signImage(digest)], 2, ['one', 'alias', 'two'])).toHaveLength(2);
  });

  it('does not count keys that it does not name', () => {
    expect(codeOf(() => judge([good, two.signImage(digest)], 2, ['one', 'three']))).toBe('signer-untrusted');
  });
});

describe('the refusal of an image', () => {
  it.each<[string, string, readonly SignatureEvidence[]]>([
    ['that has no signature', 'signature-missing', []],
    ['with the signature of another image', 'signature-mismatch', [one.signImage(otherDigest)]],
    ['whose digest is signed in upper case', 'signature-mismatch', [one.signImage(digest.toUpperCase())]],
    ['whose digest is signed with more after it', 'signature-mismatch', [one.signImage(`${digest} `)]],
    ['signed by another key', 'signer-untrusted', [stranger.signImage(digest)]],
    ['whose signature has a bit turned', 'signer-untrusted', [turned]],
    [
      'whose payload was changed after signing',
      'signer-untrusted',
      [{ ...good, payload: simpleSigningPayload(otherDigest) }],
    ],
    ['whose signature is no base64', 'signature-invalid', [garbled]],
    ['whose signature is empty', 'signature-invalid', [{ ...good, signature: '' }]],
    ['where a trusted key signed another kind of text', 'signature-invalid', [one.evidence(Buffer.from('{"a":1}'))]],
    [
      'where another key signed, beside the signature of another image',
      'signature-mismatch',
      [stranger.signImage(digest), one.signImage(otherDigest)],
    ],
  ])('%s is %s', (_what, code, evidence) => {
    expect(codeOf(() => judge(evidence))).toBe(code);
  });

  it('tells which keys signed and which the rule wants', () => {
    const judging = () => judge([good, stranger.signImage(digest)], 2);
    expect(judging).toThrow(/1 of 2 wanted keys signed it \(one\); rule r\.test wants 2 of one, two, three/);
    expect(judging).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ verified: ['one'] }) as object }),
    );
  });

  it('shows no more than a bounded part of what was signed', () => {
    const long = one.signImage('x'.repeat(100_000));
    let message = '';
    try {
      judge([long]);
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('xxx');
    expect(message.length).toBeLessThan(1000);
  });
});

describe('what is found about each signature', () => {
  it('is told for each by itself', () => {
    const text = one.evidence(Buffer.from('release notes'));
    expect(resultsOf([good, one.signImage(otherDigest), text, stranger.signImage(digest), garbled])).toEqual([
      'verified',
      'other-image',
      'not-an-image-signature',
      'no-key-fits',
      'unreadable',
    ]);
  });

  it('names the key only where its signature verified, whatever the payload claims', () => {
    const findings = findSignatures(ruleOf(['one'], 1), [stranger.signImage(digest), garbled, good], [digest]);
    expect(findings.map(({ keyId }) => keyId)).toEqual([undefined, undefined, 'one']);
  });

  it('ends after 384 signatures', () => {
    const many = Array.from({ length: 384 }, () => garbled);
    expect(resultsOf([...many, good])).not.toContain('verified');
    expect(resultsOf([...many.slice(1), good])).toContain('verified');
  });
});
