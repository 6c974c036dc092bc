import { AgentError } from '../core/errors.ts';
import type { Descriptor, Platform } from '../core/image-format/manifest.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import type { ByteRange, ImageSource, PatchOffer, ResolvedImage, SignatureEvidence } from '../core/ports.ts';
import { streamBlob } from './blob-stream.ts';
import type { ImageStore } from './image-store.ts';
import { collectPatches } from './patch-store.ts';
import { closedRanges } from './range.ts';
import { RegistryClient, type RegistryPorts } from './registry-client.ts';
import { resolveImage } from './resolve-image.ts';
import type { RegistrySettings } from './settings.ts';
import { collectSignatures } from './signature-store.ts';

/** What images are fetched from registries with, all by value. */
export interface RegistrySourceOptions extends RegistryPorts {
  /** By registry, as references name it. */
  readonly registries: Readonly<Record<string, RegistrySettings>>;
  readonly platform: Platform;
}

/** One repository as a store of images. */
function repositoryStore(client: RegistryClient, reference: Reference): ImageStore {
  const { name, repository } = reference;
  const missing = (object: string) =>
    new AgentError('image-not-found', `cannot fetch ${object}: ${repository} does not have it`, {
      details: { repository },
    });
  return {
    location: repository,
    missing,
    find: async (wanted, signal) => {
      const found = await client.manifest(name, wanted.digest ?? wanted.tag ?? 'latest', signal);
      if (found === undefined) throw missing(formatReference(wanted));
      return found;
    },
    manifest: (digest, signal) => client.manifest(name, digest, signal),
    tagged: (tag, signal) => client.manifest(name, tag, signal),
    referrers: (digest, artifactType, signal) => client.referrers(name, digest, artifactType, signal),
    blob: (digest, limitBytes, signal) => client.blob(name, digest, limitBytes, signal),
  };
}

/**
 * Images of OCI registries. Connections and tokens are kept between calls. Rejects with `registry-unreachable`,
 * `registry-unauthorized`, `registry-rate-limited`, `registry-protocol-invalid`, `image-not-found`,
 * `response-too-large`, `digest-mismatch`, `download-truncated`, `manifest-invalid`, `platform-not-found`,
 * `signature-invalid`, `config-invalid`, or the signal's reason.
 */
export class RegistryImageSource implements ImageSource {
  readonly #options: RegistrySourceOptions;
  readonly #clients = new Map<string, RegistryClient>();

  constructor(options: RegistrySourceOptions) {
    this.#options = options;
  }

  resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    return resolveImage(this.#store(reference), reference, this.#options.platform, signal);
  }

  signatures(image: ResolvedImage, signal: AbortSignal): Promise<readonly SignatureEvidence[]> {
    return collectSignatures(this.#store(image.reference), image, signal);
  }

  patches(image: ResolvedImage, base: string, signal: AbortSignal): Promise<readonly PatchOffer[]> {
    return collectPatches(this.#store(image.reference), image, base, signal);
  }

  openLayer(
    image: ResolvedImage,
    layer: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncIterable<Uint8Array> {
    const { name, repository, registry } = image.reference;
    const client = this.#client(registry);
    return streamBlob(
      {
        what: `layer ${layer.digest} of ${repository}`,
        sizeBytes: layer.sizeBytes,
        ranges: closedRanges(ranges, layer.sizeBytes),
        open: (range, own) => client.openBlob(name, layer.digest, range, own),
      },
      client.budget(this.#options.limits.layerRetry),
      signal,
    );
  }

  /** Closes the idle connections. */
  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #store(reference: Reference): ImageStore {
    return repositoryStore(this.#client(reference.registry), reference);
  }

  #client(registry: string): RegistryClient {
    const known = this.#clients.get(registry);
    if (known !== undefined) return known;
    const { registries } = this.#options;
    const settings = Object.hasOwn(registries, registry) ? registries[registry] : undefined;
    const client = new RegistryClient(registry, settings ?? {}, this.#options);
    this.#clients.set(registry, client);
    return client;
  }
}
