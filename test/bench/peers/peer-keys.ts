import { join } from 'node:path';
import { shell } from '../../vm/shell.ts';
import type { Cache } from '../cache.ts';

/** Keys and a certificate with which the peers' packages are signed. */
export interface PeerKeys {
  /** A certificate that signed itself, and is the only one trusted. */
  readonly certificate: string;
  readonly key: string;
  /** The same key as PKCS #1, and its public half, for Mender. */
  readonly rsaKey: string;
  readonly publicKey: string;
}

/** The keys, made by openssl once and kept: the packages that they signed are kept, too. */
export async function peerKeys(cache: Cache): Promise<PeerKeys> {
  const folder = await cache.file('peer-keys', async (path) => {
    await shell(`
      mkdir ${path} && cd ${path}
      openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 3650 -subj /CN=bench \
        -addext extendedKeyUsage=emailProtection -addext keyUsage=digitalSignature 2>/dev/null
      openssl rsa -in key.pem -traditional -out rsa.pem 2>/dev/null
      openssl rsa -in key.pem -pubout -out public.pem 2>/dev/null
    `);
  });
  const [certificate, key, rsaKey, publicKey] = ['cert.pem', 'key.pem', 'rsa.pem', 'public.pem'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  return { certificate, key, rsaKey, publicKey };
}
