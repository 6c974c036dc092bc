import { z } from 'zod';
import { digestOf } from '../core/image-format/digest.ts';
import { manifestLimits, mediaTypes, parseJson, parseShape } from '../core/image-format/manifest.ts';
import { signatureAnnotation, signatureMediaType } from '../oci/signature-store.ts';
import { decodeSignature, verifySignature } from '../trust/verify-signature.ts';
import type { SigningKey } from './private-key.ts';

/** cosign's simple signing payload for an image: the exact bytes that are signed. */
export function signaturePayload(repository: string, digest: string): Uint8Array {
  const payload = {
    critical: {
      identity: { 'docker-reference': repository },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: null,
  };
  return new TextEncoder().encode(JSON.stringify(payload));
}

/** A blob that a signature manifest names. */
export interface SignatureBlob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** A signature manifest with its config and the payload of the newest signature. */
export interface SignatureManifest {
  readonly bytes: Uint8Array;
  readonly blobs: readonly SignatureBlob[];
}

const existingSchema = z.object({
  // Whatever others put there stays as it is; a malformed layer spoils no other.
  layers: z.array(z.looseObject({})),
  annotations: z.record(z.string(), z.string()).optional(),
});

const signatureLayer = z.object({
  mediaType: z.literal(signatureMediaType),
  digest: z.string(),
  annotations: z.object({ [signatureAnnotation]: z.string() }),
});

type ExistingManifest = z.infer<typeof existingSchema>;

/**
 * The manifest that goes to an image's `.sig` tag, with one more signature beside those of `existing`. Signing again with
 * the same key adds nothing. Throws `manifest-invalid` when `existing` can't be read.
 */
export function addSignature(
  existing: Uint8Array | undefined,
  repository: string,
  digest: string,
  key: SigningKey,
): SignatureManifest {
  const what = 'the signatures that are there';
  const { layers, annotations }: ExistingManifest =
    existing === undefined
      ? { layers: [] }
      : parseShape(existingSchema, parseJson(existing, what, manifestLimits.manifestBytes), what);
  const payload = signaturePayload(repository, digest);
  const isThere = layers.some((layer) => isSignedBy(layer, payload, key));
  const layer = () => ({
    mediaType: signatureMediaType,
    digest: digestOf(payload),
    size: payload.byteLength,
    annotations: { [signatureAnnotation]: Buffer.from(key.sign(payload)).toString('base64') },
  });
  const config = new TextEncoder().encode('{}');
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.byteLength,
    },
    layers: isThere ? layers : [...layers, layer()],
    ...(annotations === undefined ? {} : { annotations }),
  };
  return {
    bytes: new TextEncoder().encode(JSON.stringify(manifest)),
    blobs: [config, payload].map((bytes) => ({ digest: digestOf(bytes), bytes })),
  };
}

/** ECDSA signs differently each time, so the signature is verified and not compared. */
function isSignedBy(layer: object, payload: Uint8Array, { publicKey }: SigningKey): boolean {
  const { success, data } = signatureLayer.safeParse(layer);
  if (!success || data.digest !== digestOf(payload)) return false;
  const signature = decodeSignature(data.annotations[signatureAnnotation]);
  return signature !== undefined && verifySignature(publicKey, payload, signature);
}
