import { z } from 'zod';
import { AgentError } from '../errors.ts';
import { isDigest } from './digest.ts';
import { ambiguityOf } from './strict-json.ts';

/** Limits on what a registry may hand us before its signature is verified. */
export const manifestLimits = { manifestBytes: 4 * 1024 * 1024, configBytes: 1024 * 1024, layers: 64 } as const;

/** Media types of the OCI image spec and their Docker twins. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  kaonArtifact: 'application/vnd.kaon.image.v1',
  kaonConfig: 'application/vnd.kaon.config.v1+json',
  kaonPartition: 'application/vnd.kaon.partition.v1.raw',
  kaonBoot: 'application/vnd.kaon.boot.v1.raw',
  kaonBlockIndex: 'application/vnd.kaon.block-index.v1',
  /** Of a manifest with patches, one layer a partition. */
  kaonPatches: 'application/vnd.kaon.patches.v1',
  kaonPatch: 'application/vnd.kaon.patch.v1',
} as const;

/** A content descriptor (OCI image-spec, "OCI Content Descriptors"). Annotations are unsigned unless the manifest is. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: Platform | undefined;
}

/** A platform of an index entry. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** An image manifest. */
export interface Manifest {
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** An image index. */
export interface ImageIndex {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

const annotations = z.record(z.string(), z.string()).optional();

const descriptorSchema = z.object({
  mediaType: z.string().min(1).max(255),
  digest: z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex'),
  size: z.int().nonnegative(),
  annotations,
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
});

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([mediaTypes.ociManifest, mediaTypes.dockerManifest]).optional(),
  artifactType: z.string().max(255).optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(manifestLimits.layers),
  annotations,
});

const indexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.enum([mediaTypes.ociIndex, mediaTypes.dockerList]).optional(),
  manifests: z.array(descriptorSchema).max(manifestLimits.layers * 16),
});

function toDescriptor(raw: z.infer<typeof descriptorSchema>): Descriptor {
  return {
    mediaType: raw.mediaType,
    digest: raw.digest,
    sizeBytes: raw.size,
    annotations: raw.annotations ?? {},
    platform: raw.platform && {
      os: raw.platform.os,
      architecture: raw.platform.architecture,
      variant: raw.platform.variant,
    },
  };
}

/**
 * Parses JSON bytes of at most `limitBytes`. Throws `manifest-invalid` (or `response-too-large`) naming `what`.
 * Bytes that are not UTF-8 are refused, so that what is hashed and what is obeyed are the same text; and so is what
 * another reader could read otherwise (see `ambiguityOf`).
 */
export function parseJson(bytes: Uint8Array, what: string, limitBytes: number): unknown {
  if (bytes.byteLength > limitBytes) {
    throw new AgentError(
      'response-too-large',
      `cannot read ${what}: it has ${bytes.byteLength} bytes, the limit is ${limitBytes}`,
    );
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const ambiguity = ambiguityOf(text);
    if (ambiguity !== undefined) throw new AgentError('manifest-invalid', `cannot read ${what}: ${ambiguity}`);
    return JSON.parse(text);
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw new AgentError('manifest-invalid', `cannot read ${what}: it is not JSON in UTF-8`, { cause });
  }
}

/** Checks `value` against `schema`. Throws `manifest-invalid` that names the path in `what`. */
export function parseShape<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue === undefined || issue.path.length === 0 ? 'the document' : issue.path.join('.');
  throw new AgentError('manifest-invalid', `cannot read ${what}: ${path}: ${issue?.message ?? 'invalid'}`, {
    details: { path },
  });
}

/** What a manifest's bytes are: an index or a manifest. Throws `manifest-invalid`. */
export function parseManifestOrIndex(
  bytes: Uint8Array,
): { readonly kind: 'manifest'; readonly manifest: Manifest } | { readonly kind: 'index'; readonly index: ImageIndex } {
  const value = parseJson(bytes, 'the manifest', manifestLimits.manifestBytes);
  // One document must not be an index to one reader and a manifest to another.
  if (typeof value === 'object' && value !== null && 'manifests' in value) {
    if ('layers' in value || 'config' in value) {
      throw new AgentError('manifest-invalid', 'cannot read the manifest: it has fields of an index and of a manifest');
    }
    const raw = parseShape(indexSchema, value, 'the index');
    return {
      kind: 'index',
      index: { mediaType: raw.mediaType ?? mediaTypes.ociIndex, manifests: raw.manifests.map(toDescriptor) },
    };
  }
  const raw = parseShape(manifestSchema, value, 'the manifest');
  return {
    kind: 'manifest',
    manifest: {
      mediaType: raw.mediaType ?? mediaTypes.ociManifest,
      artifactType: raw.artifactType,
      config: toDescriptor(raw.config),
      layers: raw.layers.map(toDescriptor),
      annotations: raw.annotations ?? {},
    },
  };
}

/** Parses a manifest. Throws `manifest-invalid` when the bytes are an index or nothing sound. */
export function parseManifest(bytes: Uint8Array): Manifest {
  const parsed = parseManifestOrIndex(bytes);
  if (parsed.kind === 'index') {
    throw new AgentError('manifest-invalid', 'cannot read the manifest: it is an index');
  }
  return parsed.manifest;
}

/**
 * The first entry of `index` for `platform`, in listed order; buildkit's `unknown/unknown` attestations are never it.
 * A variant is compared only where both sides state one. Throws `platform-not-found`.
 */
export function selectPlatform(index: ImageIndex, platform: Platform): Descriptor {
  const found = index.manifests.find(
    ({ platform: entry }) =>
      entry !== undefined &&
      entry.os === platform.os &&
      entry.architecture === platform.architecture &&
      (entry.variant === undefined || platform.variant === undefined || entry.variant === platform.variant),
  );
  if (found !== undefined) return found;
  const offered = index.manifests.map(({ platform: p }) => (p === undefined ? 'none' : `${p.os}/${p.architecture}`));
  throw new AgentError(
    'platform-not-found',
    `cannot use the index: it has no image for ${platform.os}/${platform.architecture} (it offers ${offered.slice(0, 16).join(', ') || 'nothing'})`,
  );
}
