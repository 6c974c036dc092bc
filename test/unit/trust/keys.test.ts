import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { makeSigner, type SignerKind } from '../../fakes/signer.ts';
import { codeOf } from './samples.ts';

const kinds: readonly SignerKind[] = ['ed25519', 'ecdsa-p256', 'rsa'];
const [ed25519, ecdsa] = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];

const pemOf = (pair: { publicKey: { export(options: { type: 'spki'; format: 'pem' }): string | Buffer } }) =>
  Buffer.from(pair.publicKey.export({ type: 'spki', format: 'pem' }));
const pemOfDer = (der: Uint8Array) =>
  Buffer.from(`-----BEGIN PUBLIC KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PUBLIC KEY-----\n`);
const ed25519Spki = (point: Uint8Array) => Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), point]);

describe('a public key', () => {
  it.each(kinds)('of the kind %s is taken, and told apart by the digest of its SPKI bytes', (kind) => {
    const signer = makeSigner(kind);
    expect(parseTrustKey('one', signer.publicPem)).toMatchObject({
      id: 'one',
      algorithm: kind,
      fingerprint: signer.fingerprint,
    });
  });

  it('is the same key under another name, with other line ends, or with its point compressed', () => {
    const [x, y] = ['x', 'y'].map((name) =>
      Buffer.from(String(createPublicKey(ecdsa.publicPem).export({ format: 'jwk' })[name as 'x']), 'base64url'),
    ) as [Buffer, Buffer];
    const point = Buffer.concat([Buffer.from([2 + (y[31]! & 1)]), x]);
    const head = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex');
    const forms = [
      ecdsa.publicPem,
      Buffer.from(`\r\n${ecdsa.publicPem.toString().replaceAll('\n', '\r\n')}\n`),
      pemOfDer(Buffer.concat([head, point])),
    ];
    for (const form of forms) expect(parseTrustKey('other', form).fingerprint).toBe(ecdsa.fingerprint);
  });

  it('of Ed25519 gives its 32 bytes', () => {
    const { point } = parseTrustKey('one', ed25519.publicPem);
    const jwk = createPublicKey(ed25519.publicPem).export({ format: 'jwk' });
    expect(Buffer.from(point ?? [])).toEqual(Buffer.from(String(jwk['x']), 'base64url'));
  });
});

describe('a key file', () => {
  it.each<[string, () => Uint8Array, string]>([
    ['an RSA key of 1024 bits', () => pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 })), '1024 bits'],
    ['an RSA key of exponent 1', () => pemOfDer(rsaOfExponent(1)), 'exponent'],
    ['an RSA-PSS key', () => pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 })), 'rsa-pss'],
    ['a P-384 key', () => pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' })), 'secp384r1'],
    ['a P-521 key', () => pemOf(generateKeyPairSync('ec', { namedCurve: 'P-521' })), 'secp521r1'],
    ['a secp256k1 key', () => pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })), 'secp256k1'],
    ['an Ed448 key', () => pemOf(generateKeyPairSync('ed448')), 'ed448'],
    ['an X25519 key', () => pemOf(generateKeyPairSync('x25519')), 'x25519'],
    ['an Ed25519 point of small order', () => pemOfDer(ed25519Spki(Buffer.alloc(32))), 'small order'],
    ['a private key', () => Buffer.from(ed25519.privatePem), 'private key'],
    [
      'a private key after the public one',
      () => Buffer.concat([ed25519.publicPem, Buffer.from(ed25519.privatePem)]),
      'private',
    ],
    ['two public keys', () => Buffer.concat([ed25519.publicPem, ecdsa.publicPem]), 'exactly one'],
    ['a key with text after it', () => Buffer.concat([ed25519.publicPem, Buffer.from('release key')]), 'exactly one'],
    [
      'a key with text before it',
      () => Buffer.concat([Buffer.from('release key\n'), ed25519.publicPem]),
      'BEGIN PUBLIC KEY',
    ],
    ['the DER without PEM', () => createPublicKey(ed25519.publicPem).export({ type: 'spki', format: 'der' }), 'BEGIN'],
    ['an RSA key in PKCS #1', () => rsaPkcs1(), 'BEGIN PUBLIC KEY'],
    ['a certificate', () => Buffer.from('-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'), 'BEGIN'],
    ['bytes that are no DER', () => pemOfDer(Buffer.from('garbage')), 'does not parse'],
    ['a key that was cut', () => ed25519.publicPem.subarray(0, 60), 'exactly one'],
    ['nothing', () => new Uint8Array(0), 'BEGIN PUBLIC KEY'],
    ['more than 16 KiB', () => Buffer.concat([ed25519.publicPem, Buffer.alloc(16 * 1024, '\n')]), 'bytes'],
  ])('is refused for %s, and the message says why', (_what, pem, reason) => {
    const parsing = () => parseTrustKey('release-1', pem());
    expect(codeOf(parsing)).toBe('key-invalid');
    expect(parsing).toThrow(/release-1/);
    expect(parsing).toThrow(reason);
  });
});

function rsaPkcs1(): Buffer {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return Buffer.from(publicKey.export({ type: 'pkcs1', format: 'pem' }));
}

function rsaOfExponent(exponent: number): Buffer {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = publicKey.export({ format: 'jwk' });
  const key = createPublicKey({ key: { ...jwk, e: Buffer.from([exponent]).toString('base64url') }, format: 'jwk' });
  return key.export({ type: 'spki', format: 'der' });
}
