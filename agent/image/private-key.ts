import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { AgentError } from '../core/errors.ts';
import { isCosignKey, openCosignKey } from './cosign-key.ts';
import { parseTrustKey, type TrustKey } from '../trust/keys.ts';

/** A key that signs images or triggers; it has no place on a node. */
export interface SigningKey {
  readonly publicKey: TrustKey;
  /** The signature of `message`, as the trust policy verifies it. */
  sign(message: Uint8Array): Uint8Array;
}

/**
 * Parses a private key, Ed25519 or ECDSA P-256: PEM of PKCS #8, or a key file as cosign encrypts it. `password` opens
 * either. Throws `key-invalid`.
 */
export function parseSigningKey(name: string, pem: string, password?: string): SigningKey {
  const key = openKey(name, pem, password);
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

function openKey(name: string, pem: string, password: string | undefined): KeyObject {
  if (isCosignKey(pem)) {
    if (password !== undefined) return openCosignKey(name, pem, password);
    throw new AgentError('key-invalid', `cannot use ${name} for signing: it is encrypted; want its password`);
  }
  try {
    return createPrivateKey(password === undefined ? pem : { key: pem, passphrase: password });
  } catch (cause) {
    const what =
      password === undefined ? 'no PEM private key without a password' : 'no PEM private key of this password';
    throw new AgentError('key-invalid', `cannot use ${name} for signing: it is ${what}`, { cause });
  }
}
