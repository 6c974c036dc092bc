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
import { ArchiveFiles } from './archive-files.ts';
import { Layout, layoutStore } from './layout.ts';
import { DirectoryFiles, type LayoutFiles } from './layout-files.ts';
import type { OfflineLocation } from './offline-location.ts';
import { collectPatches } from './patch-store.ts';
import { resolveImage } from './resolve-image.ts';
import { collectSignatures } from './signature-store.ts';

/** Opens the files of an offline location. Rejects with `archive-invalid`. */
export async function openLayoutFiles(location: OfflineLocation): Promise<LayoutFiles> {
  return location.kind === 'layout' ? new DirectoryFiles(location.path) : ArchiveFiles.open(location.path);
}

/**
 * Images of an OCI layout directory or its tar. Each call opens the files anew, so that a medium can be pulled out
 * between calls. Rejects with `archive-invalid`, `image-not-found`, `digest-mismatch`, `manifest-invalid`,
 * `platform-not-found`, `response-too-large`, `signature-invalid`, or the signal's reason.
 */
export class LayoutImageSource implements ImageSource {
  readonly #location: OfflineLocation;
  readonly #platform: Platform;

  constructor(location: OfflineLocation, platform: Platform) {
    this.#location = location;
    this.#platform = platform;
  }

  resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    return this.#with(signal, (layout) =>
      resolveImage(layoutStore(layout, this.#location.refName), reference, this.#platform, signal),
    );
  }

  signatures(
    image: ResolvedImage,
    signal: AbortSignal,
    onProblem?: OnEvidenceProblem,
  ): Promise<readonly SignatureEvidence[]> {
    return this.#with(signal, (layout) =>
      collectSignatures(layoutStore(layout, this.#location.refName), image, signal, onProblem),
    );
  }

  patches(image: ResolvedImage, base: string, signal: AbortSignal): Promise<readonly PatchOffer[]> {
    return this.#with(signal, (layout) =>
      collectPatches(layoutStore(layout, this.#location.refName), image, base, signal),
    );
  }

  async *openLayer(
    _image: ResolvedImage,
    layer: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const files = await openLayoutFiles(this.#location);
    try {
      yield* new Layout(files).stream(layer, signal, ranges);
    } finally {
      await files.close();
    }
  }

  async #with<T>(signal: AbortSignal, action: (layout: Layout) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const files = await openLayoutFiles(this.#location);
    try {
      return await action(new Layout(files));
    } finally {
      await files.close();
    }
  }
}
