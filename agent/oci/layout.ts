import { AgentError } from '../core/errors.ts';
import { type Descriptor, manifestLimits, parseJson, parseManifestOrIndex } from '../core/image-format/manifest.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import type { ByteRange } from '../core/ports.ts';
import { type ImageStore, type StoredManifest, verifyDigest } from './image-store.ts';
import { archiveInvalid, type LayoutFiles } from './layout-files.ts';
import { closedRanges } from './range.ts';

/** The annotation of an index entry that names it (image-spec, "Annotations"). */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';

/** Bytes read at a time from a layer. */
const pieceBytes = 256 * 1024;

/** Path of a blob in a layout (image-spec, "OCI Image Layout"). */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

/** The name of an index entry, if it has one. */
export function refNameOf(entry: Descriptor): string | undefined {
  return entry.annotations[refNameAnnotation];
}

/** Whether an entry is named for an image that it says something of: signatures, or a list of referrers. */
function isBesideImage(name: string | undefined): boolean {
  return name !== undefined && /^sha(256-[0-9a-f]{64}(\.(sig|att|sbom))?|512-[0-9a-f]{64})$/.test(name);
}

/** Reads the blobs and the index of an OCI layout. */
export class Layout {
  readonly files: LayoutFiles;

  constructor(files: LayoutFiles) {
    this.files = files;
  }

  /** The entries of `index.json`. Rejects with `archive-invalid`. */
  async entries(): Promise<readonly Descriptor[]> {
    const { location } = this.files;
    const marker = await this.read('oci-layout', 4096);
    const index = await this.read('index.json', manifestLimits.manifestBytes);
    if (marker === undefined || index === undefined) {
      throw archiveInvalid(
        location,
        `it has no ${marker === undefined ? 'oci-layout' : 'index.json'}: is it an OCI layout?`,
      );
    }
    try {
      const version = parseJson(marker, 'oci-layout', 4096);
      const isKnown =
        typeof version === 'object' &&
        version !== null &&
        'imageLayoutVersion' in version &&
        version.imageLayoutVersion === '1.0.0';
      if (!isKnown) throw archiveInvalid(location, 'its oci-layout does not say imageLayoutVersion 1.0.0');
      const parsed = parseManifestOrIndex(index);
      if (parsed.kind === 'index') return parsed.index.manifests;
    } catch (error) {
      if (error instanceof AgentError && error.code === 'manifest-invalid') {
        throw archiveInvalid(location, error.message, error);
      }
      throw error;
    }
    throw archiveInvalid(location, 'its index.json is no index');
  }

  /** A whole file of at most `limitBytes`; `undefined` when there is none. */
  async read(path: string, limitBytes: number): Promise<Uint8Array | undefined> {
    const file = await this.files.open(path);
    if (file === undefined) return undefined;
    try {
      if (file.sizeBytes > limitBytes) {
        throw new AgentError(
          'response-too-large',
          `cannot read ${path} of ${this.files.location}: it has ${file.sizeBytes} bytes, the limit is ${limitBytes}`,
          { details: { limitBytes } },
        );
      }
      const buffer = Buffer.alloc(file.sizeBytes);
      const readBytes = await file.readAt(buffer, 0);
      if (readBytes === buffer.byteLength) return buffer;
      throw archiveInvalid(this.files.location, `${path} ends early`);
    } finally {
      await file.close();
    }
  }

  /** The bytes of a blob of exactly `sizeBytes`, or of its `ranges`, in order. Rejects with `archive-invalid` when it has another size. */
  async *stream(
    { digest, sizeBytes }: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { location } = this.files;
    signal.throwIfAborted();
    const file = await this.files.open(blobPath(digest));
    if (file === undefined) throw archiveInvalid(location, `blob ${digest} is missing`);
    try {
      if (file.sizeBytes !== sizeBytes) {
        throw archiveInvalid(location, `blob ${digest} has ${file.sizeBytes} bytes, the manifest says ${sizeBytes}`);
      }
      for (const { start, end } of closedRanges(ranges, sizeBytes)) {
        for (let position = start; position <= end;) {
          signal.throwIfAborted();
          const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, end + 1 - position));
          const readBytes = await file.readAt(buffer, position);
          if (readBytes < buffer.byteLength) throw archiveInvalid(location, `blob ${digest} ends early`);
          position += readBytes;
          yield buffer;
        }
      }
    } finally {
      await file.close();
    }
  }
}

function selectEntry(
  entries: readonly Descriptor[],
  reference: Reference,
  refName: string | undefined,
  location: string,
): Descriptor {
  const images = entries.filter((entry) => !isBesideImage(refNameOf(entry)));
  const oneOf = (found: readonly Descriptor[], wanted: string) => {
    const [first] = found;
    if (first !== undefined && new Set(found.map(({ digest }) => digest)).size > 1) {
      throw archiveInvalid(location, `it has several images ${wanted}`);
    }
    return first;
  };
  const byName = (name: string) =>
    oneOf(
      entries.filter((entry) => refNameOf(entry) === name),
      `named ${name}`,
    );
  const byDigest = () => entries.find(({ digest }) => digest === reference.digest);
  const only = () => (new Set(images.map(({ digest }) => digest)).size === 1 ? images[0] : undefined);
  let found: Descriptor | undefined;
  if (refName !== undefined) found = byName(refName);
  else if (reference.digest !== undefined) found = byDigest();
  else found = byName(formatReference(reference)) ?? byName(reference.tag ?? 'latest') ?? only();
  if (found !== undefined) return found;
  const names = images.map((entry) => refNameOf(entry) ?? entry.digest).slice(0, 16);
  throw new AgentError(
    'image-not-found',
    `cannot find ${refName ?? formatReference(reference)} in ${location}: it holds ${names.join(', ') || 'no image'}; name one as ${location}:NAME`,
    { details: { location, names } },
  );
}

/**
 * A layout as a store of images. The image is the entry named `refName`; else the one with the reference's digest;
 * else the one named as the reference or its tag; else the only one beside signatures and lists of referrers.
 */
export function layoutStore(layout: Layout, refName: string | undefined): ImageStore {
  const { location } = layout.files;
  const readEntry = async (entry: Descriptor): Promise<StoredManifest> => {
    const bytes = await layout.read(blobPath(entry.digest), manifestLimits.manifestBytes);
    if (bytes === undefined) throw archiveInvalid(location, `blob ${entry.digest} is missing`);
    verifyDigest(bytes, entry.digest, `blob ${entry.digest} of ${location}`);
    return { bytes, mediaType: entry.mediaType };
  };
  return {
    location,
    missing: (object) => archiveInvalid(location, `${object} is missing`),
    find: async (reference) => {
      return readEntry(selectEntry(await layout.entries(), reference, refName, location));
    },
    manifest: async (digest) => {
      const bytes = await layout.read(blobPath(digest), manifestLimits.manifestBytes);
      return bytes && { bytes, mediaType: undefined };
    },
    tagged: async (tag) => {
      const entry = (await layout.entries()).find((candidate) => refNameOf(candidate) === tag);
      return entry === undefined ? undefined : readEntry(entry);
    },
    blob: async (digest, limitBytes) => layout.read(blobPath(digest), limitBytes),
  };
}
