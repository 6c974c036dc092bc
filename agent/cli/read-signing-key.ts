import { parseSigningKey, type SigningKey } from '../image/private-key.ts';
import type { Invocation } from './invocation.ts';
import { readInput } from './read-input.ts';

/** More than any private key has. */
const keyLimitBytes = 16 * 1024;

const passwordLimitBytes = 4096;

/** How the password of a key file is given. */
export interface PasswordOptions {
  readonly passwordFile?: string;
}

/** The option that names a file with a password, and what else is looked at. */
export const passwordOption = [
  '--password-file <file>',
  "a file with the key file's password, else COSIGN_PASSWORD of the environment",
] as const;

/** The password that the options or the environment give; line ends behind it are not part of it. */
export async function readPassword({ options, deps, io }: Invocation<PasswordOptions>): Promise<string | undefined> {
  const { passwordFile } = options;
  if (passwordFile === undefined) return io.environment['COSIGN_PASSWORD'];
  return (await readInput(deps, passwordFile, passwordLimitBytes)).replace(/\r?\n$/, '');
}

/** The private key in `file`. Rejects with `key-invalid` or `usage-invalid`. */
export async function readSigningKey(invocation: Invocation<PasswordOptions>, file: string): Promise<SigningKey> {
  const pem = await readInput(invocation.deps, file, keyLimitBytes);
  // Only an encrypted key is opened with a password, so that one in the environment does not stand in a plain key's way.
  const password = pem.includes('ENCRYPTED') ? await readPassword(invocation) : undefined;
  return parseSigningKey(file, pem, password);
}
