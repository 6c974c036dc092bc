import { constants, verify } from 'node:crypto';
import { verifyEd25519 } from './ed25519.ts';
import type { TrustKey } from './keys.ts';

const maxSignatureCharacters = 4096;

/** The bytes of a signature's base64 text (standard alphabet, padded); `undefined` for anything else. */
export function decodeSignature(text: string): Uint8Array | undefined {
  if (text.length === 0 || text.length > maxSignatureCharacters) return undefined;
  const bytes = Buffer.from(text, 'base64');
  // Node skips what is no base64; a signature has one spelling.
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

/**
 * Whether `signature` is one of `message` by `key`: pure Ed25519; ECDSA P-256 over SHA-256 in DER; RSA PKCS #1 v1.5 over
 * SHA-256. The key alone decides which. Never throws.
 */
export function verifySignature(key: TrustKey, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    switch (key.algorithm) {
      case 'ed25519':
        return key.point !== undefined && verifyEd25519(key.point, message, signature);
      case 'ecdsa-p256':
        return verify('sha256', message, { key: key.keyObject, dsaEncoding: 'der' }, signature);
      case 'rsa':
        return verify('sha256', message, { key: key.keyObject, padding: constants.RSA_PKCS1_PADDING }, signature);
    }
  } catch {
    // OpenSSL throws for signatures that do not even parse: they are no signatures of this key.
    return false;
  }
}
