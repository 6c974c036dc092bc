import { digestBytes } from '../../partitions/block-index/layout.ts';
import { readIndexHead, readSegments } from '../../partitions/block-index/read-index.ts';
import { AgentError } from '../core/errors.ts';
import { parseImageConfig, partitionLayers } from '../core/image-format/image-config.ts';
import { parseManifest } from '../core/image-format/manifest.ts';
import { parseReference } from '../core/image-format/reference.ts';
import type { ImageSource } from '../core/ports.ts';

/** The blocks of an earlier image's partition. */
export class KnownBlocks {
  readonly #digests = new Set<string>();

  add(digests: Uint8Array): void {
    for (let at = 0; at < digests.byteLength; at += digestBytes) {
      this.#digests.add(Buffer.from(digests.buffer, digests.byteOffset + at, digestBytes).toString('latin1'));
    }
  }

  has(digest: Uint8Array): boolean {
    return this.#digests.has(Buffer.from(digest.buffer, digest.byteOffset, digestBytes).toString('latin1'));
  }
}

/**
 * The blocks that an earlier image has of `partition`, by its block index; the image is that of the source's name.
 * Memory: about 60 bytes a block. Rejects with `usage-invalid` where it has no such partition or no index, and with the
 * codes of the source and of block indexes.
 */
export async function readKnownBlocks(
  source: ImageSource,
  partition: string,
  signal: AbortSignal,
): Promise<KnownBlocks> {
  // A layout finds it by its own name; the reference is never asked of a registry.
  const image = await source.resolve(parseReference('localhost/previous'), signal);
  const layers = partitionLayers(parseManifest(image.manifestBytes), parseImageConfig(image.configBytes));
  const layer = layers.find(({ name }) => name === partition);
  const index = layer?.index;
  if (layer === undefined || index === undefined) {
    const reason = layer === undefined ? 'no such partition' : 'no block index of it';
    throw new AgentError('usage-invalid', `cannot cut frames by the previous image: it has ${reason} (${partition})`);
  }
  const read = (ranges: Parameters<ImageSource['openLayer']>[3]) =>
    source.openLayer(image, { digest: index.layerDigest, sizeBytes: index.layerSizeBytes }, signal, ranges);
  const head = await readIndexHead(index, layer.contentSizeBytes, read);
  const known = new KnownBlocks();
  const all = Array.from({ length: head.segmentCount }, (_, segment) => segment);
  for await (const { digests } of readSegments(head, read, all)) known.add(digests);
  return known;
}
