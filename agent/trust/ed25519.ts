import nacl from 'tweetnacl';

/**
 * Ed25519 (RFC 8032) through tweetnacl, with the checks that it lacks: it accepts a signature whose S has the group order
 * added to it, and public keys of small order, for which one signature fits every message.
 */

const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const fieldPrime = 2n ** 255n - 19n;

/** The y coordinates of the points of order 1, 2, 4 and 8; the sign bit does not matter. */
const smallOrderY: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  fieldPrime - 1n,
  2707385501144840649318225287225658788936804267575313519463743609750303402022n,
  55188659117513257062467267217118295137698188065244968500265048394206261417927n,
]);

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** Whether `point` (32 bytes) is a canonical encoding of a point that is not of small order. */
export function isSoundPoint(point: Uint8Array): boolean {
  if (point.byteLength !== 32) return false;
  const y = littleEndian(point) & (2n ** 255n - 1n);
  return y < fieldPrime && !smallOrderY.has(y);
}

/** Whether `signature` is a sound signature of `message` by `publicKey` (32 bytes). Never throws. */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.byteLength !== 64 || !isSoundPoint(publicKey)) return false;
  // RFC 8032, 5.1.7: S must be below the group order; and R of small order proves nothing about the message.
  if (littleEndian(signature.subarray(32)) >= order || !isSoundPoint(signature.subarray(0, 32))) return false;
  return nacl.sign.detached.verify(message, signature, publicKey);
}
