import { z } from 'zod';
import { isPlainBase64 } from './dsse.ts';
import { readEvidence } from './read-evidence.ts';

/** A Sigstore bundle, nothing in it believed. */
export interface Bundle {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  /** Base64 text of the one signature over the pre-authentication encoding. */
  readonly signature: string;
  /** What the bundle says made the signature: only which way it is verified depends on it. */
  readonly signedBy: 'key' | 'certificate';
  readonly hasLogEntry: boolean;
}

// Sigstore bundle v0.3, in both spellings of its type.
const mediaTypes = [
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
];

const base64 = z.string().refine(isPlainBase64, 'want base64, standard and padded');
const bundleSchema = z.object({
  mediaType: z.enum(mediaTypes, 'want a Sigstore bundle of version 0.3'),
  verificationMaterial: z.object({
    publicKey: z.looseObject({}).optional(),
    certificate: z.looseObject({}).optional(),
    x509CertificateChain: z.looseObject({}).optional(),
    tlogEntries: z.array(z.looseObject({})).max(16, 'want at most 16 entries').optional(),
  }),
  dsseEnvelope: z.object({
    payloadType: z.string().min(1).max(256),
    payload: base64,
    // sigstore_bundle.proto: an envelope in a bundle has exactly one signature.
    signatures: z.tuple([z.object({ sig: base64.min(1).max(4096) })], 'want exactly one signature'),
  }),
});

/** Reads a bundle (Sigstore bundle v0.3, DSSE content), or says what is wrong with it. Never throws. */
export function parseBundle(bytes: Uint8Array): { readonly bundle: Bundle } | { readonly problem: string } {
  const read = readEvidence(bytes, bundleSchema);
  if ('problem' in read) return read;
  const { verificationMaterial: material, dsseEnvelope } = read.value;
  const isCertified = material.certificate !== undefined || material.x509CertificateChain !== undefined;
  if (isCertified === (material.publicKey !== undefined)) {
    return { problem: 'verificationMaterial: want either a publicKey or a certificate' };
  }
  const [signature] = dsseEnvelope.signatures;
  return {
    bundle: {
      payloadType: dsseEnvelope.payloadType,
      payload: new Uint8Array(Buffer.from(dsseEnvelope.payload, 'base64')),
      signature: signature.sig,
      signedBy: isCertified ? 'certificate' : 'key',
      hasLogEntry: (material.tlogEntries ?? []).length > 0,
    },
  };
}
