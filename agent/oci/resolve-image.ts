import { AgentError } from '../core/errors.ts';
import { algorithmOf, digestOf } from '../core/image-format/digest.ts';
import {
  type Descriptor,
  manifestLimits,
  mediaTypes,
  parseManifestOrIndex,
  type Platform,
  selectPlatform,
} from '../core/image-format/manifest.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import type { ResolvedImage } from '../core/ports.ts';
import { type ImageStore, type StoredManifest, verifyDigest } from './image-store.ts';

const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];

/** Parses what a store gave, and compares the media type in the bytes with the one stated beside them. */
function parseStored(stored: StoredManifest) {
  const parsed = parseManifestOrIndex(stored.bytes);
  const own = parsed.kind === 'index' ? parsed.index.mediaType : parsed.manifest.mediaType;
  if (stored.mediaType === undefined || own === stored.mediaType) return parsed;
  throw new AgentError(
    'manifest-invalid',
    `cannot use the manifest: its media type is ${own}, it was announced as ${stored.mediaType.slice(0, 100)}`,
  );
}

function refuseSize({ sizeBytes, digest }: Descriptor, limitBytes: number): void {
  if (sizeBytes <= limitBytes) return;
  throw new AgentError(
    'response-too-large',
    `cannot fetch ${digest}: it has ${sizeBytes} bytes, the limit is ${limitBytes}`,
    { details: { limitBytes } },
  );
}

function checkContent(bytes: Uint8Array, descriptor: Descriptor, object: string): void {
  verifyDigest(bytes, descriptor.digest, object);
  if (bytes.byteLength === descriptor.sizeBytes) return;
  throw new AgentError(
    'manifest-invalid',
    `cannot use ${object}: it has ${bytes.byteLength} bytes, its descriptor says ${descriptor.sizeBytes}`,
  );
}

async function fetchManifest(store: ImageStore, entry: Descriptor, signal: AbortSignal): Promise<StoredManifest> {
  // The signed chain is index, manifest, config: an index between them is covered by nothing that is kept.
  if (indexTypes.includes(entry.mediaType)) {
    throw new AgentError('manifest-invalid', 'cannot use the index: its entry for this platform is an index again');
  }
  refuseSize(entry, manifestLimits.manifestBytes);
  const object = `manifest ${entry.digest}`;
  const stored = await store.manifest(entry.digest, signal);
  if (stored === undefined) throw store.missing(object);
  checkContent(stored.bytes, entry, object);
  if (stored.mediaType === undefined || stored.mediaType === entry.mediaType) {
    return { bytes: stored.bytes, mediaType: entry.mediaType };
  }
  throw new AgentError(
    'manifest-invalid',
    `cannot use ${object}: it comes as ${stored.mediaType.slice(0, 100)}, the index says ${entry.mediaType}`,
  );
}

async function fetchConfig(store: ImageStore, config: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  refuseSize(config, manifestLimits.configBytes);
  const object = `image config ${config.digest}`;
  const bytes = await store.blob(config.digest, manifestLimits.configBytes, signal);
  if (bytes === undefined) throw store.missing(object);
  checkContent(bytes, config, object);
  return bytes;
}

/**
 * Resolves `reference` in `store` once: the tag or digest to an index or manifest, an index to the manifest for
 * `platform`, and that to its config, each hashed here. Rejects with `image-not-found`, `digest-mismatch`,
 * `manifest-invalid`, `platform-not-found`, `response-too-large`, and the store's own errors.
 */
export async function resolveImage(
  store: ImageStore,
  reference: Reference,
  platform: Platform,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const found = await store.find(reference, signal);
  const algorithm = reference.digest === undefined ? 'sha256' : algorithmOf(reference.digest);
  const resolvedDigest = digestOf(found.bytes, algorithm);
  if (reference.digest !== undefined) verifyDigest(found.bytes, reference.digest, formatReference(reference));
  const top = parseStored(found);
  if (top.kind === 'manifest') {
    const configBytes = await fetchConfig(store, top.manifest.config, signal);
    const manifestBytes = found.bytes;
    return {
      reference,
      resolvedDigest,
      indexBytes: undefined,
      manifestDigest: resolvedDigest,
      manifestBytes,
      configBytes,
    };
  }
  const entry = selectPlatform(top.index, platform);
  const child = await fetchManifest(store, entry, signal);
  const parsed = parseStored(child);
  if (parsed.kind === 'index') {
    throw new AgentError('manifest-invalid', `cannot use manifest ${entry.digest}: it is an index`);
  }
  return {
    reference,
    resolvedDigest,
    indexBytes: found.bytes,
    manifestDigest: entry.digest,
    manifestBytes: child.bytes,
    configBytes: await fetchConfig(store, parsed.manifest.config, signal),
  };
}

/** The OCI platform of a machine that Node's `process.arch` calls `arch`. */
export function platformOf(arch: string): Platform {
  if (arch === 'x64') return { os: 'linux', architecture: 'amd64', variant: undefined };
  if (arch === 'arm64') return { os: 'linux', architecture: 'arm64', variant: 'v8' };
  return { os: 'linux', architecture: arch, variant: undefined };
}
