import { z } from 'zod';
import { isDigest } from '../core/image-format/digest.ts';
import { manifestLimits, mediaTypes, parseJson, parseShape } from '../core/image-format/manifest.ts';

/** One manifest that refers to another, as a list names it: all of it are hints. */
export interface Referrer {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** So many of a list are looked at, from its end: writers append. */
const listedLimit = 1024;

const entrySchema = z.looseObject({
  mediaType: z.string().max(255),
  digest: z.string().refine(isDigest),
  size: z.int().nonnegative(),
  artifactType: z.string().max(255).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

// Each entry is judged by itself, so that one that is malformed spoils no other.
const indexSchema = z.object({ manifests: z.array(z.unknown()) });

/** The tag under which referrers of `digest` are listed where a registry has no API for them (distribution-spec, "Referrers tag schema"). */
export function referrersTag(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return `${algorithm.slice(0, 32)}-${hex.slice(0, 64)}`;
}

function rawEntries(bytes: Uint8Array): readonly unknown[] {
  const what = 'the list of referrers';
  return parseShape(indexSchema, parseJson(bytes, what, manifestLimits.manifestBytes), what).manifests;
}

/** What a list of referrers names; malformed entries are left out. Throws `manifest-invalid`, `response-too-large`. */
export function parseReferrers(bytes: Uint8Array): readonly Referrer[] {
  return rawEntries(bytes)
    .slice(-listedLimit)
    .flatMap((entry) => {
      const { success, data } = entrySchema.safeParse(entry);
      if (!success) return [];
      const { mediaType, digest, size, artifactType, annotations = {} } = data;
      return [{ mediaType, digest, sizeBytes: size, artifactType, annotations }];
    });
}

/**
 * The list `existing` with `added` at its end, in the place of those that say the same of another manifest. What others
 * listed stays as it is. Throws `manifest-invalid` where `existing` is no list.
 */
export function addReferrer(existing: Uint8Array | undefined, added: Referrer): Uint8Array {
  const key = (entry: { readonly artifactType?: unknown; readonly annotations?: unknown }) =>
    JSON.stringify([entry.artifactType, entry.annotations]);
  const others = (existing === undefined ? [] : rawEntries(existing)).filter((entry) => {
    const { success, data } = entrySchema.safeParse(entry);
    return !success || (data.digest !== added.digest && key(data) !== key(added));
  });
  const { mediaType, digest, sizeBytes, artifactType, annotations } = added;
  const entry = { mediaType, digest, size: sizeBytes, artifactType, annotations };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...others, entry] };
  return new TextEncoder().encode(JSON.stringify(index));
}
