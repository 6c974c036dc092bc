import { AgentError } from '../core/errors.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import { type ImageStore, type StoredManifest, verifyDigest } from './image-store.ts';
import type { Place } from './mirrors.ts';
import type { ListedReferrers } from './referrer-pages.ts';
import type { RegistryClient } from './registry-client.ts';

/** A place with the connection to it. */
export interface OpenPlace {
  readonly place: Place;
  readonly client: RegistryClient;
}

/** Hears that a mirror failed, so that it is asked later the next time. */
export type OnMirrorFailure = (place: Place, error: AgentError) => void;

/** Why a mirror did not give what it was asked for, for the details of an error. */
function failureOf({ registry, name }: Place, code: string): { readonly place: string; readonly code: string } {
  return { place: `${registry}/${name}`, code };
}

/** The error of the last place, with those of the mirrors in its details. */
function withMirrors(
  error: AgentError,
  failures: readonly { readonly place: string; readonly code: string }[],
): AgentError {
  if (failures.length === 0) return error;
  const tried = failures.map(({ place, code }) => `${place}: ${code}`).join(', ');
  return new AgentError(error.code, `${error.message} (mirrors: ${tried})`, {
    details: { ...error.details, mirrors: failures },
    cause: error,
  });
}

/** One repository at all of its places: what one does not give, or gives with another digest, the next is asked for. */
export class PlaceStore implements ImageStore {
  readonly location: string;
  readonly #places: readonly OpenPlace[];
  readonly #onFailure: OnMirrorFailure;

  /** `places` in the order of asking. */
  constructor(repository: string, places: readonly OpenPlace[], onFailure: OnMirrorFailure) {
    this.location = repository;
    this.#places = places;
    this.#onFailure = onFailure;
  }

  missing(object: string): AgentError {
    return new AgentError('image-not-found', `cannot fetch ${object}: ${this.location} does not have it`, {
      details: { repository: this.location },
    });
  }

  async find(wanted: Reference, signal: AbortSignal): Promise<StoredManifest> {
    const { digest } = wanted;
    const found =
      digest === undefined ? await this.tagged(wanted.tag ?? 'latest', signal) : await this.manifest(digest, signal);
    if (found === undefined) throw this.missing(formatReference(wanted));
    return found;
  }

  manifest(digest: string, signal: AbortSignal): Promise<StoredManifest | undefined> {
    return this.#first(this.#places, signal, async ({ client, place }) => {
      const found = await client.manifest(place.name, digest, signal);
      // Whoever asks checks it, too; here a mirror that lies is passed over.
      if (found !== undefined && place.isMirror) verifyDigest(found.bytes, digest, `manifest ${digest}`);
      return found;
    });
  }

  tagged(tag: string, signal: AbortSignal): Promise<StoredManifest | undefined> {
    return this.#first(this.#tagged, signal, ({ client, place }) => client.manifest(place.name, tag, signal));
  }

  referrers(digest: string, artifactType: string, signal: AbortSignal): Promise<ListedReferrers | undefined> {
    return this.#first(this.#tagged, signal, ({ client, place }) =>
      client.referrers(place.name, digest, artifactType, signal),
    );
  }

  blob(digest: string, limitBytes: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#first(this.#places, signal, async ({ client, place }) => {
      const found = await client.blob(place.name, digest, limitBytes, signal);
      if (found !== undefined && place.isMirror) verifyDigest(found, digest, `blob ${digest}`);
      return found;
    });
  }

  get #tagged(): readonly OpenPlace[] {
    return this.#places.filter(({ place }) => place.isTagged);
  }

  /** What the first place that has it gives. Rejects with the registry's own failure where none has, and that failed. */
  async #first<T>(
    places: readonly OpenPlace[],
    signal: AbortSignal,
    ask: (place: OpenPlace) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const failures: { readonly place: string; readonly code: string }[] = [];
    let own: AgentError | undefined;
    for (const each of places) {
      try {
        const found = await ask(each);
        if (found !== undefined) return found;
        if (each.place.isMirror) failures.push(failureOf(each.place, 'image-not-found'));
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AgentError)) throw error;
        if (each.place.isMirror) {
          failures.push(failureOf(each.place, error.code));
          this.#onFailure(each.place, error);
        } else own = error;
      }
    }
    if (own !== undefined) throw withMirrors(own, failures);
    return undefined;
  }
}
