import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { isDigest } from '../core/image-format/digest.ts';
import { manifestLimits, parseJson, parseShape } from '../core/image-format/manifest.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { ResolvedImage, SignatureEvidence, SimpleSignature } from '../core/ports.ts';
import { bundlesAt } from './bundle-store.ts';
import { EvidenceReader } from './evidence-reader.ts';
import type { ImageStore } from './image-store.ts';

/** Media type of a layer that holds a payload of cosign's simple signing. */
export const signatureMediaType = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** The layer annotation that holds the base64 of the signature over the payload. */
export const signatureAnnotation = 'dev.cosignproject.cosign/signature';

/** Bounds on the manifest at a tag of signatures. */
const signatureLimits = { listed: 1000, signatureChars: 16 * 1024 } as const;

/** The tag of an image's signatures (cosign, "Signature Specification"). A tag can't hold a sha512 digest: `undefined`. */
export function signatureTag(digest: string): string | undefined {
  return digest.startsWith('sha256:') ? `${digest.replace(':', '-')}.sig` : undefined;
}

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  // Each layer is judged by itself, so that one that is malformed spoils no other.
  layers: z.array(z.unknown()).max(signatureLimits.listed),
});

const layerSchema = z.object({
  mediaType: z.literal(signatureMediaType),
  digest: z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex'),
  size: z.int().nonnegative().max(evidenceLimits.itemBytes),
  annotations: z.object({ [signatureAnnotation]: z.string().min(1).max(signatureLimits.signatureChars) }),
});

function isSignatureLayer(layer: unknown): boolean {
  return typeof layer === 'object' && layer !== null && 'mediaType' in layer && layer.mediaType === signatureMediaType;
}

async function readLayer(reader: EvidenceReader, layer: unknown, source: string): Promise<SimpleSignature> {
  const { digest, size, annotations } = parseShape(layerSchema, layer, source);
  const payload = await reader.blob(digest, size, source);
  return { payload, signature: annotations[signatureAnnotation], source };
}

async function signaturesAt(reader: EvidenceReader, tag: string): Promise<readonly SimpleSignature[]> {
  const { store, signal } = reader;
  const found: SimpleSignature[] = [];
  const stored = await store.tagged(tag, signal);
  if (stored === undefined) return found;
  const source = `${store.location}:${tag}`;
  await reader.attempt(async () => {
    const what = `the signatures at ${source}`;
    const manifest = parseShape(manifestSchema, parseJson(stored.bytes, what, manifestLimits.manifestBytes), what);
    // Signers append: of too many signatures the last ones are by the keys in use now.
    const layers = manifest.layers.filter(isSignatureLayer).slice(-evidenceLimits.tried);
    for (const [number, layer] of layers.entries()) {
      await reader.attempt(async () => {
        found.push(await readLayer(reader, layer, `signature ${number + 1} at ${source}`));
      });
    }
  });
  return found;
}

/**
 * The signatures stored beside `image`, in cosign's layout and as Sigstore bundles: those of what the reference resolved
 * to, and those of its manifest. Malformed ones are passed over as long as there are others; when there are no
 * others, rejects with `signature-invalid` rather than calling the image unsigned. A store that fails rejects.
 */
export async function collectSignatures(
  store: ImageStore,
  image: ResolvedImage,
  signal: AbortSignal,
): Promise<readonly SignatureEvidence[]> {
  const found: SignatureEvidence[] = [];
  const reader = new EvidenceReader(store, signal);
  for (const digest of new Set([image.resolvedDigest, image.manifestDigest])) {
    const tag = signatureTag(digest);
    if (tag !== undefined) found.push(...(await signaturesAt(reader, tag)));
    found.push(...(await bundlesAt(reader, digest)));
  }
  const problem = reader.problems[0];
  if (found.length > 0 || problem === undefined) return found;
  throw new AgentError('signature-invalid', `cannot use the signatures of the image: ${problem.message}`, {
    cause: problem,
  });
}
