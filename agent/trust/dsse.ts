import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { evidenceLimits } from '../core/image-source.ts';
import { readEvidence } from './read-evidence.ts';

/** A DSSE envelope, its payload decoded and not yet believed. */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  /** Base64 texts. */
  readonly signatures: readonly string[];
}

/** Whether `text` is the one spelling of some bytes: Node itself skips what is no base64. */
export function isPlainBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

// DSSE v1, "Parsing rules": unrecognized fields are ignored.
const envelopeSchema = (payloadChars: number) =>
  z.object({
    payloadType: z.string().min(1).max(256),
    payload: z.string().max(payloadChars).refine(isPlainBase64, 'want base64, standard and padded'),
    signatures: z
      .array(z.object({ keyid: z.string().max(256).optional(), sig: z.string().min(1).max(4096) }))
      .min(1)
      .max(16),
  });

const triggerEnvelope = envelopeSchema(64 * 1024);
const attestationEnvelope = envelopeSchema(evidenceLimits.itemBytes);

function envelopeOf({ payloadType, payload, signatures }: z.infer<typeof triggerEnvelope>): Envelope {
  return {
    payloadType,
    payload: new Uint8Array(Buffer.from(payload, 'base64')),
    signatures: signatures.map(({ sig }) => sig),
  };
}

/** Reads the envelope of a trigger (DSSE v1). Throws `trigger-invalid` that names the field. */
export function parseEnvelope(value: unknown): Envelope {
  const result = triggerEnvelope.safeParse(value);
  if (result.success) return envelopeOf(result.data);
  const issue = result.error.issues[0];
  throw new AgentError(
    'trigger-invalid',
    `cannot read the trigger: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  );
}

/** Reads the envelope of an attestation (DSSE v1), or says what is wrong with it. Never throws. */
export function parseAttestation(bytes: Uint8Array): { readonly envelope: Envelope } | { readonly problem: string } {
  const read = readEvidence(bytes, attestationEnvelope);
  return 'problem' in read ? read : { envelope: envelopeOf(read.value) };
}

/** The bytes that a DSSE signature covers (DSSE v1, "PAE"): lengths are in bytes. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return new Uint8Array(Buffer.concat([Buffer.from(head), payload]));
}
