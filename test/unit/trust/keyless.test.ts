import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SignatureEvidence, SigstoreBundle } from '../../../agent/core/ports.ts';
import { loadSigstore, type SigstoreVerifier } from '../../../agent/trust/sigstore.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import type { TrustRule } from '../../../agent/trust/trust-rules.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { imageBundle, makeSigner, signatureStatement, simpleSigningPayload } from '../../fakes/signer.ts';
import { SigstoreAuthority } from '../../fakes/sigstore-authority.ts';
import { codeOf, resolved, trustKey } from './samples.ts';

const day = 86_400_000;
const ci = {
  id: 'ci',
  issuer: 'https://token.actions.githubusercontent.com',
  subject: 'https://github.com/acme/os/.github/workflows/release.yml@refs/heads/main',
};
const person = { id: 'ann', issuer: 'https://accounts.test', subject: 'ann@acme.io' };
const key = makeSigner('ecdsa-p256');
const image = sampleImage(['v1']);
const statement = signatureStatement(image.manifest.digest);

let authority: SigstoreAuthority;
let stranger: SigstoreAuthority;
let sigstore: SigstoreVerifier;
let byCi: SigstoreBundle;
let signedAtMs: number;
beforeAll(async () => {
  authority = await SigstoreAuthority.start();
  signedAtMs = authority.atMs;
  stranger = await SigstoreAuthority.start();
  sigstore = await loadSigstore(authority.trustedRoot);
  byCi = await authority.sign(statement, ci);
});
afterAll(async () => {
  await authority.close();
  await stranger.close();
});

interface Wanted extends Partial<TrustRule['require']> {
  readonly isLogEntryRequired?: boolean;
  readonly revoked?: readonly string[];
  readonly nowMs?: number;
}

function policyOf({ isLogEntryRequired = false, revoked = [], nowMs = signedAtMs, ...require }: Wanted = {}) {
  return new RuleTrustPolicy({
    keys: [trustKey('release', key)],
    identities: [ci, person, { ...ci, id: 'ci-again' }],
    revoked,
    rules: [
      {
        prefix: 'registry.test/os',
        require: { keys: [], identities: ['ci'], atLeast: 1, ...require },
        isLogEntryRequired,
        isDowngradeAllowed: false,
      },
    ],
    sigstore,
    time: () => ({ nowMs, source: 'clock' }),
  });
}

const verdictOf = (evidence: readonly SignatureEvidence[], wanted: Wanted = {}) =>
  codeOf(() => policyOf(wanted).judge({ image: resolved(image), signatures: evidence }).keyIds);
const trusted = (...keyIds: readonly string[]) => ({ returned: keyIds });
const findingOf = (evidence: SignatureEvidence, wanted: Wanted = {}) =>
  policyOf(wanted).explain({ image: resolved(image), signatures: [evidence] }).findings[0];

describe('a bundle by a certificate', () => {
  it('counts for the identity in it, with the time that the log attests', () => {
    expect(verdictOf([byCi])).toEqual(trusted('ci'));
    expect(policyOf().judge({ image: resolved(image), signatures: [byCi] }).signedAtMs).toBe(signedAtMs);
  });

  it.each([
    ['the second version of the log, with a timestamp', { log: 'v2' }],
    ['the first version of the log, with a timestamp besides', { log: 'v1', hasTimestamp: true }],
  ] as const)('counts with %s', async (_what, how) => {
    expect(verdictOf([await authority.sign(statement, ci, how)])).toEqual(trusted('ci'));
  });

  it.each([
    ['that is in no log', { log: 'none', hasTimestamp: true }],
    ['whose time nobody attests', { log: 'v2', hasTimestamp: false }],
  ] as const)('%s does not count', async (_what, how) => {
    const bundle = await authority.sign(statement, ci, how);
    expect(verdictOf([bundle])).toBe('signer-untrusted');
    expect(findingOf(bundle)).toMatchObject({ result: 'no-key-fits', keyId: undefined });
  });

  it('of another authority does not count, however it calls itself', async () => {
    const bundle = await stranger.sign(statement, ci);
    expect(verdictOf([bundle])).toBe('signer-untrusted');
    expect(verdictOf([bundle, byCi])).toEqual(trusted('ci'));
  });

  it.each([
    ['another subject', { ...ci, subject: person.subject }],
    ['a subject that has ours in it', { ...ci, subject: `${ci.subject}x` }],
    ['a subject that ours would match as an expression', { ...ci, subject: ci.subject.replaceAll('.', 'x') }],
    ['a subject in other letters', { ...ci, subject: ci.subject.toUpperCase() }],
    ['our subject, known to another issuer', { ...ci, issuer: person.issuer }],
    ['an issuer that has ours in it', { ...ci, issuer: `${ci.issuer}.evil.test` }],
  ])('for %s does not count', async (_what, identity) => {
    const bundle = await authority.sign(statement, identity);
    expect(verdictOf([bundle])).toBe('signer-untrusted');
    expect(findingOf(bundle)?.text).toContain(identity.subject);
  });

  it('for another image, or over another statement, does not count', async () => {
    const other = await authority.sign(signatureStatement(`sha256:${'0b'.repeat(32)}`), ci);
    expect(verdictOf([other])).toBe('signature-mismatch');
    const predicateType = 'https://slsa.dev/provenance/v1';
    const built = await authority.sign(signatureStatement(image.manifest.digest, { predicateType }), ci);
    expect(verdictOf([built])).toBe('signature-invalid');
  });

  it('does not count with any bit of its payload, signature, certificate or log entry turned', () => {
    const value = JSON.parse(Buffer.from(byCi.bundle).toString()) as object;
    const leaves = base64Leaves(value);
    expect(leaves.length).toBeGreaterThan(5);
    for (const path of leaves) {
      const changed = structuredClone(value);
      const last = path.at(-1) ?? '';
      const at = path.slice(0, -1).reduce<Record<string, never>>((one, step) => one[step]!, changed as never);
      const bytes = Buffer.from(at[last] as unknown as string, 'base64');
      bytes[bytes.byteLength >> 1]! ^= 1;
      Object.assign(at, { [last]: bytes.toString('base64') });
      const evidence = { ...byCi, bundle: new Uint8Array(Buffer.from(JSON.stringify(changed))) };
      expect(verdictOf([evidence]), path.join('.')).toBeTypeOf('string');
    }
  });

  it('counts once for two names of one identity, and beside a key', async () => {
    const twice = { identities: ['ci', 'ci-again', 'ann'], atLeast: 2 };
    expect(verdictOf([byCi, await authority.sign(statement, ci)], twice)).toBe('signer-untrusted');
    expect(verdictOf([byCi, await authority.sign(statement, person)], twice)).toEqual(trusted('ci', 'ann'));
    const beside = { keys: ['release'], atLeast: 2 };
    expect(verdictOf([byCi, imageBundle(key, image.manifest.digest)], beside)).toEqual(trusted('ci', 'release'));
  });

  it('does not count under a rule about keys alone', () => {
    expect(verdictOf([byCi], { keys: ['release'], identities: [] })).toBe('signer-untrusted');
  });

  it('of an identity that is revoked under any name does not count', () => {
    expect(verdictOf([byCi], { revoked: ['ci'] })).toBe('signer-untrusted');
    expect(verdictOf([byCi], { revoked: ['ci-again'] })).toBe('signer-untrusted');
    expect(findingOf(byCi, { revoked: ['ci'] })).toMatchObject({ result: 'revoked', keyId: 'ci' });
  });

  it('counts for as long as maxAge says, from the attested time on', () => {
    const maxAgeMs = 90 * day;
    expect(verdictOf([byCi], { maxAgeMs, nowMs: signedAtMs + maxAgeMs })).toEqual(trusted('ci'));
    expect(verdictOf([byCi], { maxAgeMs, nowMs: signedAtMs + maxAgeMs + 1 })).toBe('signer-untrusted');
    expect(findingOf(byCi, { maxAgeMs, nowMs: signedAtMs + 91 * day })).toMatchObject({
      result: 'out-of-time',
      signedAtMs,
    });
  });
});

describe('a simple signature with a certificate beside it, as cosign 2 keeps it', () => {
  const payload = simpleSigningPayload(image.manifest.digest);

  it('counts for the identity in it, with the time that the log attests', async () => {
    const found = await authority.signSimple(payload, ci);
    expect(verdictOf([found])).toEqual(trusted('ci'));
    expect(findingOf(found)).toMatchObject({ format: 'simple-signing', result: 'verified', signedAtMs });
    expect(verdictOf([await authority.signSimple(payload, ci, { hasTimestamp: true })])).toEqual(trusted('ci'));
  });

  it.each([
    ['of somebody else', async () => authority.signSimple(payload, person)],
    ['of another authority', async () => stranger.signSimple(payload, ci)],
    ['that is in no log', async () => authority.signSimple(payload, ci, { log: 'none', hasTimestamp: true })],
    [
      'over another payload',
      async () => ({ ...(await authority.signSimple(payload, ci)), payload: new Uint8Array(Buffer.from('{}')) }),
    ],
    [
      'with the log entry of another signature',
      async () => {
        const [one, other] = [await authority.signSimple(payload, ci), await authority.signSimple(payload, ci)];
        return { ...one, attested: { ...one.attested, logEntry: other.attested!.logEntry! } };
      },
    ],
    [
      'with the certificate of another signature',
      async () => {
        const [one, other] = [await authority.signSimple(payload, ci), await authority.signSimple(payload, ci)];
        return { ...one, attested: { ...one.attested, certificate: other.attested!.certificate! } };
      },
    ],
    [
      'with a log entry that is no JSON',
      async () => {
        const one = await authority.signSimple(payload, ci);
        return { ...one, attested: { ...one.attested, logEntry: '{' } };
      },
    ],
    [
      'with a certificate that is none',
      async () => {
        const one = await authority.signSimple(payload, ci);
        return { ...one, attested: { ...one.attested, certificate: 'x' } };
      },
    ],
  ])('%s does not count', async (_what, make) => {
    const found = await make();
    expect(verdictOf([found])).toBe('signer-untrusted');
    expect(verdictOf([found, byCi])).toEqual(trusted('ci'));
  });

  it('for another image, or over what is no signature of one, does not count', async () => {
    const other = await authority.signSimple(simpleSigningPayload(`sha256:${'0b'.repeat(32)}`), ci);
    expect(verdictOf([other])).toBe('signature-mismatch');
    expect(verdictOf([await authority.signSimple(statement, ci)])).toBe('signature-invalid');
  });

  it('by a key counts under a rule that wants a log with its entry, and not without', async () => {
    const wanted = { keys: ['release'], identities: [], isLogEntryRequired: true };
    const logged = await authority.signSimple(payload, key);
    expect(verdictOf([logged], wanted)).toEqual(trusted('release'));
    expect(verdictOf([await stranger.signSimple(payload, key)], wanted)).toBe('signer-untrusted');
    expect(verdictOf([{ ...logged, attested: {} }], wanted)).toBe('signer-untrusted');
    expect(verdictOf([logged], { ...wanted, isLogEntryRequired: false })).toEqual(trusted('release'));
  });
});

describe('a bundle by a key under a rule that wants an entry of a log', () => {
  const wanted = { keys: ['release'], identities: [], isLogEntryRequired: true };

  it.each(['v1', 'v2'] as const)('counts with one of the log, %s', async (log) => {
    expect(verdictOf([await authority.signByKey(statement, key, { log })], wanted)).toEqual(trusted('release'));
  });

  it('does not count without one, or with one of another log', async () => {
    const bare = await authority.signByKey(statement, key, { log: 'none' });
    const elsewhere = await stranger.signByKey(statement, key);
    for (const bundle of [bare, elsewhere, key.signImage(image.manifest.digest)]) {
      expect(verdictOf([bundle], wanted)).toBe('signer-untrusted');
      expect(findingOf(bundle, wanted)).toMatchObject({ result: 'not-logged', keyId: 'release' });
      expect(verdictOf([bundle], { ...wanted, isLogEntryRequired: false })).toEqual(trusted('release'));
    }
  });

  it('has the time that the log attests, for maxAge', async () => {
    const logged = await authority.signByKey(statement, key);
    const maxAgeMs = day;
    expect(verdictOf([logged], { ...wanted, maxAgeMs, nowMs: signedAtMs + day })).toEqual(trusted('release'));
    expect(verdictOf([logged], { ...wanted, maxAgeMs, nowMs: signedAtMs + 2 * day })).toBe('signer-untrusted');
    const timeless = await authority.signByKey(statement, key, { log: 'v2', hasTimestamp: false });
    expect(verdictOf([timeless], { ...wanted, maxAgeMs })).toBe('signer-untrusted');
  });
});

describe('a trusted root', () => {
  const refusal = async (root: unknown) =>
    loadSigstore(new Uint8Array(Buffer.from(typeof root === 'string' ? root : JSON.stringify(root)))).catch(
      (error: unknown) => error,
    );

  it('is refused when it is none, is too large, or a log in it has no beginning', async () => {
    const good = JSON.parse(Buffer.from(authority.trustedRoot).toString()) as { tlogs: { publicKey: object }[] };
    const undated = structuredClone(good);
    Object.assign(undated.tlogs[0]!.publicKey, { validFor: {} });
    const unreadable = structuredClone(good);
    Object.assign(unreadable.tlogs[0]!.publicKey, { rawBytes: 'AAAA' });
    for (const root of [
      '',
      '{}',
      '[]',
      { ...good, mediaType: 'text/plain' },
      undated,
      unreadable,
      ' '.repeat(1024 * 1024 + 1),
    ]) {
      expect(await refusal(root)).toMatchObject({ code: 'config-invalid' });
    }
  });

  it('is wanted by rules with identities or entries of a log', () => {
    const rule = { prefix: 'r.test', isDowngradeAllowed: false };
    const parts = { keys: [trustKey('release', key)], identities: [ci] };
    for (const wanted of [
      { ...rule, require: { keys: [], identities: ['ci'], atLeast: 1 } },
      { ...rule, require: { keys: ['release'], atLeast: 1 }, isLogEntryRequired: true },
    ]) {
      expect(codeOf(() => new RuleTrustPolicy({ ...parts, rules: [wanted] }))).toBe('config-invalid');
    }
  });
});

/** Paths of what looks like the bytes that the verdict depends on. */
function base64Leaves(value: unknown, path: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value === 'string') {
    const names = ['payload', 'sig', 'rawBytes', 'signedEntryTimestamp', 'canonicalizedBody', 'keyId'];
    return names.includes(path.at(-1) ?? '') && value.length > 8 ? [path] : [];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => base64Leaves(inner, [...path, name]));
}
