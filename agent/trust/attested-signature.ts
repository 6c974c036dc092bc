import { createHash, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { SimpleSignature } from '../core/ports.ts';

// The texts of cosign's annotations; fields that are not named are not read.
const logEntrySchema = z.object({
  SignedEntryTimestamp: z.string(),
  Payload: z.object({
    body: z.string(),
    integratedTime: z.int().nonnegative(),
    logIndex: z.int().nonnegative(),
    logID: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});
const bodySchema = z.object({ kind: z.string(), apiVersion: z.string() });
const timestampSchema = z.object({ SignedRFC3161Timestamp: z.string() });

/**
 * A simple signature with what attests it, in the form of a Sigstore bundle v0.1, as JSON: the verifier of bundles then
 * judges both. Throws for what is malformed, in whatever way.
 */
export function bundleOfSimple({ payload, signature, attested = {} }: SimpleSignature, isByKey: boolean): object {
  const { certificate, logEntry, timestamp } = attested;
  if (!isByKey && certificate === undefined) throw new Error('it has no certificate');
  const digest = createHash('sha256').update(payload).digest('base64');
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.1',
    verificationMaterial: {
      ...(isByKey
        ? { publicKey: { hint: '' } }
        : { x509CertificateChain: { certificates: [{ rawBytes: derOf(certificate ?? '') }] } }),
      tlogEntries: logEntry === undefined ? [] : [entryOf(logEntry)],
      ...(timestamp === undefined
        ? {}
        : { timestampVerificationData: { rfc3161Timestamps: [timestampOf(timestamp)] } }),
    },
    messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest }, signature },
  };
}

function derOf(pem: string): string {
  return new X509Certificate(pem).raw.toString('base64');
}

function entryOf(text: string): object {
  const { SignedEntryTimestamp: signedEntryTimestamp, Payload: entry } = logEntrySchema.parse(JSON.parse(text));
  const { kind, apiVersion } = bodySchema.parse(JSON.parse(Buffer.from(entry.body, 'base64').toString('utf8')));
  return {
    logIndex: String(entry.logIndex),
    logId: { keyId: Buffer.from(entry.logID, 'hex').toString('base64') },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(entry.integratedTime),
    inclusionPromise: { signedEntryTimestamp },
    canonicalizedBody: entry.body,
  };
}

function timestampOf(text: string): object {
  return { signedTimestamp: timestampSchema.parse(JSON.parse(text)).SignedRFC3161Timestamp };
}
