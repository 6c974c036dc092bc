import { digestOf } from '../core/image-format/digest.ts';
import { mediaTypes } from '../core/image-format/manifest.ts';
import { Layout, layoutStore } from '../oci/layout.ts';
import { DirectoryFiles } from '../oci/layout-files.ts';
import { LayoutWriter, type StoredBlob } from '../oci/layout-writer.ts';
import { addReferrer, type Referrer, referrersTag } from '../oci/referrers.ts';
import type { BlobContent, RegistryPusher } from '../oci/registry-pusher.ts';

/** Where a manifest is put that refers to an image, with its blobs. */
export interface ReferrerTarget {
  /** Stores a blob of this digest and size; `content` may be opened more than once. */
  putBlob(content: BlobContent, blob: StoredBlob): Promise<void>;
  /** Stores the manifest and lists it beside `subject`. */
  putReferrer(bytes: Uint8Array, referrer: Referrer, subject: string): Promise<void>;
}

/** The repository of a pusher. Rejects with the registry's codes. */
export function registryTarget(pusher: RegistryPusher, signal: AbortSignal): ReferrerTarget {
  return {
    putBlob: async (content, { digest, sizeBytes }) => {
      if (!(await pusher.hasBlob(digest, signal))) await pusher.uploadBlob(content, digest, sizeBytes, signal);
    },
    putReferrer: (bytes, referrer, subject) => pusher.putReferrer(bytes, referrer, subject, signal),
  };
}

/** A layout directory, where lists of referrers have the names that they have as tags. Rejects with the layout's codes. */
export function layoutTarget(directory: string, signal: AbortSignal): ReferrerTarget {
  return {
    putBlob: async (content) => {
      await (await LayoutWriter.open(directory)).writeBlob(content());
    },
    putReferrer: async (bytes, referrer, subject) => {
      const store = layoutStore(new Layout(new DirectoryFiles(directory)), undefined);
      const tag = referrersTag(subject);
      const list = addReferrer((await store.tagged(tag, signal))?.bytes, referrer);
      const writer = await LayoutWriter.open(directory);
      await writer.writeBlob(bytes);
      await writer.putManifest(list, mediaTypes.ociIndex, tag);
    },
  };
}

/** The blob of `bytes`. */
export function blobOf(bytes: Uint8Array): StoredBlob {
  return { digest: digestOf(bytes), sizeBytes: bytes.byteLength };
}
