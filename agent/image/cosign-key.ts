import { createPrivateKey, type KeyObject, randomBytes, scryptSync } from 'node:crypto';
import nacl from 'tweetnacl';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';

const begin =
  /^\s*-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----\s([\w+/=\s]+)-----END ENCRYPTED \1 PRIVATE KEY-----\s*$/;

/** What cosign itself writes (N), and the most that is taken: the numbers come from the file. */
const written = { N: 65_536, r: 8, p: 1 } as const;
const largest = { N: 2 ** 20, r: 16, p: 4 } as const;
const maxMemoryBytes = 2 ** 30;

const base64 = z.base64();
const keySchema = z.object({
  kdf: z.object({
    name: z.literal('scrypt'),
    params: z.object({
      N: z.int().min(2).max(largest.N),
      r: z.int().min(1).max(largest.r),
      p: z.int().min(1).max(largest.p),
    }),
    salt: base64,
  }),
  cipher: z.object({ name: z.literal('nacl/secretbox'), nonce: base64 }),
  ciphertext: base64,
});

/** Whether `pem` is a key file as cosign encrypts it. */
export function isCosignKey(pem: string): boolean {
  return /^\s*-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----/.test(pem);
}

/** Opens a key file of cosign: scrypt, NaCl's secretbox, PKCS #8 inside. Throws `key-invalid`. */
export function openCosignKey(name: string, pem: string, password: string): KeyObject {
  const refuse = (reason: string, cause?: unknown) =>
    new AgentError('key-invalid', `cannot use ${name} for signing: ${reason}`, { cause });
  const body = begin.exec(pem)?.[2];
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body ?? '', 'base64').toString('utf8'));
  } catch (cause) {
    throw refuse('its block holds no JSON', cause);
  }
  const { success, data, error } = keySchema.safeParse(value);
  if (!success) {
    const issue = error.issues[0];
    throw refuse(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
  const nonce = bytes(data.cipher.nonce);
  if (nonce.byteLength !== nacl.secretbox.nonceLength) throw refuse(`its nonce has ${nonce.byteLength} bytes`);
  const opened = nacl.secretbox.open(bytes(data.ciphertext), nonce, deriveKey(password, data.kdf, refuse));
  if (opened === null) throw refuse('the password is wrong, or the file is damaged');
  try {
    return createPrivateKey({ key: Buffer.from(opened), format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw refuse('what it holds is no PKCS #8 key', cause);
  }
}

function deriveKey(
  password: string,
  { params, salt }: z.infer<typeof keySchema>['kdf'],
  refuse: (reason: string, cause?: unknown) => AgentError,
): Uint8Array {
  try {
    const options = { ...params, maxmem: maxMemoryBytes };
    return new Uint8Array(scryptSync(password, Buffer.from(salt, 'base64'), nacl.secretbox.keyLength, options));
  } catch (cause) {
    throw refuse('its scrypt parameters cannot be used', cause);
  }
}

/** The PEM text of `key` as cosign encrypts it with `password`. */
export function sealCosignKey(key: KeyObject, password: string): string {
  const plain = new Uint8Array(key.export({ format: 'der', type: 'pkcs8' }));
  const salt = randomBytes(32);
  const nonce = new Uint8Array(randomBytes(nacl.secretbox.nonceLength));
  const derived = scryptSync(password, salt, nacl.secretbox.keyLength, { ...written, maxmem: maxMemoryBytes });
  const sealed = {
    kdf: { name: 'scrypt', params: written, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: Buffer.from(nonce).toString('base64') },
    ciphertext: Buffer.from(nacl.secretbox(plain, nonce, new Uint8Array(derived))).toString('base64'),
  };
  const lines =
    Buffer.from(JSON.stringify(sealed))
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [
    '-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----',
    ...lines,
    '-----END ENCRYPTED SIGSTORE PRIVATE KEY-----',
    '',
  ].join('\n');
}
