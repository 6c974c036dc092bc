import type { z } from 'zod';
import { evidenceLimits } from '../core/image-source.ts';

/** Reads a piece of evidence, JSON in UTF-8 of at most 1 MiB, by `schema`; or says what is wrong with it. Never throws. */
export function readEvidence<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
): { readonly value: T } | { readonly problem: string } {
  if (bytes.byteLength > evidenceLimits.itemBytes) return { problem: `it has ${bytes.byteLength} bytes` };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return { problem: 'it is not JSON in UTF-8' };
  }
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const issue = result.error.issues[0];
  return { problem: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}` };
}
