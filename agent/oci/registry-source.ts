import { AgentError } from '../core/errors.ts';
import type { Descriptor, Platform } from '../core/image-format/manifest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type {
  ByteRange,
  ImageSource,
  OnEvidenceProblem,
  PatchOffer,
  ResolvedImage,
  SignatureEvidence,
} from '../core/ports.ts';
import { streamBlob } from './blob-stream.ts';
import { type Place, placesOf } from './mirrors.ts';
import { collectPatches } from './patch-store.ts';
import { type OpenPlace, PlaceStore } from './place-store.ts';
import { closedRanges, rangesAfter } from './range.ts';
import { RegistryClient, type RegistryPorts } from './registry-client.ts';
import { resolveImage } from './resolve-image.ts';
import { type ConfRule, placesByConf } from './registries-conf.ts';
import type { RetryPolicy } from './retry.ts';
import type { RegistrySettings } from './settings.ts';
import { collectSignatures } from './signature-store.ts';

/** What images are fetched from registries with, all by value. */
export interface RegistrySourceOptions extends RegistryPorts {
  /** By registry, as references name it; mirrors have their own settings there. */
  readonly registries: Readonly<Record<string, RegistrySettings>>;
  /** What a registries.conf says of registries that have no mirrors in `registries`. */
  readonly rules?: readonly ConfRule[];
  readonly platform: Platform;
}

/** A mirror is asked so often, and waited for so long where it asks for it, before the next place is asked. */
const mirrorPatience = { attempts: 2, totalTimeMs: 10_000 } as const;
/** How long a mirror that failed, or gave what was not signed, is asked last. */
const asideMs = { failed: 5 * 60_000, distrusted: 24 * 3_600_000 } as const;

function impatient(policy: RetryPolicy): RetryPolicy {
  return {
    ...policy,
    attempts: Math.min(mirrorPatience.attempts, policy.attempts),
    totalTimeMs: Math.min(mirrorPatience.totalTimeMs, policy.totalTimeMs),
  };
}

const keyOf = ({ registry, name }: Place) => `${registry}/${name}`;

/**
 * Images of OCI registries and their mirrors. Connections and tokens are kept between calls. Rejects with
 * `registry-unreachable`, `registry-unauthorized`, `registry-rate-limited`, `registry-protocol-invalid`,
 * `image-not-found`, `response-too-large`, `digest-mismatch`, `download-truncated`, `manifest-invalid`,
 * `platform-not-found`, `signature-invalid`, `config-invalid`, or the signal's reason.
 */
export class RegistryImageSource implements ImageSource {
  readonly #options: RegistrySourceOptions;
  readonly #clients = new Map<string, RegistryClient>();
  /** By place, until when (monotonic) it is asked last. */
  readonly #aside = new Map<string, number>();
  /** The mirrors that gave layers, by the image's repository. */
  readonly #givers = new Map<string, Map<string, Place>>();

  constructor(options: RegistrySourceOptions) {
    this.#options = options;
  }

  resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    return resolveImage(this.#store(reference), reference, this.#options.platform, signal);
  }

  signatures(
    image: ResolvedImage,
    signal: AbortSignal,
    onProblem?: OnEvidenceProblem,
  ): Promise<readonly SignatureEvidence[]> {
    return collectSignatures(this.#store(image.reference), image, signal, onProblem);
  }

  patches(image: ResolvedImage, base: string, signal: AbortSignal): Promise<readonly PatchOffer[]> {
    return collectPatches(this.#store(image.reference), image, base, signal);
  }

  /** A place that fails is followed by the next one, which goes on where it ended. */
  async *openLayer(
    image: ResolvedImage,
    layer: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncIterable<Uint8Array> {
    const wanted = closedRanges(ranges, layer.sizeBytes);
    const places = this.#places(image.reference);
    let doneBytes = 0;
    for (const [index, { client, place }] of places.entries()) {
      const request = {
        what: `layer ${layer.digest} of ${place.registry}/${place.name}`,
        sizeBytes: layer.sizeBytes,
        ranges: rangesAfter(wanted, doneBytes),
        open: (range: Parameters<typeof client.openBlob>[2], own: AbortSignal) =>
          client.openBlob(place.name, layer.digest, range, own),
      };
      try {
        for await (const piece of streamBlob(request, client.layerBudget(), signal)) {
          doneBytes += piece.byteLength;
          if (place.isMirror) this.#noteGiver(image.reference, place);
          yield piece;
        }
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (place.isMirror && error instanceof AgentError) this.#putAside(place, asideMs.failed);
        if (index === places.length - 1 || !(error instanceof AgentError)) throw error;
      }
    }
  }

  /** Asks the mirrors that gave layers of the image's repository last for a day; whether one was not asked last before. */
  distrust({ reference }: ResolvedImage): boolean {
    const givers = Array.from(this.#givers.get(reference.repository)?.values() ?? []);
    this.#givers.delete(reference.repository);
    const isNew = givers.some((place) => !this.#isAside(place));
    for (const place of givers) this.#putAside(place, asideMs.distrusted);
    return isNew;
  }

  /** Closes the idle connections. */
  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #store(reference: Reference): PlaceStore {
    return new PlaceStore(reference.repository, this.#places(reference), (place, { code }) => {
      // A mirror need not have everything.
      if (code !== 'image-not-found') this.#putAside(place, asideMs.failed);
    });
  }

  /** The places of `reference`, those that failed lately behind the others. */
  #places(reference: Reference): readonly OpenPlace[] {
    const places = this.#placesOf(reference);
    const first = places.filter((place) => !this.#isAside(place));
    const last = places.filter((place) => this.#isAside(place));
    return [...first, ...last].map((place) => ({ place, client: this.#client(place) }));
  }

  #placesOf(reference: Reference): readonly Place[] {
    const { mirrors = [] } = this.#settings(reference.registry);
    const byConf = mirrors.length > 0 ? undefined : placesByConf(reference, this.#options.rules ?? []);
    return byConf ?? placesOf(reference, mirrors);
  }

  #isAside(place: Place): boolean {
    return (this.#aside.get(keyOf(place)) ?? 0) > this.#options.clock.monotonicMs();
  }

  #putAside(place: Place, forMs: number): void {
    const untilMs = this.#options.clock.monotonicMs() + forMs;
    this.#aside.set(keyOf(place), Math.max(untilMs, this.#aside.get(keyOf(place)) ?? 0));
  }

  #noteGiver({ repository }: Reference, place: Place): void {
    const givers = this.#givers.get(repository) ?? new Map<string, Place>();
    this.#givers.set(repository, givers.set(keyOf(place), place));
  }

  #settings(registry: string): RegistrySettings {
    const { registries } = this.#options;
    return (Object.hasOwn(registries, registry) ? registries[registry] : undefined) ?? {};
  }

  #client({ registry, isMirror }: Place): RegistryClient {
    const key = `${isMirror ? 'mirror' : 'registry'} ${registry}`;
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const { limits } = this.#options;
    const few = { ...limits, retry: impatient(limits.retry), layerRetry: impatient(limits.layerRetry) };
    const ports = isMirror ? { ...this.#options, limits: few } : this.#options;
    const client = new RegistryClient(registry, this.#settings(registry), ports);
    this.#clients.set(key, client);
    return client;
  }
}
