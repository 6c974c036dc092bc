import { sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeSignature, verifySignature } from '../../../agent/trust/verify-signature.ts';
import { makeSigner, type SignerKind } from '../../fakes/signer.ts';
import { flipBit, trustKey } from './samples.ts';

const kinds: readonly SignerKind[] = ['ed25519', 'ecdsa-p256', 'rsa'];
const signers = kinds.map(makeSigner);
const message = Buffer.from('{"critical":{}}');

describe.each(signers)('a signature by $kind', (signer) => {
  const key = trustKey('one', signer);
  const signature = signer.sign(message);

  it('verifies over exactly the bytes that were signed', () => {
    expect(verifySignature(key, message, signature)).toBe(true);
    expect(verifySignature(key, Buffer.concat([message, Buffer.from('\n')]), signature)).toBe(false);
    expect(verifySignature(key, message.subarray(1), signature)).toBe(false);
    expect(verifySignature(key, new Uint8Array(0), signature)).toBe(false);
  });

  it('does not verify with any bit turned, cut short or with bytes after it', () => {
    for (let bit = 0; bit < signature.byteLength * 8; bit += 3) {
      expect(verifySignature(key, message, flipBit(signature, bit))).toBe(false);
    }
    for (let sizeBytes = 0; sizeBytes < signature.byteLength; sizeBytes += 7) {
      expect(verifySignature(key, message, signature.subarray(0, sizeBytes))).toBe(false);
    }
    expect(verifySignature(key, message, Buffer.concat([signature, Buffer.from([0])]))).toBe(false);
  });

  it('does not verify with another key of its kind, nor with a key of another kind', () => {
    expect(verifySignature(trustKey('two', makeSigner(signer.kind)), message, signature)).toBe(false);
    for (const other of signers.filter(({ kind }) => kind !== signer.kind)) {
      expect(verifySignature(trustKey('two', other), message, signature)).toBe(false);
    }
  });

  it('is not garbage', () => {
    for (const garbage of ['', 'garbage', '0\u0006\u0002\u0001\u0000\u0002\u0001\u0000', '\0'.repeat(64)]) {
      expect(verifySignature(key, message, Buffer.from(garbage))).toBe(false);
    }
  });
});

describe('the encoding of a signature', () => {
  const [, ecdsa, rsa] = signers as [(typeof signers)[0], (typeof signers)[0], (typeof signers)[0]];

  it('by ECDSA is DER, not the two numbers side by side', () => {
    const raw = sign('sha256', message, { key: ecdsa.privatePem, dsaEncoding: 'ieee-p1363' });
    expect(verifySignature(trustKey('one', ecdsa), message, raw)).toBe(false);
  });

  it('by RSA is PKCS #1 v1.5, not PSS', () => {
    const pss = sign('sha256', message, { key: rsa.privatePem, padding: 6 });
    expect(verifySignature(trustKey('one', rsa), message, pss)).toBe(false);
  });

  it('is over SHA-256, not SHA-1 or SHA-512', () => {
    for (const hash of ['sha1', 'sha512']) {
      for (const signer of [ecdsa, rsa]) {
        const signature = sign(hash, message, signer.privatePem);
        expect(verifySignature(trustKey('one', signer), message, signature)).toBe(false);
      }
    }
  });
});

describe('the base64 text of a signature', () => {
  it('is decoded in its one spelling', () => {
    expect(decodeSignature('/+8=')).toEqual(new Uint8Array([0xff, 0xef]));
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['the URL-safe alphabet', '_-8='],
    ['no padding', '/+8'],
    ['bits behind the last byte', '/+9='],
    ['a line end', '/+8=\n'],
    ['a line end inside', '/+\n8='],
    ['spaces', ' /+8='],
    ['text after the padding', '/+8=AA=='],
    ['no base64', 'garbage!'],
    ['more than 4096 characters', 'A'.repeat(4100)],
  ])('is refused for %s', (_what, text) => {
    expect(decodeSignature(text)).toBeUndefined();
  });
});
