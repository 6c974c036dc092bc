import { z } from 'zod';

/** The DSSE payload type of an in-toto statement. */
export const statementPayloadType = 'application/vnd.in-toto+json';
/** The predicate type of cosign's signature of an image. */
export const signaturePredicateType = 'https://sigstore.dev/cosign/sign/v1';

const maxSubjects = 1024;
const statementSchema = z.object({
  _type: z.literal(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  subject: z
    .array(z.object({ digest: z.record(z.string(), z.string()) }))
    .min(1)
    .max(maxSubjects),
  predicateType: z.string().min(1).max(512),
  predicate: z.unknown().optional(),
});

/** What an in-toto statement says, and of what. */
export interface Statement {
  readonly type: 'https://in-toto.io/Statement/v1' | 'https://in-toto.io/Statement/v0.1';
  readonly predicateType: string;
  /** With their algorithm, as written. */
  readonly subjectDigests: readonly string[];
  readonly predicate: unknown;
}

/** Reads an in-toto statement. Only for bytes whose signature verified. `undefined` when it is something else. */
export function parseStatement(payloadType: string, payload: Uint8Array): Statement | undefined {
  if (payloadType !== statementPayloadType) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
  const result = statementSchema.safeParse(value);
  if (!result.success) return undefined;
  const { _type: type, subject, predicateType, predicate } = result.data;
  const subjectDigests = subject.flatMap(({ digest }) =>
    Object.entries(digest)
      .filter(([algorithm]) => algorithm === 'sha256' || algorithm === 'sha512')
      .map(([algorithm, hex]) => `${algorithm}:${hex}`),
  );
  return { type, predicateType, subjectDigests, predicate };
}

/** Whether `statement` is an image's signature: what else a key states of an image is none. */
export function isSignatureStatement({ type, predicateType }: Statement): boolean {
  return type === 'https://in-toto.io/Statement/v1' && predicateType === signaturePredicateType;
}
