import { z } from 'zod';
import { AgentError } from '../core/errors.ts';

/** A DSSE envelope, its payload decoded and not yet believed. */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  /** Base64 texts. */
  readonly signatures: readonly string[];
}

// DSSE v1, "Parsing rules": unrecognized fields are ignored.
const envelopeSchema = z.object({
  payloadType: z.string().min(1).max(256),
  payload: z.base64().max(64 * 1024),
  signatures: z
    .array(z.object({ keyid: z.string().max(256).optional(), sig: z.string().min(1).max(4096) }))
    .min(1)
    .max(16),
});

/** Reads an envelope (DSSE v1). Throws `trigger-invalid` that names the field. */
export function parseEnvelope(value: unknown): Envelope {
  const result = envelopeSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new AgentError(
      'trigger-invalid',
      `cannot read the trigger: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
    );
  }
  const { payloadType, payload, signatures } = result.data;
  return {
    payloadType,
    payload: new Uint8Array(Buffer.from(payload, 'base64')),
    signatures: signatures.map(({ sig }) => sig),
  };
}

/** The bytes that a DSSE signature covers (DSSE v1, "PAE"): lengths are in bytes. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `;
  return new Uint8Array(Buffer.concat([Buffer.from(head), payload]));
}
