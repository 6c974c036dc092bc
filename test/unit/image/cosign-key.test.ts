import { createPrivateKey, scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { describe, expect, it } from 'vitest';
import { openCosignKey, sealCosignKey } from '../../../agent/image/cosign-key.ts';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { codeOf } from '../trust/samples.ts';

const signer = makeSigner('ecdsa-p256');
const key = createPrivateKey(signer.privatePem);

interface Sealed {
  kdf: { name: string; params: { N: number; r: number; p: number }; salt: string };
  cipher: { name: string; nonce: string };
  ciphertext: string;
}

/** A key file of cosign's first releases: the older label and cost. */
function oldFile(
  change: (value: Sealed) => void = () => undefined,
  plain = key.export({ format: 'der', type: 'pkcs8' }),
) {
  const [salt, nonce] = [Buffer.alloc(32, 7), Buffer.alloc(24, 9)];
  const params = { N: 1024, r: 8, p: 1 };
  const derived = scryptSync('hello', salt, 32, params);
  const value: Sealed = {
    kdf: { name: 'scrypt', params, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: Buffer.from(
      nacl.secretbox(new Uint8Array(plain), new Uint8Array(nonce), new Uint8Array(derived)),
    ).toString('base64'),
  };
  change(value);
  const label = 'ENCRYPTED COSIGN PRIVATE KEY';
  return `-----BEGIN ${label}-----\n${Buffer.from(JSON.stringify(value)).toString('base64')}\n-----END ${label}-----\n`;
}

const open = (pem: string, password: string | undefined = 'hello') => parseSigningKey('cosign.key', pem, password);

describe("a key file of cosign's", () => {
  it('is opened with its password, and signs with the key in it', () => {
    expect(open(oldFile()).publicKey.fingerprint).toBe(signer.fingerprint);
  });

  it('that we write is opened again, and never holds the key in the clear', () => {
    const pem = sealCosignKey(key, 'päss word');
    expect(pem).toMatch(/^-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n/);
    expect(openCosignKey('k', pem, 'päss word').equals(key)).toBe(true);
    expect(codeOf(() => openCosignKey('k', pem, 'pass word'))).toBe('key-invalid');
    const body = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64').toString();
    expect((JSON.parse(body) as Sealed).kdf).toMatchObject({ name: 'scrypt', params: { N: 65536, r: 8, p: 1 } });
    expect(sealCosignKey(key, 'päss word')).not.toBe(pem);
  });

  it.each<[string, string]>([
    ['with another password', oldFile()],
    ['with a cost that would take all memory', oldFile((value) => (value.kdf.params.N = 2 ** 30))],
    ['with a cost that is no power of two', oldFile((value) => (value.kdf.params.N = 1000))],
    ['with a parallelism that would take all day', oldFile((value) => (value.kdf.params.p = 2 ** 20))],
    ['with another cipher', oldFile((value) => (value.cipher.name = 'aes'))],
    ['with a short nonce', oldFile((value) => (value.cipher.nonce = 'AAAA'))],
    ['with a byte of it changed', oldFile((value) => (value.ciphertext = `AAAA${value.ciphertext.slice(4)}`))],
    ['with what is no PKCS #8 key inside', oldFile(() => undefined, Buffer.from('no key'))],
    ['with a SEC 1 key inside', oldFile(() => undefined, key.export({ format: 'der', type: 'sec1' }))],
    ['cut short', `${oldFile().slice(0, 120)}\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n`],
    ['without its end', oldFile().slice(0, 400)],
  ])('%s is refused', (what, pem) => {
    expect(codeOf(() => open(pem, what === 'with another password' ? 'hallo' : 'hello'))).toBe('key-invalid');
  });

  it('is refused without a password, in words that say so', () => {
    expect(() => parseSigningKey('cosign.key', oldFile())).toThrow(/cosign\.key .* want its password/);
  });
});

describe('an encrypted PKCS #8 key', () => {
  it('is opened with its password only', () => {
    const pem = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }).toString();
    expect(open(pem, 'secret').publicKey.fingerprint).toBe(signer.fingerprint);
    expect(codeOf(() => open(pem, 'other'))).toBe('key-invalid');
  });
});
