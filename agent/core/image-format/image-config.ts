import { z } from 'zod';
import type { IndexBinding } from '../../../partitions/block-index/read-index.ts';
import type { LayerEncoding } from '../../../partitions/trusted-descriptor.ts';
import { AgentError } from '../errors.ts';
import { bootSchema, type ImageBoot, imageBoot } from './boot-payloads.ts';
import { isDigest } from './digest.ts';
import { type Manifest, manifestLimits, mediaTypes, parseJson, parseShape } from './manifest.ts';
import { bindIndex, indexSchema, type PartitionIndex, partitionIndex } from './partition-index.ts';

/** The signed config of a kaon image: everything that the agent obeys. */
export interface ImageConfig {
  readonly formatVersion: 1;
  readonly name: string;
  /** What people call this release; never compared. */
  readonly version: string;
  /** The kinds of node that may install it. */
  readonly compatible: readonly string[];
  /** Grows with security fixes; a node refuses images below its floor. */
  readonly rollbackIndex: number;
  /** The oldest agent that can install it, or `undefined`. */
  readonly minimumAgent: string | undefined;
  /** The agent inside the image, or `undefined` where it carries none. */
  readonly agentVersion: string | undefined;
  readonly partitions: readonly ImagePartition[];
  /** What a loader that cannot read a slot starts; `undefined` where the image brings nothing for one. */
  readonly boot: ImageBoot | undefined;
  /** Types of layers that an agent which does not know them may leave alone. */
  readonly optional: readonly string[];
}

/** One partition of an image, as its config states it. */
export interface ImagePartition {
  readonly name: string;
  /** Digest of the layer that holds it. */
  readonly layerDigest: string;
  readonly contentDigest: string | undefined;
  readonly contentSizeBytes: number | undefined;
  /** Where its blocks and frames are listed; `undefined` where it has no block index. */
  readonly index: PartitionIndex | undefined;
}

const digest = z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex');
const versionText = z.string().regex(/^\d{1,6}\.\d{1,6}\.\d{1,6}$/, 'want MAJOR.MINOR.PATCH');

/** The schema of `application/vnd.kaon.config.v1+json`; unknown fields are left for newer readers. */
export const imageConfigSchema = z.object({
  formatVersion: z.literal(1),
  name: z.string().min(1).max(128),
  version: z.string().min(1).max(128),
  compatible: z.array(z.string().min(1).max(128)).min(1).max(64),
  rollbackIndex: z.int().nonnegative().default(0),
  minimumAgent: versionText.optional(),
  agentVersion: versionText.optional(),
  partitions: z
    .array(
      z
        .object({
          name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'want a partition name (lower-case letters, digits, -)'),
          layer: digest,
          digest: digest.optional(),
          sizeBytes: z.int().positive().optional(),
          index: indexSchema.optional(),
        })
        .refine((partition) => (partition.digest === undefined) === (partition.sizeBytes === undefined), {
          message: 'digest and sizeBytes go together',
        })
        // What is put together of found blocks is proven by the digest of the whole.
        .refine((partition) => partition.index === undefined || partition.digest !== undefined, {
          message: 'an index needs digest and sizeBytes',
        }),
    )
    .min(1)
    .max(16),
  boot: bootSchema.optional(),
  optional: z.array(z.string().min(1).max(255)).max(16).default([]),
});

/** Parses a kaon image's config. Throws `manifest-invalid` that names the path, or `response-too-large`. */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const raw = parseShape(
    imageConfigSchema,
    parseJson(bytes, 'the image config', manifestLimits.configBytes),
    'the image config',
  );
  const names = new Set(raw.partitions.map(({ name }) => name));
  if (names.size !== raw.partitions.length) {
    throw new AgentError('manifest-invalid', 'cannot read the image config: a partition is named twice');
  }
  return {
    formatVersion: 1,
    name: raw.name,
    version: raw.version,
    compatible: raw.compatible,
    rollbackIndex: raw.rollbackIndex,
    minimumAgent: raw.minimumAgent,
    agentVersion: raw.agentVersion,
    partitions: raw.partitions.map((partition) => ({
      name: partition.name,
      layerDigest: partition.layer,
      contentDigest: partition.digest,
      contentSizeBytes: partition.sizeBytes,
      index: partition.index && partitionIndex(partition.index),
    })),
    boot: raw.boot && imageBoot(raw.boot),
    optional: raw.optional,
  };
}

// A map, as media types come from outside and an object would know `constructor`, too.
const encodings: ReadonlyMap<string, LayerEncoding> = new Map([
  [mediaTypes.kaonPartition, 'raw'],
  [`${mediaTypes.kaonPartition}+gzip`, 'gzip'],
  [`${mediaTypes.kaonPartition}+zstd`, 'zstd'],
]);

/** One partition's layer: the signed descriptor joined with what the signed config says of it. */
export interface PartitionLayer extends Omit<ImagePartition, 'index'> {
  readonly encoding: LayerEncoding;
  readonly layerSizeBytes: number;
  readonly index: IndexBinding | undefined;
}

/**
 * Joins manifest and config: each partition of the config has exactly one layer of a known type, and no layer is left
 * that neither a partition, its block index nor a boot payload names, but for the types that the config marks optional.
 * Throws `manifest-invalid`.
 */
export function partitionLayers(manifest: Manifest, config: ImageConfig): readonly PartitionLayer[] {
  if (manifest.config.mediaType !== mediaTypes.kaonConfig) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use the image: its config is ${manifest.config.mediaType}, want ${mediaTypes.kaonConfig} (is it an ordinary container image?)`,
    );
  }
  const named = new Set(config.partitions.map(({ layerDigest }) => layerDigest));
  const others = new Set([
    ...(config.boot?.payloads.map(({ layerDigest }) => layerDigest) ?? []),
    ...config.partitions.flatMap(({ index }) => (index === undefined ? [] : [index.layerDigest])),
  ]);
  const stray = manifest.layers.find(
    ({ digest: layer, mediaType }) => !named.has(layer) && !others.has(layer) && !config.optional.includes(mediaType),
  );
  if (stray !== undefined || named.size !== config.partitions.length) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use the image: layer ${stray?.digest ?? 'twice used'} belongs to no partition of its config`,
    );
  }
  return config.partitions.map((partition) => {
    const layer = manifest.layers.find(({ digest: found }) => found === partition.layerDigest);
    const encoding = layer === undefined ? undefined : encodings.get(layer.mediaType);
    if (layer === undefined || encoding === undefined) {
      throw new AgentError(
        'manifest-invalid',
        `cannot use the image: partition ${partition.name} has ${layer === undefined ? 'no layer' : `a layer of unknown type ${layer.mediaType}`}`,
      );
    }
    if (partition.index !== undefined && encoding !== 'zstd') {
      throw new AgentError(
        'manifest-invalid',
        `cannot use the image: partition ${partition.name} has a block index, and no zstd frames that it could list`,
      );
    }
    const index = partition.index && bindIndex(manifest, partition.name, partition.index);
    return { ...partition, encoding, layerSizeBytes: layer.sizeBytes, index };
  });
}
