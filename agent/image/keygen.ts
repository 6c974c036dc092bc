import { generateKeyPairSync } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';
import { sealCosignKey } from './cosign-key.ts';
import { parseTrustKey } from '../trust/keys.ts';

/** Where a new key pair goes. */
export interface KeygenInput {
  readonly algorithm: 'ed25519' | 'ecdsa-p256';
  readonly privateKeyFile: string;
  readonly publicKeyFile: string;
  /** Encrypts the private key as cosign does; without it, the key is plain PKCS #8. */
  readonly password?: string | undefined;
}

/**
 * Makes a key pair: PKCS #8 PEM or a key file of cosign's, of mode 0600, and SPKI PEM. Nothing is ever overwritten. Resolves to the public key's
 * fingerprint. Rejects with `usage-invalid` when a file is there already or can't be made.
 */
export async function generateKeyPair({
  algorithm,
  privateKeyFile,
  publicKeyFile,
  password,
}: KeygenInput): Promise<{ readonly fingerprint: string }> {
  const { privateKey, publicKey } =
    algorithm === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' });
  const privatePem =
    password === undefined ? privateKey.export({ type: 'pkcs8', format: 'pem' }) : sealCosignKey(privateKey, password);
  await writeNew(privateKeyFile, privatePem, 0o600);
  try {
    await writeNew(publicKeyFile, publicPem, 0o644);
  } catch (error) {
    // Half a pair would stand in the way of the next attempt.
    await rm(privateKeyFile);
    throw error;
  }
  return { fingerprint: parseTrustKey('new', Buffer.from(publicPem)).fingerprint };
}

async function writeNew(path: string, text: string | Buffer, mode: number): Promise<void> {
  try {
    const file = await open(path, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('usage-invalid', `cannot write ${path}: ${reason}; keys are never overwritten`, { cause });
  }
}
