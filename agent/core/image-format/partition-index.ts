import { z } from 'zod';
import type { IndexBinding } from '../../../partitions/block-index/read-index.ts';
import { AgentError } from '../errors.ts';
import { isDigest } from './digest.ts';
import { type Manifest, mediaTypes } from './manifest.ts';

/** What the signed config says of a partition's block index. */
export interface PartitionIndex {
  readonly layerDigest: string;
  /** The first bytes of the layer, and their digest: they name the digests of all the others. */
  readonly headSizeBytes: number;
  readonly headDigest: string;
}

const digest = z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex');

/** The schema of the config's `partitions[].index`; unknown fields are left for newer readers. */
export const indexSchema = z.object({
  layer: digest,
  headSizeBytes: z
    .int()
    .positive()
    .max(16 * 1024 * 1024),
  headDigest: digest,
});

/** The config's `index` of a partition as it was parsed. */
export function partitionIndex(raw: z.infer<typeof indexSchema>): PartitionIndex {
  return { layerDigest: raw.layer, headSizeBytes: raw.headSizeBytes, headDigest: raw.headDigest };
}

/**
 * Joins manifest and config: the index has a layer of its type, whose size is what the manifest says. Throws
 * `manifest-invalid`.
 */
export function bindIndex(manifest: Manifest, partition: string, index: PartitionIndex): IndexBinding {
  const layer = manifest.layers.find(({ digest: found }) => found === index.layerDigest);
  const refuse = (reason: string) =>
    new AgentError('manifest-invalid', `cannot use the image: the block index of partition ${partition} ${reason}`, {
      details: { partition, layer: index.layerDigest },
    });
  if (layer === undefined) throw refuse('has no layer');
  if (layer.mediaType !== mediaTypes.kaonBlockIndex) {
    throw refuse(`has a layer of type ${layer.mediaType}, want ${mediaTypes.kaonBlockIndex}`);
  }
  if (layer.sizeBytes < index.headSizeBytes) throw refuse('has a layer smaller than its head');
  return { ...index, layerSizeBytes: layer.sizeBytes };
}
