import { createHash } from 'node:crypto';
import { AgentError } from '../errors.ts';

/** The digest algorithms that kaon verifies. */
export type DigestAlgorithm = 'sha256' | 'sha512';

/** Whether `text` is `sha256:<64 hex>` or `sha512:<128 hex>` in lower case (OCI image-spec, descriptor, "Digests"). */
export function isDigest(text: string): boolean {
  return /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text);
}

/** The algorithm of a digest. Throws `manifest-invalid` when `digest` is not one that kaon verifies. */
export function algorithmOf(digest: string): DigestAlgorithm {
  if (!isDigest(digest)) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use digest ${JSON.stringify(digest.slice(0, 140))}: want sha256 or sha512 in lower-case hex`,
    );
  }
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The digest of `bytes`, with the algorithm. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}
