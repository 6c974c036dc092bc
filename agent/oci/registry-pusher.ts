import { Readable } from 'node:stream';
import { AgentError } from '../core/errors.ts';
import { digestOf, isDigest } from '../core/image-format/digest.ts';
import { mediaTypes } from '../core/image-format/manifest.ts';
import type { BesideStore } from './evidence-reader.ts';
import { addReferrer, type Referrer, referrersTag } from './referrers.ts';
import { RegistryClient, type RegistryPorts } from './registry-client.ts';
import type { StoredManifest } from './image-store.ts';
import type { RegistrySettings } from './settings.ts';
import type { Scope } from './token-request.ts';

/** A blob's content, opened anew for each attempt. */
export type BlobContent = () => AsyncIterable<Uint8Array>;

/** Exactly `sizeBytes` of `content`: an upload with another length would leave the connection in the middle of a body. */
async function* exactly(content: AsyncIterable<Uint8Array>, sizeBytes: number, object: string, onBytes: () => void) {
  let sent = 0;
  const wrong = (found: string) =>
    new AgentError('internal', `cannot push ${object}: its content has ${found} than ${sizeBytes} bytes`);
  // A piece is held back until the next is known to fit: the registry must not take a head for the whole.
  let held: Uint8Array | undefined;
  for await (const piece of content) {
    sent += piece.byteLength;
    if (sent > sizeBytes) throw wrong('more');
    if (held !== undefined) yield held;
    held = piece;
    onBytes();
  }
  if (sent < sizeBytes) throw wrong('fewer');
  if (held !== undefined) yield held;
}

/** Pushes to one repository. Rejects with the codes of the registry client; a push of what is there is no error. */
export class RegistryPusher {
  readonly #client: RegistryClient;
  readonly #name: string;
  readonly #scope: Scope;

  constructor(
    target: { readonly registry: string; readonly name: string },
    settings: RegistrySettings,
    ports: RegistryPorts,
  ) {
    this.#client = new RegistryClient(target.registry, settings, ports);
    this.#name = target.name;
    this.#scope = { name: target.name, actions: 'pull,push' };
  }

  /** Whether the repository has the blob. */
  hasBlob(digest: string, signal: AbortSignal): Promise<boolean> {
    return this.#client.retried(async () => {
      const path = `${this.#name}/blobs/${digest}`;
      const answer = await this.#client.send({ method: 'HEAD', path }, this.#scope, signal);
      answer.discard();
      if (answer.status === 200 || answer.status === 404) return answer.status === 200;
      throw await this.#client.refusal(answer, 'look for', this.#describe(digest));
    }, signal);
  }

  /** Uploads a blob in one PUT; a failed attempt opens `content` anew. */
  uploadBlob(content: BlobContent, digest: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    return this.#client.retried(async () => {
      const upload = await this.#startUpload(digest, signal);
      upload.searchParams.set('digest', digest);
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) };
      const body = (onBytes: () => void) =>
        Readable.from(exactly(content(), sizeBytes, this.#describe(digest), onBytes), { objectMode: false });
      const answer = await this.#client.send({ method: 'PUT', path: upload, headers, body }, this.#scope, signal);
      if (answer.status !== 201) throw await this.#client.refusal(answer, 'push', this.#describe(digest));
      await answer.skip();
    }, signal);
  }

  /** Stores a manifest or index under a tag or its digest. Resolves to its digest. */
  async putManifest(tagOrDigest: string, bytes: Uint8Array, mediaType: string, signal: AbortSignal): Promise<string> {
    await this.#put(tagOrDigest, bytes, mediaType, signal);
    return digestOf(bytes);
  }

  /**
   * Stores a manifest that refers to `subject`, and sees to it that it is found there: where the registry does not list
   * referrers itself, in the list at the tag for them (distribution-spec, "Pushing Manifests with Subject"). Two who do
   * so at the same time may drop one another's entry. Rejects besides with `manifest-invalid` for a list that can't be
   * read.
   */
  async putReferrer(bytes: Uint8Array, referrer: Referrer, subject: string, signal: AbortSignal): Promise<void> {
    if (await this.#put(referrer.digest, bytes, referrer.mediaType, signal)) return;
    const tag = referrersTag(subject);
    const list = addReferrer((await this.manifest(tag, signal))?.bytes, referrer);
    await this.#put(tag, list, mediaTypes.ociIndex, signal);
  }

  /** Resolves to whether the registry lists it among the referrers of its subject. */
  #put(tagOrDigest: string, bytes: Uint8Array, mediaType: string, signal: AbortSignal): Promise<boolean> {
    return this.#client.retried(async () => {
      const answer = await this.#client.send(
        {
          method: 'PUT',
          path: `${this.#name}/manifests/${tagOrDigest}`,
          headers: { 'content-type': mediaType },
          body: Buffer.from(bytes),
        },
        this.#scope,
        signal,
      );
      if (answer.status !== 201) throw await this.#client.refusal(answer, 'push', this.#describe(tagOrDigest));
      await answer.skip();
      return answer.header('oci-subject') !== undefined;
    }, signal);
  }

  /** A manifest that is there, for signing and for adding signatures; `undefined` when there is none. */
  manifest(tagOrDigest: string, signal: AbortSignal): Promise<StoredManifest | undefined> {
    return this.#client.manifest(this.#name, tagOrDigest, signal);
  }

  /** What lies beside images in the repository, to be looked at before something is added. */
  get beside(): BesideStore {
    const client = this.#client;
    const name = this.#name;
    return {
      location: `${client.registry}/${name}`,
      manifest: (digest, signal) => client.manifest(name, digest, signal),
      tagged: (tag, signal) => client.manifest(name, tag, signal),
      referrers: (digest, artifactType, signal) => client.referrers(name, digest, artifactType, signal),
      blob: (digest, limitBytes, signal) => client.blob(name, digest, limitBytes, signal),
    };
  }

  /** Closes the idle connections. */
  close(): void {
    this.#client.close();
  }

  /** Opens an upload session (distribution-spec, "Pushing a blob monolithically", POST then PUT). */
  async #startUpload(digest: string, signal: AbortSignal): Promise<URL> {
    const path = `${this.#name}/blobs/uploads/`;
    const answer = await this.#client.send({ method: 'POST', path }, this.#scope, signal);
    if (answer.status !== 202) throw await this.#client.refusal(answer, 'push', this.#describe(digest));
    await answer.skip();
    const location = URL.parse(answer.header('location') ?? '', new URL(`/v2/${path}`, this.#client.endpoint).href);
    const isUsable =
      location !== null && (location.protocol === 'https:' || location.protocol === this.#client.endpoint.protocol);
    if (isUsable) return location;
    throw new AgentError(
      'registry-protocol-invalid',
      `cannot push ${this.#describe(digest)}: the registry names no usable upload location`,
    );
  }

  #describe(tagOrDigest: string): string {
    return `${this.#client.registry}/${this.#name}${isDigest(tagOrDigest) ? '@' : ':'}${tagOrDigest}`;
  }
}
