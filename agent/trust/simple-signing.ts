import { z } from 'zod';

const payloadType = 'cosign container image signature';
const maxPayloadBytes = 1024 * 1024;

const payload = z.object({
  critical: z.object({
    type: z.literal(payloadType),
    image: z.object({ 'docker-manifest-digest': z.string() }),
    identity: z.object({ 'docker-reference': z.string().optional() }).optional(),
  }),
});

/** What a simple signing payload says. */
export interface SignedClaim {
  /** The digest that was signed for, as written. */
  readonly digest: string;
}

/**
 * Reads cosign's simple signing payload. Only for bytes whose signature verified. `undefined` when it is something else:
 * an attestation or a text by the same key is no signature of an image.
 */
export function parseSimpleSigning(bytes: Uint8Array): SignedClaim | undefined {
  if (bytes.byteLength > maxPayloadBytes) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const result = payload.safeParse(JSON.parse(text));
    return result.success ? { digest: result.data.critical.image['docker-manifest-digest'] } : undefined;
  } catch {
    // Not UTF-8, or no JSON: nothing that says anything about an image.
    return undefined;
  }
}
