import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { isSoundPoint } from './ed25519.ts';

/** The algorithm of a key decides how its signatures are verified; nothing from a registry does. */
export type KeyAlgorithm = 'ed25519' | 'ecdsa-p256' | 'rsa';

/** When signatures of a key count, both ends included; epoch milliseconds. */
export interface KeyValidity {
  readonly notBeforeMs?: number | undefined;
  readonly notAfterMs?: number | undefined;
}

/** A public key that the configuration trusts. */
export interface TrustKey {
  /** Its name in the configuration. */
  readonly id: string;
  readonly algorithm: KeyAlgorithm;
  /** `sha256:…` of the key's one canonical SPKI form: two ids with the same are one key. */
  readonly fingerprint: string;
  /** The 32 bytes of an Ed25519 key. */
  readonly point: Uint8Array | undefined;
  readonly keyObject: KeyObject;
  /** Absent: always. */
  readonly validity?: KeyValidity;
}

const maxPemBytes = 16 * 1024;
const minRsaBits = 2048;
const maxRsaBits = 8192;

function refuse(id: string, reason: string, cause?: unknown): AgentError {
  return new AgentError(
    'key-invalid',
    `cannot use key ${id}: ${reason}; want a PEM public key: Ed25519, ECDSA P-256, or RSA of ${minRsaBits} bits or more`,
    {
      details: { keyId: id },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

/** Parses a file of one PEM `PUBLIC KEY` (SPKI, RFC 5280) and nothing else. Throws `key-invalid`. */
export function parseTrustKey(id: string, pem: Uint8Array, validity?: KeyValidity): TrustKey {
  if (pem.byteLength > maxPemBytes) throw refuse(id, `the file has ${pem.byteLength} bytes`);
  const text = Buffer.from(pem).toString('latin1');
  if (text.includes('PRIVATE KEY')) throw refuse(id, 'the file holds a private key, which has no place on a node');
  if (!/^\s*-----BEGIN PUBLIC KEY-----/.test(text)) throw refuse(id, 'the file does not begin with BEGIN PUBLIC KEY');
  // OpenSSL would read the first block and pass over the rest without a word.
  if (!/^\s*-----BEGIN PUBLIC KEY-----[\w+/=\s]+-----END PUBLIC KEY-----\s*$/.test(text))
    throw refuse(id, 'the file is not exactly one whole public key block');
  let parsed: KeyObject;
  try {
    parsed = createPublicKey(text);
  } catch (cause) {
    throw refuse(id, 'the file does not parse', cause);
  }
  const algorithm = algorithmOf(id, parsed);
  // By way of its numbers, so that a point written compressed is not another key.
  const keyObject = createPublicKey({ key: parsed.export({ format: 'jwk' }), format: 'jwk' });
  const spki = keyObject.export({ type: 'spki', format: 'der' });
  const point = algorithm === 'ed25519' ? new Uint8Array(spki.subarray(spki.byteLength - 32)) : undefined;
  if (point !== undefined && !isSoundPoint(point))
    throw refuse(id, 'its point is of small order, so that one signature would fit everything');
  const fingerprint = `sha256:${createHash('sha256').update(spki).digest('hex')}`;
  return { id, algorithm, fingerprint, point, keyObject, ...(validity === undefined ? {} : { validity }) };
}

function algorithmOf(id: string, key: KeyObject): KeyAlgorithm {
  const details = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return 'ed25519';
    case 'ec':
      if (details.namedCurve === 'prime256v1') return 'ecdsa-p256';
      throw refuse(id, `its curve is ${details.namedCurve ?? 'unknown'}`);
    case 'rsa': {
      const bits = details.modulusLength ?? 0;
      if (bits < minRsaBits || bits > maxRsaBits) throw refuse(id, `its RSA modulus has ${bits} bits`);
      if ((details.publicExponent ?? 0n) < 3n) throw refuse(id, 'its RSA exponent is below 3');
      return 'rsa';
    }
    default:
      throw refuse(id, `its algorithm is ${key.asymmetricKeyType ?? 'unknown'}`);
  }
}
