import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { verifySignature } from '../../../agent/trust/verify-signature.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { codeOf, trustKey } from '../trust/samples.ts';

const message = Buffer.from('image');

describe('a signing key', () => {
  it.each(['ed25519', 'ecdsa-p256'] as const)('of %s signs what the trust policy verifies', (kind) => {
    const signer = makeSigner(kind);
    const key = parseSigningKey('release.key', signer.privatePem);
    expect(key.publicKey.fingerprint).toBe(signer.fingerprint);
    expect(verifySignature(trustKey('release', signer), message, key.sign(message))).toBe(true);
    expect(verifySignature(trustKey('release', makeSigner(kind)), message, key.sign(message))).toBe(false);
  });

  it('is refused when it is RSA, with a password, weak, of another curve, public, or none', () => {
    const ed25519 = makeSigner('ed25519');
    const locked = createPrivateKey(ed25519.privatePem).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'secret',
    });
    const curve = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const texts: readonly (readonly [string, string])[] = [
      ['only verifies RSA', makeSigner('rsa').privatePem],
      ['without a password', locked.toString()],
      ['1024 bits', weak.export({ type: 'pkcs8', format: 'pem' }).toString()],
      ['secp384r1', curve.export({ type: 'pkcs8', format: 'pem' }).toString()],
      ['no PEM private key', ed25519.publicPem.toString()],
      ['no PEM private key', ed25519.privatePem.slice(0, 60)],
      ['no PEM private key', ''],
    ];
    for (const [reason, text] of texts) {
      const parsing = () => parseSigningKey('release.key', text);
      expect(codeOf(parsing)).toBe('key-invalid');
      expect(parsing).toThrow(reason);
      expect(parsing).toThrow(/release\.key/);
    }
  });
});
