import { z } from 'zod';
import type { PatchOffer } from '../../../partitions/slot-writer.ts';
import { AgentError } from '../errors.ts';
import { digestOf, isDigest } from './digest.ts';
import { manifestLimits, mediaTypes, parseJson, parseShape } from './manifest.ts';

/** Annotation of a patch manifest, and of what lists it: the digest of the earlier image's manifest. */
export const patchBaseAnnotation = 'io.kaon.patch.base';
/** Annotations of its layers. */
const partitionAnnotation = 'io.kaon.patch.partition';
const headSizeAnnotation = 'io.kaon.patch.head-size';

/** The empty config of an artifact (image-spec, "Guidelines for Artifact Usage"). */
export const emptyConfig = new TextEncoder().encode('{}');
const emptyConfigType = 'application/vnd.oci.empty.v1+json';

/** What a patch manifest says: nothing of it is signed. */
export interface PatchManifest {
  /** Digest of the manifest of the image that it leads from. */
  readonly base: string;
  /** Digest of the manifest of the image that it leads to. */
  readonly subject: string;
  readonly patches: readonly PatchOffer[];
}

const digest = z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex');

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  artifactType: z.literal(mediaTypes.kaonPatches),
  subject: z.object({ digest }),
  annotations: z.object({ [patchBaseAnnotation]: digest }),
  layers: z
    .array(
      z.object({
        mediaType: z.literal(mediaTypes.kaonPatch),
        digest,
        size: z.int().positive(),
        annotations: z.object({
          [partitionAnnotation]: z.string().min(1).max(32),
          [headSizeAnnotation]: z.string().regex(/^[1-9]\d{0,8}$/, 'want a number of bytes'),
        }),
      }),
    )
    .min(1)
    .max(manifestLimits.layers),
});

/** Parses a patch manifest. Throws `manifest-invalid`, or `response-too-large`. */
export function parsePatchManifest(bytes: Uint8Array): PatchManifest {
  const what = 'the patch';
  const raw = parseShape(manifestSchema, parseJson(bytes, what, manifestLimits.manifestBytes), what);
  const patches = raw.layers.map((layer) => ({
    partition: layer.annotations[partitionAnnotation],
    layerDigest: layer.digest,
    layerSizeBytes: layer.size,
    headSizeBytes: Number(layer.annotations[headSizeAnnotation]),
  }));
  if (patches.some(({ headSizeBytes, layerSizeBytes }) => headSizeBytes > layerSizeBytes)) {
    throw new AgentError('manifest-invalid', 'cannot read the patch: a layer is smaller than its head');
  }
  return { base: raw.annotations[patchBaseAnnotation], subject: raw.subject.digest, patches };
}

/** The manifest of `patches`, which refers to the image of `subjectBytes`. */
export function encodePatchManifest(
  base: string,
  subjectBytes: Uint8Array,
  patches: readonly PatchOffer[],
): Uint8Array {
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonPatches,
    config: { mediaType: emptyConfigType, digest: digestOf(emptyConfig), size: emptyConfig.byteLength },
    layers: patches.map(({ partition, layerDigest, layerSizeBytes, headSizeBytes }) => ({
      mediaType: mediaTypes.kaonPatch,
      digest: layerDigest,
      size: layerSizeBytes,
      annotations: { [partitionAnnotation]: partition, [headSizeAnnotation]: String(headSizeBytes) },
    })),
    subject: { mediaType: mediaTypes.ociManifest, digest: digestOf(subjectBytes), size: subjectBytes.byteLength },
    annotations: { [patchBaseAnnotation]: base },
  };
  return new TextEncoder().encode(JSON.stringify(manifest));
}
