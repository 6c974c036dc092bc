import { createHash, createPublicKey, verify } from 'node:crypto';
import nacl from 'tweetnacl';
import { describe, expect, it } from 'vitest';
import { isSoundPoint, verifyEd25519 } from '../../../agent/trust/ed25519.ts';
import { flipBit } from './samples.ts';

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const order = 2n ** 252n + 27742317777372353535851937790883648493n;

function toLittleEndian(value: bigint): Uint8Array {
  return hex(value.toString(16).padStart(64, '0')).reverse();
}

function fromLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

/** RFC 8032, 7.1: public key, message, signature. */
const vectors: readonly (readonly [string, string, string, string])[] = [
  [
    'TEST 1',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    'TEST 2',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
  [
    'TEST 3',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  ],
  [
    'TEST SHA(abc)',
    'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
    createHash('sha512').update('abc').digest('hex'),
    'dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704',
  ],
];
const [, keyHex, messageHex, signatureHex] = vectors[2]!;
const [publicKey, message, signature] = [hex(keyHex), hex(messageHex), hex(signatureHex)];

/** The points of order 1, 2, 4 and 8, and other spellings of them. */
const smallOrder = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '0100000000000000000000000000000000000000000000000000000000000080',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
];
const basePoint = hex('5866666666666666666666666666666666666666666666666666666666666666');

describe('an Ed25519 signature', () => {
  it.each(vectors)('of RFC 8032 verifies: %s', (_name, key, text, expected) => {
    expect(verifyEd25519(hex(key), hex(text), hex(expected))).toBe(true);
  });

  it('does not verify with any bit of key, message or signature turned', () => {
    const turned = (bytes: Uint8Array) =>
      Array.from({ length: bytes.byteLength * 8 }, (_, bit) => flipBit(bytes, bit)).filter((_, bit) => bit % 5 === 0);
    for (const key of turned(publicKey)) expect(verifyEd25519(key, message, signature)).toBe(false);
    for (const text of turned(message)) expect(verifyEd25519(publicKey, text, signature)).toBe(false);
    for (const bytes of turned(signature)) expect(verifyEd25519(publicKey, message, bytes)).toBe(false);
  });

  it('is refused when the group order is added to its S, which the library alone accepts', () => {
    const malleated = signature.slice();
    malleated.set(toLittleEndian(fromLittleEndian(signature.subarray(32)) + order), 32);
    expect(nacl.sign.detached.verify(message, malleated, publicKey)).toBe(true);
    expect(verifyEd25519(publicKey, message, malleated)).toBe(false);
  });

  it('that fits every message, by a key of small order, is refused', () => {
    const universal = new Uint8Array(64);
    universal.set(basePoint);
    universal[32] = 1;
    const identity = hex(smallOrder[0]!);
    for (const text of ['one image', 'another image']) {
      expect(nacl.sign.detached.verify(Buffer.from(text), universal, identity)).toBe(true);
      expect(verifyEd25519(identity, Buffer.from(text), universal)).toBe(false);
    }
  });

  it('whose R is of small order is refused, even when the equation holds', () => {
    const pair = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(7));
    const scalarBytes = createHash('sha512').update(pair.secretKey.subarray(0, 32)).digest().subarray(0, 32);
    scalarBytes[0]! &= 248;
    scalarBytes[31] = (scalarBytes[31]! & 127) | 64;
    const text = Buffer.from('image');
    const identity = hex(smallOrder[0]!);
    const challenge = createHash('sha512').update(identity).update(pair.publicKey).update(text).digest();
    const forged = new Uint8Array(64);
    forged.set(identity);
    forged.set(toLittleEndian((fromLittleEndian(challenge) * fromLittleEndian(scalarBytes)) % order), 32);
    expect(nacl.sign.detached.verify(text, forged, pair.publicKey)).toBe(true);
    expect(verifyEd25519(pair.publicKey, text, forged)).toBe(false);
  });

  it('or key of another length is refused, and never throws', () => {
    for (const sizeBytes of [0, 1, 63, 65, 128]) {
      const cut = new Uint8Array(sizeBytes);
      cut.set(signature.subarray(0, sizeBytes));
      expect(verifyEd25519(publicKey, message, cut)).toBe(false);
    }
    for (const sizeBytes of [0, 31, 33]) {
      const cut = new Uint8Array(sizeBytes);
      cut.set(publicKey.subarray(0, sizeBytes));
      expect(verifyEd25519(cut, message, signature)).toBe(false);
    }
  });

  it('gets the same verdict from OpenSSL', () => {
    for (const [, key, text, expected] of vectors) {
      const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), hex(key)]);
      const keyObject = createPublicKey({ key: der, format: 'der', type: 'spki' });
      expect(verify(null, hex(text), keyObject, hex(expected))).toBe(true);
    }
  });
});

describe('an Ed25519 point', () => {
  it.each(smallOrder)('%s is not sound', (point) => {
    expect(isSoundPoint(hex(point))).toBe(false);
  });

  it('of an ordinary key, and the base point, are sound', () => {
    for (const [, key] of vectors) expect(isSoundPoint(hex(key))).toBe(true);
    expect(isSoundPoint(basePoint)).toBe(true);
  });
});
