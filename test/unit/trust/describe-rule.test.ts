import { expect, it } from 'vitest';
import { describeRule } from '../../../agent/trust/describe-rule.ts';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { resolveRules, type TrustRule } from '../../../agent/trust/trust-rules.ts';
import { makeSigner } from '../../fakes/signer.ts';

const validity = { notBeforeMs: Date.UTC(2026, 0), notAfterMs: Date.UTC(2027, 0) };
const signers = {
  keys: [
    parseTrustKey('one', makeSigner('ed25519').publicPem),
    parseTrustKey('two', makeSigner('ecdsa-p256').publicPem, validity),
  ],
  identities: [{ id: 'ci', issuer: 'https://issuer.test', subject: 'ci@acme.io' }],
  revoked: ['one'],
};
const describe = (rule: Omit<TrustRule, 'prefix'>) =>
  describeRule(resolveRules(signers, [{ prefix: 'r.test', ...rule }])[0]!);

it('a rule tells whom it wants, since when and until when, and who is revoked', () => {
  expect(describe({ require: { keys: ['one', 'two'], atLeast: 2 }, isDowngradeAllowed: false })).toEqual([
    'signatures of 2 of: one (revoked, key, ed25519); two (key, ecdsa-p256, from 2026-01-01T00:00:00.000Z, until 2027-01-01T00:00:00.000Z)',
    "a rollbackIndex not below the node's floor",
  ]);
});

it('a rule tells what else it wants', () => {
  const provenance = {
    keys: ['two'],
    identities: [],
    builderId: 'https://builder.test',
    buildType: 'https://type.test',
    sourceRepository: 'https://forge.test/os',
    sourceRef: 'refs/heads/main',
    parameters: {},
  };
  const require = { keys: ['two'], identities: ['ci'], atLeast: 1, maxAgeMs: 48 * 3_600_000 };
  const told = describe({ require, isLogEntryRequired: true, isDowngradeAllowed: true, provenance });
  expect(told[0]).toContain('ci (ci@acme.io, as https://issuer.test knows them)');
  expect(told.slice(1)).toEqual([
    'of a key, with an entry of a transparency log',
    'made at most 48 hours ago, by an attested time',
    expect.stringMatching(/^provenance of builder https:\/\/builder\.test.* at refs\/heads\/main, by one of: two/),
    'any rollbackIndex',
  ]);
});
