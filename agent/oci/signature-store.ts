import { z } from 'zod';
import { AgentError, reportOf } from '../core/errors.ts';
import { isDigest } from '../core/image-format/digest.ts';
import { manifestLimits, parseJson, parseShape } from '../core/image-format/manifest.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type {
  AttestationEnvelope,
  AttestedSignature,
  OnEvidenceProblem,
  ResolvedImage,
  SignatureEvidence,
  SimpleSignature,
} from '../core/ports.ts';
import { bundlesAt } from './bundle-store.ts';
import { EvidenceReader } from './evidence-reader.ts';
import type { ImageStore } from './image-store.ts';

/** Media type of a layer that holds a payload of cosign's simple signing. */
export const signatureMediaType = 'application/vnd.dev.cosign.simplesigning.v1+json';
/** The layer annotation that holds the base64 of the signature over the payload. */
export const signatureAnnotation = 'dev.cosignproject.cosign/signature';

/** Bounds on the manifest at a tag of signatures. */
const signatureLimits = { listed: 1000, signatureChars: 16 * 1024 } as const;

/** The annotations of what attests a signature; an empty one, as some signers write, says nothing. */
const attestedAnnotations = {
  certificate: 'dev.sigstore.cosign/certificate',
  logEntry: 'dev.sigstore.cosign/bundle',
  timestamp: 'dev.sigstore.cosign/rfc3161timestamp',
} as const;

/** Media type of a layer that holds a DSSE envelope, as cosign attaches attestations. */
const envelopeMediaType = 'application/vnd.dsse.envelope.v1+json';

/** The tag of an image's signatures (cosign, "Signature Specification"). A tag can't hold a sha512 digest: `undefined`. */
export function signatureTag(digest: string): string | undefined {
  return tagBeside(digest, 'sig');
}

/** The tag of an image's attestations, as cosign 1 and 2 attach them. */
export function attestationTag(digest: string): string | undefined {
  return tagBeside(digest, 'att');
}

function tagBeside(digest: string, ending: string): string | undefined {
  return digest.startsWith('sha256:') ? `${digest.replace(':', '-')}.${ending}` : undefined;
}

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  // Each layer is judged by itself, so that one that is malformed spoils no other.
  layers: z.array(z.unknown()).max(signatureLimits.listed),
});

const attestedText = z.string().max(evidenceLimits.attestedChars).optional();

const layerSchema = z.object({
  mediaType: z.literal(signatureMediaType),
  digest: z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex'),
  size: z.int().nonnegative().max(evidenceLimits.itemBytes),
  annotations: z.object({
    [signatureAnnotation]: z.string().min(1).max(signatureLimits.signatureChars),
    [attestedAnnotations.certificate]: attestedText,
    [attestedAnnotations.logEntry]: attestedText,
    [attestedAnnotations.timestamp]: attestedText,
  }),
});

const envelopeLayerSchema = layerSchema.omit({ annotations: true }).extend({ mediaType: z.literal(envelopeMediaType) });

function hasMediaType(layer: unknown, mediaType: string): boolean {
  return typeof layer === 'object' && layer !== null && 'mediaType' in layer && layer.mediaType === mediaType;
}

async function readSignature(reader: EvidenceReader, layer: unknown, source: string): Promise<SimpleSignature> {
  const { digest, size, annotations } = parseShape(layerSchema, layer, source);
  const texts = Object.values(attestedAnnotations).map((annotation) => annotations[annotation] ?? '');
  // Twice, as that much JSON may take to carry them.
  reader.charge(2 * Buffer.byteLength(texts.join('')), source);
  const payload = await reader.blob(digest, size, source);
  const attested: AttestedSignature = Object.fromEntries(
    Object.entries(attestedAnnotations).flatMap(([name, annotation]) => {
      const text = annotations[annotation] ?? '';
      return text === '' ? [] : [[name, text]];
    }),
  );
  const signature = { payload, signature: annotations[signatureAnnotation], source };
  return Object.keys(attested).length === 0 ? signature : { ...signature, attested };
}

async function readEnvelope(reader: EvidenceReader, layer: unknown, source: string): Promise<AttestationEnvelope> {
  const { digest, size } = parseShape(envelopeLayerSchema, layer, source);
  return { envelope: await reader.blob(digest, size, source), source };
}

/** What the layers of `mediaType` in the manifest at `tag` hold, each read by `read`. */
async function layersAt<T>(
  reader: EvidenceReader,
  tag: string | undefined,
  [mediaType, what]: readonly [mediaType: string, what: string],
  read: (reader: EvidenceReader, layer: unknown, source: string) => Promise<T>,
): Promise<readonly T[]> {
  const { store, signal } = reader;
  const found: T[] = [];
  const stored = tag === undefined ? undefined : await store.tagged(tag, signal);
  if (stored === undefined) return found;
  const source = `${store.location}:${tag ?? ''}`;
  await reader.attempt(async () => {
    const all = `the ${what}s at ${source}`;
    const manifest = parseShape(manifestSchema, parseJson(stored.bytes, all, manifestLimits.manifestBytes), all);
    // Signers append: of too many the last ones are by the keys in use now.
    const layers = manifest.layers.filter((layer) => hasMediaType(layer, mediaType)).slice(-evidenceLimits.tried);
    for (const [number, layer] of layers.entries()) {
      await reader.attempt(async () => {
        found.push(await read(reader, layer, `${what} ${number + 1} at ${source}`));
      });
    }
  });
  return found;
}

/** Whether mirrors were asked before the registry failed, and each said that it has no such thing. */
function isMissingAtMirrors(error: unknown): boolean {
  const mirrors: unknown = error instanceof AgentError ? error.details['mirrors'] : undefined;
  const isMissing = (one: unknown) =>
    typeof one === 'object' && one !== null && 'code' in one && one.code === 'image-not-found';
  return Array.isArray(mirrors) && mirrors.every(isMissing);
}

/**
 * The signatures and attestations stored beside `image`, in cosign's layout and as Sigstore bundles: those of what the reference resolved
 * to, and those of its manifest. Malformed ones are passed over as long as there are others; when there are no
 * others, rejects with `signature-invalid` rather than calling the image unsigned. `onProblem` hears of each. A store that
 * fails rejects.
 */
export async function collectSignatures(
  store: ImageStore,
  image: ResolvedImage,
  signal: AbortSignal,
  onProblem: OnEvidenceProblem = () => undefined,
): Promise<readonly SignatureEvidence[]> {
  const found: SignatureEvidence[] = [];
  const reader = new EvidenceReader(store, signal);
  const gather = async (read: () => Promise<readonly SignatureEvidence[]>) => {
    try {
      found.push(...(await read()));
    } catch (error) {
      // A mirror that may say which signatures there are stands for its registry where that can't be reached.
      if (found.length === 0 || !isMissingAtMirrors(error)) throw error;
    }
  };
  for (const digest of new Set([image.resolvedDigest, image.manifestDigest])) {
    await gather(() => layersAt(reader, signatureTag(digest), [signatureMediaType, 'signature'], readSignature));
    await gather(() => bundlesAt(reader, digest));
    await gather(() => layersAt(reader, attestationTag(digest), [envelopeMediaType, 'attestation'], readEnvelope));
  }
  reader.problems.forEach((each) => onProblem(reportOf(each)));
  const problem = reader.problems[0];
  if (found.length > 0 || problem === undefined) return found;
  throw new AgentError('signature-invalid', `cannot use the signatures of the image: ${problem.message}`, {
    cause: problem,
  });
}
