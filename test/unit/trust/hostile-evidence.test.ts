import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SignatureEvidence } from '../../../agent/core/ports.ts';
import { loadSigstore } from '../../../agent/trust/sigstore.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { dsseEnvelope, makeSigner, signatureStatement, simpleSigningPayload } from '../../fakes/signer.ts';
import { SigstoreAuthority } from '../../fakes/sigstore-authority.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { resolved, trustKey } from './samples.ts';

const image = sampleImage(['v1']);
const statement = signatureStatement(image.manifest.digest);
const key = makeSigner('ecdsa-p256');
const ci = { id: 'ci', issuer: 'https://issuer.test', subject: 'https://forge.test/ci' };

let authority: SigstoreAuthority;
let policies: readonly RuleTrustPolicy[];
beforeAll(async () => {
  authority = await SigstoreAuthority.start();
  const sigstore = await loadSigstore(authority.trustedRoot);
  const provenance = { builderId: 'b', buildType: 't', sourceRepository: 'r', sourceRef: undefined, parameters: {} };
  const rule = {
    prefix: 'registry.test',
    require: { keys: ['key'], identities: ['ci'], atLeast: 1 },
    isLogEntryRequired: true,
    isDowngradeAllowed: false,
  };
  const signers = { keys: ['key'], identities: ['ci'] };
  policies = [rule, { ...rule, provenance: { ...signers, ...provenance } }].map(
    (one) =>
      new RuleTrustPolicy({
        keys: [trustKey('key', key)],
        identities: [ci],
        rules: [one],
        sigstore,
        time: () => ({ nowMs: authority.atMs, source: 'clock' }),
      }),
  );
});
afterAll(() => authority.close());

/** `bytes` with some of them changed, dropped or doubled. */
function damaged(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const at = Math.floor(random.fraction() * bytes.byteLength);
  const copy = Buffer.from(bytes);
  switch (Math.floor(random.fraction() * 4)) {
    case 0:
      return copy.subarray(0, at);
    case 1:
      copy[at]! ^= 1 << Math.floor(random.fraction() * 8);
      return copy;
    case 2:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + Math.floor(random.fraction() * 40))]);
    default:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(Math.max(0, at - 30))]);
  }
}

it('no damage to what lies beside an image makes the policy throw, or trust what the whole of it does not', async () => {
  const random = new SeededRandom();
  const payload = simpleSigningPayload(image.manifest.digest);
  const simple = await authority.signSimple(payload, ci, { hasTimestamp: true });
  const bundles = [
    await authority.sign(statement, ci),
    await authority.sign(statement, ci, { log: 'v2' }),
    await authority.signByKey(statement, key, { hasTimestamp: true }),
  ];
  const envelope = Buffer.from(JSON.stringify(dsseEnvelope('application/vnd.in-toto+json', statement, [key])));
  const text = (value: string | undefined) => Buffer.from(damaged(Buffer.from(value ?? ''), random)).toString('utf8');
  const mutants: SignatureEvidence[] = [];
  for (let round = 0; round < 25; round += 1) {
    for (const found of bundles) mutants.push({ ...found, bundle: damaged(found.bundle, random) });
    mutants.push({ envelope: damaged(envelope, random), source: 'x.att' });
    const { certificate, logEntry, timestamp } = simple.attested ?? {};
    mutants.push({ ...simple, attested: { ...simple.attested, certificate: text(certificate) } });
    mutants.push({ ...simple, attested: { ...simple.attested, logEntry: text(logEntry) } });
    mutants.push({ ...simple, attested: { ...simple.attested, timestamp: text(timestamp) } });
    mutants.push({ ...simple, payload: damaged(simple.payload, random) });
  }
  let trusted = 0;
  for (const mutant of mutants) {
    const signed = { image: resolved(image), signatures: [mutant] };
    const [first] = policies.map((policy) => policy.explain(signed));
    for (const { text: said } of first?.findings ?? []) expect(said.length).toBeLessThan(1000);
    if (first?.verdict.isTrusted !== true) continue;
    // What no signature covers may change, such as a hint or the space around it; what is signed may not.
    trusted += 1;
    expect(signedText(mutant)).toEqual('bundle' in mutant ? statement.toString() : payload.toString());
  }
  expect(trusted).toBeLessThan(mutants.length / 4);
});

/** What a signature of the evidence is over. */
function signedText(evidence: SignatureEvidence): string {
  if ('payload' in evidence) return Buffer.from(evidence.payload).toString();
  if ('envelope' in evidence) return 'an envelope';
  const { dsseEnvelope: found } = JSON.parse(Buffer.from(evidence.bundle).toString()) as {
    readonly dsseEnvelope: { readonly payload: string };
  };
  return Buffer.from(found.payload, 'base64').toString();
}
