import { sign } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateKeyPair, type KeygenInput } from '../../../agent/image/keygen.ts';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { verifySignature } from '../../../agent/trust/verify-signature.ts';
import { makeFolder } from './samples.ts';

let folder: Awaited<ReturnType<typeof makeFolder>>;
beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => folder.remove());

function inputOf(algorithm: KeygenInput['algorithm'] = 'ed25519'): KeygenInput {
  return {
    algorithm,
    privateKeyFile: join(folder.path, 'release.key'),
    publicKeyFile: join(folder.path, 'release.pub'),
  };
}

describe('a new key pair', () => {
  it.each(['ed25519', 'ecdsa-p256'] as const)(
    'of %s signs, and the trust policy takes its public half',
    async (algorithm) => {
      const input = inputOf(algorithm);
      const { fingerprint } = await generateKeyPair(input);
      const key = parseTrustKey('release', await readFile(input.publicKeyFile));
      expect(key).toMatchObject({ algorithm, fingerprint });
      const message = Buffer.from('image');
      const signature = sign(algorithm === 'ed25519' ? null : 'sha256', message, await readFile(input.privateKeyFile));
      expect(verifySignature(key, message, signature)).toBe(true);
    },
  );

  it('is PKCS #8 that only its owner can read, and a public key for everybody', async () => {
    const input = inputOf();
    await generateKeyPair(input);
    expect(await readFile(input.privateKeyFile, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect((await stat(input.privateKeyFile)).mode & 0o777).toBe(0o600);
    expect((await stat(input.publicKeyFile)).mode & 0o777).toSatisfy(
      (mode: number) => (mode & ~0o644) === 0 && (mode & 0o400) !== 0,
    );
  });

  it('is another each time', async () => {
    const first = await generateKeyPair(inputOf());
    const names = { privateKeyFile: join(folder.path, 'b.key'), publicKeyFile: join(folder.path, 'b.pub') };
    expect((await generateKeyPair({ ...inputOf(), ...names })).fingerprint).not.toBe(first.fingerprint);
  });
});

describe('making a key pair', () => {
  it.each(['release.key', 'release.pub'])('never overwrites %s, and leaves no other file', async (name) => {
    await writeFile(join(folder.path, name), 'precious');
    await expect(generateKeyPair(inputOf())).rejects.toMatchObject({
      code: 'usage-invalid',
      message: expect.stringContaining(join(folder.path, name)) as string,
    });
    expect(await readFile(join(folder.path, name), 'utf8')).toBe('precious');
    expect(await readdir(folder.path)).toEqual([name]);
  });

  it('refuses one file for both halves', async () => {
    const input = { ...inputOf(), publicKeyFile: inputOf().privateKeyFile };
    await expect(generateKeyPair(input)).rejects.toMatchObject({ code: 'usage-invalid' });
  });

  it('refuses a folder that is not there', async () => {
    const input = { ...inputOf(), privateKeyFile: join(folder.path, 'none', 'release.key') };
    await expect(generateKeyPair(input)).rejects.toMatchObject({ code: 'usage-invalid' });
  });
});
