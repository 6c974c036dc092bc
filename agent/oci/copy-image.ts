import { digestOf } from '../core/image-format/digest.ts';
import {
  type Descriptor,
  manifestLimits,
  mediaTypes,
  parseManifest,
  parseManifestOrIndex,
} from '../core/image-format/manifest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import { blobPath, Layout, layoutStore } from './layout.ts';
import { archiveInvalid } from './layout-files.ts';
import { openLayoutFiles } from './layout-source.ts';
import type { OfflineLocation } from './offline-location.ts';
import type { RegistryPusher } from './registry-pusher.ts';
import { parseReferrers, referrersTag } from './referrers.ts';
import { attestationTag, signatureTag } from './signature-store.ts';
import { verifyDigest } from './image-store.ts';

/** What a copy did. */
export interface CopiedImage {
  /** Of the manifest or index that was named. */
  readonly digest: string;
  /** Tags of signatures and attestations. */
  readonly signatureTags: readonly string[];
  /** Digests of the manifests that refer to what was copied, patches among them. */
  readonly referrers: readonly string[];
  readonly uploadedBytes: number;
}

/** Told of each blob: before its upload, or that the registry has it. */
export type OnBlob = (blob: Pick<Descriptor, 'digest' | 'sizeBytes'>, isThere: boolean) => void;

/** Copies the manifests of one layout, and what they name, blobs before those who name them. */
class LayoutCopy {
  readonly #layout: Layout;
  readonly #pusher: RegistryPusher;
  readonly #onBlob: OnBlob;
  readonly #signal: AbortSignal;
  readonly #seen = new Set<string>();
  uploadedBytes = 0;
  readonly manifestDigests: string[] = [];

  constructor(layout: Layout, pusher: RegistryPusher, onBlob: OnBlob, signal: AbortSignal) {
    this.#layout = layout;
    this.#pusher = pusher;
    this.#onBlob = onBlob;
    this.#signal = signal;
  }

  async copyManifest(bytes: Uint8Array, tagOrDigest: string): Promise<void> {
    const parsed = parseManifestOrIndex(bytes);
    this.manifestDigests.push(digestOf(bytes));
    if (parsed.kind === 'index') {
      for (const entry of parsed.index.manifests) await this.#copyChild(entry);
      await this.#pusher.putManifest(tagOrDigest, bytes, parsed.index.mediaType, this.#signal);
      return;
    }
    for (const blob of [parsed.manifest.config, ...parsed.manifest.layers]) await this.#copyBlob(blob);
    await this.#pusher.putManifest(tagOrDigest, bytes, parsed.manifest.mediaType, this.#signal);
  }

  /** Copies what the layout lists as referring to `subject`, as far as it holds it. */
  async copyReferrers(list: Uint8Array, subject: string): Promise<readonly string[]> {
    const copied: string[] = [];
    for (const referrer of parseReferrers(list)) {
      if (referrer.mediaType !== mediaTypes.ociManifest) continue;
      const bytes = await this.#layout.read(blobPath(referrer.digest), manifestLimits.manifestBytes);
      if (bytes === undefined) continue;
      verifyDigest(bytes, referrer.digest, `manifest ${referrer.digest}`);
      const { config, layers } = parseManifest(bytes);
      for (const blob of [config, ...layers]) await this.#copyBlob(blob);
      await this.#pusher.putReferrer(bytes, referrer, subject, this.#signal);
      this.manifestDigests.push(referrer.digest);
      copied.push(referrer.digest);
    }
    return copied;
  }

  async #copyChild(entry: Descriptor): Promise<void> {
    const { location } = this.#layout.files;
    const known: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
    if (!known.includes(entry.mediaType)) {
      throw archiveInvalid(location, `an index entry is of type ${entry.mediaType}, only manifests are copied`);
    }
    const bytes = await this.#layout.read(blobPath(entry.digest), manifestLimits.manifestBytes);
    if (bytes === undefined) throw archiveInvalid(location, `blob ${entry.digest} is missing`);
    verifyDigest(bytes, entry.digest, `manifest ${entry.digest}`);
    await this.copyManifest(bytes, entry.digest);
  }

  async #copyBlob(blob: Descriptor): Promise<void> {
    if (this.#seen.has(blob.digest)) return;
    this.#seen.add(blob.digest);
    const isThere = await this.#pusher.hasBlob(blob.digest, this.#signal);
    this.#onBlob(blob, isThere);
    if (isThere) return;
    const content = () => this.#layout.stream(blob, this.#signal);
    await this.#pusher.uploadBlob(content, blob.digest, blob.sizeBytes, this.#signal);
    this.uploadedBytes += blob.sizeBytes;
  }
}

/**
 * Copies the image that `reference` means in `from` to the pusher's repository, with all platforms of an index and the
 * signatures and referrers beside each; the tag of `reference` (else its digest) names it last, so that who sees the tag finds
 * everything. Rejects with the codes of both sides.
 */
export async function copyImage(
  from: OfflineLocation,
  pusher: RegistryPusher,
  reference: Reference,
  onBlob: OnBlob,
  signal: AbortSignal,
): Promise<CopiedImage> {
  const files = await openLayoutFiles(from);
  try {
    const layout = new Layout(files);
    const store = layoutStore(layout, from.refName);
    const { bytes } = await store.find(reference, signal);
    const digest = digestOf(bytes);
    const copy = new LayoutCopy(layout, pusher, onBlob, signal);
    await copy.copyManifest(bytes, digest);
    const referrers: string[] = [];
    for (const subject of [...copy.manifestDigests]) {
      const list = await store.tagged(referrersTag(subject), signal);
      if (list !== undefined) referrers.push(...(await copy.copyReferrers(list.bytes, subject)));
    }
    const signatureTags: string[] = [];
    for (const tag of copy.manifestDigests.flatMap((one) => [signatureTag(one), attestationTag(one)])) {
      const signatures = tag === undefined ? undefined : await store.tagged(tag, signal);
      if (tag === undefined || signatures === undefined) continue;
      await copy.copyManifest(signatures.bytes, tag);
      signatureTags.push(tag);
    }
    if (reference.digest === undefined) {
      const parsed = parseManifestOrIndex(bytes);
      const mediaType = parsed.kind === 'index' ? parsed.index.mediaType : parsed.manifest.mediaType;
      await pusher.putManifest(reference.tag ?? 'latest', bytes, mediaType, signal);
    }
    return { digest, signatureTags, referrers, uploadedBytes: copy.uploadedBytes };
  } finally {
    await files.close();
  }
}
