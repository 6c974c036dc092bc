import type { ByteRange, PatchOffer } from '../../partitions/slot-writer.ts';
import type { ErrorReport } from './errors.ts';
import type { Descriptor } from './image-format/manifest.ts';
import type { Reference } from './image-format/reference.ts';

/** A simple signing payload with one signature over it. */
export interface SimpleSignature {
  /** cosign's simple signing payload, the exact bytes that are signed. */
  readonly payload: Uint8Array;
  /** The base64 text of the signature. */
  readonly signature: string;
  /** What attests it, as cosign 1 and 2 keep it; absent where nothing does. */
  readonly attested?: AttestedSignature;
  /** Where it was found, for people. */
  readonly source: string;
}

/** The texts that lie beside a simple signature. */
export interface AttestedSignature {
  /** PEM of the certificate of the key that signed; absent for a plain key. */
  readonly certificate?: string;
  /** JSON of the log's entry with its signed timestamp. */
  readonly logEntry?: string;
  /** JSON with an RFC 3161 timestamp. */
  readonly timestamp?: string;
}

/** A Sigstore bundle: an envelope with its signature, and what proves when and by whom it was made. */
export interface SigstoreBundle {
  /** The exact bytes of its JSON. */
  readonly bundle: Uint8Array;
  /** Where it was found, for people. */
  readonly source: string;
}

/** A DSSE envelope with its signatures, as cosign 1 and 2 keep attestations. */
export interface AttestationEnvelope {
  /** The exact bytes of its JSON. */
  readonly envelope: Uint8Array;
  /** Where it was found, for people. */
  readonly source: string;
}

/** One signature or attestation as it was found beside an image, nothing in it verified. */
export type SignatureEvidence = SimpleSignature | SigstoreBundle | AttestationEnvelope;

/** What is carried as evidence of one image, over all kinds of it. */
export const evidenceLimits = {
  /** Of each kind beside each digest. */
  tried: 64,
  /** In all: each kind beside an index and beside its manifest. */
  count: 384,
  /** Of each text that attests a simple signature, in characters. */
  attestedChars: 64 * 1024,
  /** Of one payload, bundle or envelope. */
  itemBytes: 1024 * 1024,
  /** Of all of them. */
  totalBytes: 8 * 1024 * 1024,
} as const;

/** An image resolved once to digests, every byte hashed by us, nothing verified. */
export interface ResolvedImage {
  readonly reference: Reference;
  /** What the reference resolved to: the digest of `indexBytes` where there is an index, else of `manifestBytes`. */
  readonly resolvedDigest: string;
  readonly indexBytes: Uint8Array | undefined;
  readonly manifestDigest: string;
  readonly manifestBytes: Uint8Array;
  readonly configBytes: Uint8Array;
}

/** Hears why something beside an image is passed over. */
export type OnEvidenceProblem = (problem: ErrorReport) => void;

/** Where images come from: a registry, an OCI layout, or its archive. Rejects with `AgentError`s. */
export interface ImageSource {
  /** Resolves the tag or digest once; whoever fetches later does so by these digests. */
  resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage>;
  /**
   * The signatures and attestations stored beside the image; an empty list when there are none. `onProblem` hears of what
   * lies there and can't be read, also where that makes it reject.
   */
  signatures(
    image: ResolvedImage,
    signal: AbortSignal,
    onProblem?: OnEvidenceProblem,
  ): Promise<readonly SignatureEvidence[]>;
  /**
   * Patches beside the image that lead from the one with the manifest `base`, at most one a partition; an empty list when
   * there are none. Nothing of them is signed.
   */
  patches(image: ResolvedImage, base: string, signal: AbortSignal): Promise<readonly PatchOffer[]>;
  /**
   * The bytes of a layer in order, gone on with after broken connections; they are not hashed here. Ends after
   * `layer.sizeBytes` bytes, or rejects. With `ranges`, ascending, not overlapping and inside the layer: their bytes
   * only, one range after the other.
   */
  openLayer(
    image: ResolvedImage,
    layer: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncIterable<Uint8Array>;
  /**
   * What was fetched of the image was not what was signed: whoever gave it is asked last from now on. Whether there is
   * another place that it can be fetched from.
   */
  distrust?(image: ResolvedImage): boolean;
}

/** Opens the source for a request: `from` names a layout or archive, else the registry of the reference. */
export type ImageSourceFactory = (from: string | undefined) => ImageSource;
