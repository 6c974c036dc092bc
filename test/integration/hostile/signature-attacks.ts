import { fillRegistry, signatureLayer, signatureObject } from '../../fakes/sample-image.ts';
import { dsseEnvelope, simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import type { Attack } from './attack.ts';
import { craft, offer, putSignature, sign } from './images.ts';
import type { Victim } from './victim.ts';

const image = craft();
const digest = image.manifest.digest;
const payload = simpleSigningPayload(digest);

/** A sound image, with `signature` over its payload beside it. */
function withSignature(name: string, code: string, signature: (victim: Victim) => string): Attack {
  return {
    name,
    code,
    place: 'trust',
    prepare: (victim) => {
      fillRegistry(victim.registry.content, 'os/edge', [image]);
      putSignature(victim, 'os/edge', digest, payload, signature(victim));
      return `${victim.host}/os/edge:v1`;
    },
  };
}

/** A sound image, with what a key of the rule signed, which is no signature of it. */
function withPayload(name: string, code: string, make: (signer: TestSigner) => Buffer): Attack {
  return {
    name,
    code,
    place: 'trust',
    prepare: (victim) => {
      const signed = make(victim.signers.release);
      fillRegistry(victim.registry.content, 'os/edge', [image]);
      putSignature(victim, 'os/edge', digest, signed, victim.signers.release.sign(signed).toString('base64'));
      return `${victim.host}/os/edge:v1`;
    },
  };
}

const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The same signature with the group order added to its S. */
function malleated(signature: Buffer): Buffer {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + groupOrder;
  const bytes = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
  return Buffer.concat([signature.subarray(0, 32), bytes]);
}

/** R is the neutral point and S is 0: what fits each message under a key of small order. */
const smallOrder = Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]);

/** The DER of a signature with its length in two bytes, which is no DER any more. */
function longLength(der: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, 0x81]), der.subarray(1)]);
}

const statement = (predicateType: string) =>
  Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: digest.slice(7) } }],
      predicateType,
      predicate: {},
    }),
  );

/** Attacks by signatures. */
export const signatureAttacks: readonly Attack[] = [
  {
    name: 'no signature',
    code: 'signature-missing',
    place: 'trust',
    prepare: (victim) => {
      fillRegistry(victim.registry.content, 'os/edge', [image]);
      return `${victim.host}/os/edge:v1`;
    },
  },
  {
    name: "the signature of another image at this image's tag",
    code: 'signature-mismatch',
    place: 'trust',
    prepare: (victim) => {
      const other = craft({ seed: 3 }, 'v9');
      fillRegistry(victim.registry.content, 'os/edge', [image]);
      sign(victim, 'os/edge', digest, victim.signers.release, other.manifest.digest);
      return `${victim.host}/os/edge:v1`;
    },
  },
  {
    name: 'the signature of a stranger',
    code: 'signer-untrusted',
    place: 'trust',
    prepare: (victim) => offer(victim, image, 'os/edge', victim.signers.stranger),
  },
  {
    name: 'one stolen key where two have to sign',
    code: 'signer-untrusted',
    place: 'trust',
    prepare: (victim) => offer(victim, image, 'strict/edge'),
  },
  {
    name: 'two signatures by one stolen key where two have to sign',
    code: 'signer-untrusted',
    place: 'trust',
    prepare: (victim) => {
      const payloads = [payload, simpleSigningPayload(digest, 'elsewhere/os')];
      const layers = payloads.map((each) => signatureLayer(each, victim.signers.release.sign(each).toString('base64')));
      fillRegistry(victim.registry.content, 'strict/edge', [image, signatureObject(digest, layers, payloads)]);
      return `${victim.host}/strict/edge:v1`;
    },
  },
  {
    name: 'a repository that no rule names',
    code: 'trust-rule-missing',
    place: 'trust',
    prepare: (victim) => offer(victim, image, 'osx/edge'),
  },
  withSignature('an Ed25519 signature with the group order added', 'signer-untrusted', ({ signers }) =>
    malleated(signers.release.sign(payload)).toString('base64'),
  ),
  withSignature('an Ed25519 signature of small order', 'signer-untrusted', () => smallOrder.toString('base64')),
  withSignature('an ECDSA signature with bytes after its DER', 'signer-untrusted', ({ signers }) =>
    Buffer.concat([signers.releaseEc.sign(payload), Buffer.from([0, 0])]).toString('base64'),
  ),
  withSignature('an ECDSA signature in DER of another spelling', 'signer-untrusted', ({ signers }) =>
    longLength(signers.releaseEc.sign(payload)).toString('base64'),
  ),
  withSignature(
    'a signature in base64 of another spelling',
    'signature-invalid',
    ({ signers }) => ` ${signers.release.sign(payload).toString('base64')}`,
  ),
  withSignature('a signature of 16 KiB', 'signature-invalid', () => 'A'.repeat(16 * 1024)),
  withPayload('a statement about the image, signed as it is', 'signature-invalid', () =>
    statement('https://spdx.dev/Document'),
  ),
  withPayload('an envelope of another attestation', 'signature-invalid', (signer) =>
    Buffer.from(
      JSON.stringify(dsseEnvelope('application/vnd.in-toto+json', statement('https://cyclonedx.org/bom'), [signer])),
    ),
  ),
  withPayload('a payload of another critical type', 'signature-invalid', () =>
    Buffer.from(payload.toString().replace('cosign container image signature', 'atomic container signature')),
  ),
  {
    name: 'garbage beside a good signature',
    code: 'none',
    place: 'nowhere',
    prepare: (victim) => {
      const garbage = Array.from({ length: 40 }, (_, at) => Buffer.from(`garbage ${at}`));
      const good = signatureLayer(payload, victim.signers.release.sign(payload).toString('base64'));
      const layers = [...garbage.map((each) => signatureLayer(each, 'AAAA')), { mediaType: 7 }, good];
      fillRegistry(victim.registry.content, 'os/edge', [image, signatureObject(digest, layers, [...garbage, payload])]);
      return `${victim.host}/os/edge:v1`;
    },
  },
];
