import type { TrustedBoot } from '../../partitions/trusted-descriptor.ts';
import { bootOf } from '../core/image-format/boot-payloads.ts';
import {
  parseImageConfig,
  type ImageConfig,
  partitionLayers,
  type PartitionLayer,
} from '../core/image-format/image-config.ts';
import { parseManifest } from '../core/image-format/manifest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { ImageSource, SignatureEvidence } from '../core/ports.ts';

/** What an image says of itself. Nothing of it is verified but the digests. */
export interface InspectedImage {
  readonly resolvedDigest: string;
  readonly manifestDigest: string;
  readonly config: ImageConfig;
  readonly layers: readonly PartitionLayer[];
  readonly boot: TrustedBoot | undefined;
  readonly signatures: readonly {
    readonly source: string;
    /** Of a payload, or of a whole bundle. */ readonly payloadBytes: number;
  }[];
}

/** Reads manifest, config and signatures of an image. Rejects with the codes of its source, or `manifest-invalid`. */
export async function inspectImage(
  source: ImageSource,
  reference: Reference,
  signal: AbortSignal,
): Promise<InspectedImage> {
  const image = await source.resolve(reference, signal);
  const config = parseImageConfig(image.configBytes);
  const manifest = parseManifest(image.manifestBytes);
  const signatures = await source.signatures(image, signal);
  return {
    resolvedDigest: image.resolvedDigest,
    manifestDigest: image.manifestDigest,
    config,
    layers: partitionLayers(manifest, config),
    boot: config.boot && bootOf(manifest, config.boot),
    signatures: signatures.map((one) => ({
      source: one.source,
      payloadBytes: documentOf(one).byteLength,
    })),
  };
}

function documentOf(found: SignatureEvidence): Uint8Array {
  if ('bundle' in found) return found.bundle;
  return 'envelope' in found ? found.envelope : found.payload;
}
