import { AgentError } from '../core/errors.ts';
import { algorithmOf, digestOf } from '../core/image-format/digest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { ListedReferrers } from './referrer-pages.ts';

/** A manifest or index as a store gave it. */
export interface StoredManifest {
  readonly bytes: Uint8Array;
  /** The media type stated beside the bytes, to be compared with their own; `undefined` where nothing states one. */
  readonly mediaType: string | undefined;
}

/** What a registry repository and an OCI layout have in common. Whoever calls verifies the digests. */
export interface ImageStore {
  /** For messages: the repository, or the layout's location. */
  readonly location: string;
  /** The manifest or index that `reference` means. Rejects with `image-not-found`. */
  find(reference: Reference, signal: AbortSignal): Promise<StoredManifest>;
  /** `undefined` when the store has none with this digest. */
  manifest(digest: string, signal: AbortSignal): Promise<StoredManifest | undefined>;
  /** `undefined` when the store has no such tag; every other failure rejects. */
  tagged(tag: string, signal: AbortSignal): Promise<StoredManifest | undefined>;
  /** A blob of at most `limitBytes`; `undefined` when the store has none with this digest. */
  blob(digest: string, limitBytes: number, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** The registry's own list of manifests that refer to one; `undefined` when it has no such API. */
  referrers?(digest: string, artifactType: string, signal: AbortSignal): Promise<ListedReferrers | undefined>;
  /** The error for content that an image of this store names and the store lacks. */
  missing(object: string): AgentError;
}

/** Throws `digest-mismatch` unless `bytes` have `digest`, by the algorithm that it names. */
export function verifyDigest(bytes: Uint8Array, digest: string, object: string): void {
  const found = digestOf(bytes, algorithmOf(digest));
  if (found === digest) return;
  throw new AgentError('digest-mismatch', `cannot use ${object}: its bytes have ${found}, want ${digest}`, {
    details: { wanted: digest, found },
  });
}
