import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { parseTrustKey, type TrustKey } from '../trust/keys.ts';

/** A key that signs images or triggers; it has no place on a node. */
export interface SigningKey {
  readonly publicKey: TrustKey;
  /** The signature of `message`, as the trust policy verifies it. */
  sign(message: Uint8Array): Uint8Array;
}

/** Parses a PEM private key (PKCS #8): Ed25519 or ECDSA P-256. Throws `key-invalid`. */
export function parseSigningKey(name: string, pem: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new AgentError('key-invalid', `cannot use ${name} for signing: it is no PEM private key without a password`, {
      cause,
    });
  }
  const publicKey = parseTrustKey(name, Buffer.from(createPublicKey(key).export({ type: 'spki', format: 'pem' })));
  if (publicKey.algorithm === 'rsa') {
    throw new AgentError(
      'key-invalid',
      `cannot use ${name} for signing: kaon signs with Ed25519 or ECDSA P-256, and only verifies RSA`,
    );
  }
  // Ed25519 hashes by itself; ECDSA wants the hash named.
  const hash = publicKey.algorithm === 'ed25519' ? null : 'sha256';
  return { publicKey, sign: (message) => new Uint8Array(sign(hash, message, { key, dsaEncoding: 'der' })) };
}
