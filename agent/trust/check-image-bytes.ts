import type { TrustedBoot } from '../../partitions/trusted-descriptor.ts';
import { AgentError } from '../core/errors.ts';
import { bootOf } from '../core/image-format/boot-payloads.ts';
import { algorithmOf, digestOf } from '../core/image-format/digest.ts';
import {
  type ImageConfig,
  parseImageConfig,
  partitionLayers,
  type PartitionLayer,
} from '../core/image-format/image-config.ts';
import { manifestLimits, parseManifest, parseManifestOrIndex } from '../core/image-format/manifest.ts';
import type { ResolvedImage } from '../core/ports.ts';

/** The facts of an image whose bytes hang together, down from the digest that a signature is to cover. */
export interface ImageFacts {
  readonly config: ImageConfig;
  readonly layers: readonly PartitionLayer[];
  readonly boot: TrustedBoot | undefined;
}

function requireDigest(bytes: Uint8Array, digest: string, what: string): void {
  const found = digestOf(bytes, algorithmOf(digest));
  if (found !== digest) {
    throw new AgentError('digest-mismatch', `cannot use the image: its ${what} is ${found}, want ${digest}`, {
      details: { expected: digest, found },
    });
  }
}

/**
 * Checks every link from `resolvedDigest` to the config by hashing the bytes: index → manifest → config → layers.
 * Throws `digest-mismatch` or `manifest-invalid`.
 */
export function checkImageBytes(image: ResolvedImage): ImageFacts {
  if (image.indexBytes === undefined) {
    if (image.resolvedDigest !== image.manifestDigest) {
      throw new AgentError('manifest-invalid', 'cannot use the image: it was resolved to an index that is not there');
    }
  } else {
    requireDigest(image.indexBytes, image.resolvedDigest, 'index');
    const parsed = parseManifestOrIndex(image.indexBytes);
    const isNamed =
      parsed.kind === 'index' && parsed.index.manifests.some(({ digest }) => digest === image.manifestDigest);
    if (!isNamed) {
      throw new AgentError('manifest-invalid', `cannot use the image: its index does not name ${image.manifestDigest}`);
    }
  }
  requireDigest(image.manifestBytes, image.manifestDigest, 'manifest');
  const manifest = parseManifest(image.manifestBytes);
  if (
    image.configBytes.byteLength > manifestLimits.configBytes ||
    image.configBytes.byteLength !== manifest.config.sizeBytes
  ) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use the image: its config has ${image.configBytes.byteLength} bytes, want ${manifest.config.sizeBytes}`,
    );
  }
  requireDigest(image.configBytes, manifest.config.digest, 'config');
  const config = parseImageConfig(image.configBytes);
  const layers = partitionLayers(manifest, config);
  return { config, layers, boot: config.boot && bootOf(manifest, config.boot) };
}
