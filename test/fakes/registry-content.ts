import { createHash } from 'node:crypto';

/** A manifest or index as it was pushed. */
export interface HeldManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: string;
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Whether `bytes` have `digest`. */
function hasDigest(bytes: Uint8Array, digest: string): boolean {
  const [algorithm = '', hex] = digest.split(':');
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false;
  return createHash(algorithm).update(bytes).digest('hex') === hex;
}

/** What an embedded registry holds, in memory, by repository. */
export class RegistryContent {
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, HeldManifest>();
  readonly #uploads = new Map<string, Buffer[]>();
  #uploadCount = 0;

  /** Stores a blob, for a test under a wrong `digest`, too; returns its digest. */
  putBlob(name: string, bytes: Uint8Array, digest = digestOf(bytes)): string {
    this.#blobs.set(`${name}@${digest}`, Buffer.from(bytes));
    return digest;
  }

  blob(name: string, digest: string): Buffer | undefined {
    return this.#blobs.get(`${name}@${digest}`);
  }

  removeBlob(name: string, digest: string): void {
    this.#blobs.delete(`${name}@${digest}`);
  }

  /** Stores a manifest under its digest, and under `tag` where one is given; returns the digest. */
  putManifest(name: string, bytes: Uint8Array, mediaType: string, tag?: string, digest = digestOf(bytes)): string {
    const held = { bytes: Buffer.from(bytes), mediaType, digest };
    const names = [digest, `sha512:${createHash('sha512').update(bytes).digest('hex')}`];
    for (const found of tag === undefined ? names : [...names, tag]) this.#manifests.set(`${name} ${found}`, held);
    return digest;
  }

  manifest(name: string, tagOrDigest: string): HeldManifest | undefined {
    return this.#manifests.get(`${name} ${tagOrDigest}`);
  }

  /** The index of the manifests whose subject is `digest` (distribution-spec, "Listing Referrers"). */
  referrers(name: string, digest: string, artifactType: string | null) {
    const manifests = [...this.#manifests].flatMap(([key, held]) => {
      if (key !== `${name} ${held.digest}`) return [];
      const manifest = JSON.parse(held.bytes.toString()) as {
        readonly artifactType?: string;
        readonly annotations?: Readonly<Record<string, string>>;
        readonly subject?: { readonly digest: string };
      };
      if (manifest.subject?.digest !== digest) return [];
      if (artifactType !== null && manifest.artifactType !== artifactType) return [];
      const { mediaType, bytes } = held;
      const { artifactType: type, annotations } = manifest;
      return [{ mediaType, digest: held.digest, size: bytes.byteLength, artifactType: type, annotations }];
    });
    return { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests };
  }

  /** Opens an upload session; returns its id. */
  startUpload(): string {
    this.#uploadCount += 1;
    const id = `upload-${this.#uploadCount}`;
    this.#uploads.set(id, []);
    return id;
  }

  /** Adds to a session; returns how many bytes it has, or `undefined` when there is no such session. */
  appendUpload(id: string, bytes: Buffer): number | undefined {
    const pieces = this.#uploads.get(id);
    pieces?.push(bytes);
    return pieces?.reduce((sum, piece) => sum + piece.byteLength, 0);
  }

  /** Ends a session; whether its bytes have `digest` and were stored. */
  finishUpload(id: string, name: string, digest: string): boolean {
    const bytes = Buffer.concat(this.#uploads.get(id) ?? []);
    this.#uploads.delete(id);
    if (!hasDigest(bytes, digest)) return false;
    this.#blobs.set(`${name}@${digest}`, bytes);
    return true;
  }
}
