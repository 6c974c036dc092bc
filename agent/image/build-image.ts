import { blockBytes } from '../../partitions/block-index/layout.ts';
import { maxFrameBytes } from '../../partitions/frames/encode-frames.ts';
import type { PayloadRole, TrustedPayload } from '../../partitions/trusted-descriptor.ts';
import { AgentError } from '../core/errors.ts';
import { bootOf } from '../core/image-format/boot-payloads.ts';
import { parseImageConfig, partitionLayers } from '../core/image-format/image-config.ts';
import { mediaTypes, parseManifest } from '../core/image-format/manifest.ts';
import type { ImageSource } from '../core/ports.ts';
import { LayoutWriter, type StoredBlob } from '../oci/layout-writer.ts';
import { type BuiltLayer, buildLayer } from './build-layer.ts';
import { readContent } from './read-content.ts';

/** What an image is built from. */
export interface BuildInput {
  readonly name: string;
  readonly version: string;
  readonly compatible: readonly string[];
  readonly rollbackIndex: number;
  readonly minimumAgent: string | undefined;
  readonly agentVersion: string | undefined;
  /** Files that hold what goes onto the slot's partitions. */
  readonly partitions: readonly { readonly name: string; readonly file: string }[];
  /** Files that a loader starts which cannot read a slot; initrds in the order that it loads them. */
  readonly payloads?: readonly { readonly role: PayloadRole; readonly file: string }[];
  /** Kernel options for those. */
  readonly bootOptions?: string | undefined;
  /** An OCI layout, new or there already. */
  readonly outputDirectory: string;
  /** The image's name in the layout. */
  readonly refName: string;
  /** Bytes of content a frame: the unit of verification. */
  readonly frameSizeBytes: number;
  readonly level: number;
  /** The image that most nodes have: frames are cut so that an update from it fetches little. */
  readonly previous?: ImageSource | undefined;
}

/** What was built. */
export interface BuiltImage {
  readonly digest: string;
  readonly partitions: readonly BuiltLayer[];
  readonly payloads: readonly TrustedPayload[];
}

/**
 * Builds an image into an OCI layout: for each partition a layer of independent zstd frames and one with their block
 * index, one of the file's own bytes a boot payload, the signed config, the manifest.
 * Of the files, memory holds some frames at a time and 4 MiB of block digests a GiB. The same input gives the same
 * image. Rejects with `usage-invalid`, `manifest-invalid` for what a node would refuse, `archive-invalid` for an output
 * directory that holds something else, or the codes of the previous image's source.
 */
export async function buildImage(input: BuildInput): Promise<BuiltImage> {
  checkInput(input);
  const layout = await LayoutWriter.open(input.outputDirectory);
  const built: BuiltLayer[] = [];
  for (const { name, file } of input.partitions) built.push(await buildLayer(layout, name, file, input));
  const payloads: TrustedPayload[] = [];
  for (const { role, file } of input.payloads ?? []) {
    const { digest, sizeBytes } = await layout.writeBlob(readContent(`the ${role}`, file));
    payloads.push({ role, layerDigest: digest, layerSizeBytes: sizeBytes });
  }
  const config = encodeJson({
    formatVersion: 1,
    name: input.name,
    version: input.version,
    compatible: input.compatible,
    rollbackIndex: input.rollbackIndex,
    ...(input.minimumAgent === undefined ? {} : { minimumAgent: input.minimumAgent }),
    ...(input.agentVersion === undefined ? {} : { agentVersion: input.agentVersion }),
    partitions: built.map((part) => ({
      name: part.name,
      layer: part.layerDigest,
      digest: part.contentDigest,
      sizeBytes: part.contentSizeBytes,
      index: {
        layer: part.index.layerDigest,
        headSizeBytes: part.index.headSizeBytes,
        headDigest: part.index.headDigest,
      },
    })),
    ...(payloads.length === 0 ? {} : { boot: bootJson(payloads, input.bootOptions) }),
  });
  // What a node would refuse is refused here, where it can be mended.
  const parsedConfig = parseImageConfig(config);
  const storedConfig = await layout.writeBlob(config);
  const manifest = manifestOf(input, storedConfig, built, payloads);
  const parsedManifest = parseManifest(manifest);
  partitionLayers(parsedManifest, parsedConfig);
  if (parsedConfig.boot !== undefined) bootOf(parsedManifest, parsedConfig.boot);
  const { digest } = await layout.putManifest(manifest, mediaTypes.ociManifest, input.refName);
  return { digest, partitions: built, payloads };
}

function manifestOf(
  input: BuildInput,
  storedConfig: StoredBlob,
  built: BuiltImage['partitions'],
  payloads: readonly TrustedPayload[],
): Uint8Array {
  return encodeJson({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonArtifact,
    config: { mediaType: mediaTypes.kaonConfig, digest: storedConfig.digest, size: storedConfig.sizeBytes },
    layers: [
      ...built.flatMap((part) => [
        {
          mediaType: `${mediaTypes.kaonPartition}+zstd`,
          digest: part.layerDigest,
          size: part.layerSizeBytes,
          annotations: { 'org.opencontainers.image.title': `${part.name}.img.zst` },
        },
        {
          mediaType: mediaTypes.kaonBlockIndex,
          digest: part.index.layerDigest,
          size: part.index.layerSizeBytes,
          annotations: { 'org.opencontainers.image.title': `${part.name}.index` },
        },
      ]),
      ...payloads.map(({ role, layerDigest, layerSizeBytes }) => ({
        mediaType: mediaTypes.kaonBoot,
        digest: layerDigest,
        size: layerSizeBytes,
        annotations: { 'org.opencontainers.image.title': role },
      })),
    ],
    annotations: {
      'org.opencontainers.image.title': input.name,
      'org.opencontainers.image.version': input.version,
    },
  });
}

function bootJson(payloads: readonly TrustedPayload[], options: string | undefined): unknown {
  return {
    payloads: payloads.map(({ role, layerDigest }) => ({ role, layer: layerDigest })),
    ...(options === undefined ? {} : { options }),
  };
}

function checkInput({ partitions, payloads, bootOptions, frameSizeBytes }: BuildInput): void {
  if (partitions.length === 0) {
    throw new AgentError('usage-invalid', 'cannot build the image: it has no partition; want --partition NAME=FILE');
  }
  if (bootOptions !== undefined && (payloads ?? []).length === 0) {
    throw new AgentError('usage-invalid', 'cannot build the image: boot options need a kernel or a uki');
  }
  if (!(frameSizeBytes >= blockBytes && frameSizeBytes <= maxFrameBytes && frameSizeBytes % blockBytes === 0)) {
    throw new AgentError(
      'usage-invalid',
      `cannot build the image: a frame has ${frameSizeBytes} bytes, want a multiple of ${blockBytes} up to ${maxFrameBytes}`,
    );
  }
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
