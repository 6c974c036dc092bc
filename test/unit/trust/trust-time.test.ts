import { describe, expect, it } from 'vitest';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { type TimeFloors, trustTime } from '../../../agent/trust/trust-time.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { codeOf, resolved } from './samples.ts';

const at = (text: string) => Date.parse(text);
const [built, signed] = [at('2026-03-01T00:00:00Z'), at('2026-06-01T00:00:00Z')];

describe('the time of a trust decision', () => {
  it('is the clock, unless it is behind what the node knows to be past', () => {
    const floors = { buildMs: built, signedMs: signed };
    expect(trustTime(at('2026-09-01T00:00:00Z'), floors)).toEqual({
      nowMs: at('2026-09-01T00:00:00Z'),
      source: 'clock',
    });
    expect(trustTime(0, floors)).toEqual({ nowMs: signed, source: 'signed-time' });
    expect(trustTime(0, { buildMs: signed, signedMs: built })).toEqual({ nowMs: signed, source: 'build' });
    expect(trustTime(5, { buildMs: undefined, signedMs: undefined })).toEqual({ nowMs: 5, source: 'clock' });
  });
});

const signer = makeSigner('ed25519');
const image = sampleImage(['v1']);
const wanted = { image: resolved(image), signatures: [signer.signImage(image.manifest.digest)] };

function policyAt(clockMs: number, floors: TimeFloors, validity: { notBeforeMs?: number; notAfterMs?: number }) {
  return new RuleTrustPolicy({
    keys: [parseTrustKey('release', signer.publicPem, validity)],
    rules: [{ prefix: 'registry.test/os', require: { keys: ['release'], atLeast: 1 }, isDowngradeAllowed: false }],
    time: () => trustTime(clockMs, floors),
  });
}

describe('a key that is valid for a time', () => {
  const validity = { notBeforeMs: at('2026-02-01T00:00:00Z'), notAfterMs: at('2026-05-01T00:00:00Z') };
  const none = { buildMs: undefined, signedMs: undefined };
  const verdictAt = (clock: string, floors: TimeFloors = none) =>
    codeOf(() => policyAt(at(clock), floors, validity).judge(wanted).keyIds);
  const trusted = { returned: ['release'] };

  it('counts from its first to its last moment', () => {
    expect(verdictAt('2026-01-31T23:59:59.999Z')).toBe('signer-untrusted');
    expect(verdictAt('2026-02-01T00:00:00Z')).toEqual(trusted);
    expect(verdictAt('2026-05-01T00:00:00Z')).toEqual(trusted);
    expect(verdictAt('2026-05-01T00:00:00.001Z')).toBe('signer-untrusted');
  });

  it('counts on a node that wakes in 1970 and was built since it is valid', () => {
    expect(verdictAt('1970-01-01T00:00:00Z')).toBe('signer-untrusted');
    expect(verdictAt('1970-01-01T00:00:00Z', { buildMs: built, signedMs: undefined })).toEqual(trusted);
  });

  it('does not count on a node that wakes in 1970 and saw a signature from after its end', () => {
    expect(verdictAt('1970-01-01T00:00:00Z', { buildMs: built, signedMs: signed })).toBe('signer-untrusted');
  });

  it('is refused in words that say what the time is, and how it is known', () => {
    const explain = (floors: TimeFloors) => policyAt(0, floors, validity).explain(wanted);
    const late = explain({ buildMs: built, signedMs: signed });
    expect(late.findings[0]).toMatchObject({ result: 'out-of-time', keyId: 'release' });
    expect(late.findings[0]?.text).toMatch(
      /until 2026-05-01T00:00:00\.000Z; the time is 2026-06-01.*as the clock is behind/,
    );
    expect(late.time).toMatch(/^2026-06-01T00:00:00\.000Z \(the latest signature verified here/);
    expect(explain({ buildMs: built, signedMs: undefined }).time).toMatch(/the build of kaon/);
    expect(policyAt(0, none, {}).explain(wanted).verdict.isTrusted).toBe(true);
  });

  it('does not count where nobody knows the time', () => {
    const policy = new RuleTrustPolicy({
      keys: [parseTrustKey('release', signer.publicPem, validity)],
      rules: [{ prefix: 'registry.test', require: { keys: ['release'], atLeast: 1 }, isDowngradeAllowed: false }],
    });
    expect(codeOf(() => policy.judge(wanted))).toBe('signer-untrusted');
  });
});

describe('a revoked key', () => {
  const policyOf = (revoked: readonly string[]) =>
    new RuleTrustPolicy({
      keys: [parseTrustKey('release', signer.publicPem), parseTrustKey('alias', signer.publicPem)],
      revoked,
      rules: [{ prefix: 'registry.test', require: { keys: ['release'], atLeast: 1 }, isDowngradeAllowed: false }],
    });

  it.each(['release', 'alias', signer.fingerprint])('named as %s does not count', (name) => {
    expect(codeOf(() => policyOf([name]).judge(wanted))).toBe('signer-untrusted');
    expect(policyOf([name]).explain(wanted).findings).toMatchObject([{ result: 'revoked', keyId: 'release' }]);
  });

  it('takes no other key with it', () => {
    expect(policyOf(['other', `sha256:${'0'.repeat(64)}`]).judge(wanted).keyIds).toEqual(['release']);
  });
});
