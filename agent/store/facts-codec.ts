/*
 * One copy of the facts. All numbers are little-endian; bytes after `length` are filling and mean nothing.
 *
 *   offset  size  field
 *        0     8  magic "KAONFACT"
 *        8    32  sha256 over all bytes from offset 40 up to the end of the payload
 *       40     4  format version, 1
 *       44     4  oldest format version whose readers understand this copy, 1
 *       48     8  sequence: the copy with the higher one is the newer
 *       56     4  length of the payload in bytes
 *       60     4  zero
 *       64     n  payload: JSON of the facts in UTF-8
 *
 * Magic and digest have their places in every version, so that damage is told from a newer format. A copy is filled up
 * to a multiple of 4096 bytes.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FactsData } from '../core/facts.ts';
import { offersSchema } from './offers-codec.ts';

/** Largest copy, in bytes. */
export const factsCopyLimitBytes = 256 * 1024;

const magic = Buffer.from('KAONFACT', 'latin1');
const at = { digest: 8, version: 40, minimumReader: 44, sequence: 48, length: 56, payload: 64 } as const;
const formatVersion = 1;
const fillBytes = 4096;

/** What the bytes of a copy turned out to be. */
export type FactsCopy =
  /** The digest holds and the payload reads. */
  | { readonly kind: 'sound'; readonly sequence: bigint; readonly data: FactsData }
  /** The digest holds; only a newer agent understands it. */
  | { readonly kind: 'newer'; readonly version: number }
  /** Torn, truncated, flipped, or not a copy of facts at all. */
  | { readonly kind: 'damaged' };

const knownBad = z.looseObject({ digest: z.string(), reason: z.string(), updateId: z.string(), atMs: z.number() });

/** Not worth the other facts: what an agent of another version wrote differently is as if it were not there. */
const loaderProof = z
  .looseObject({
    loader: z.string(),
    isProven: z.boolean(),
    by: z.enum(['boot', 'trial', 'self-test']),
    atMs: z.number(),
  })
  .optional()
  .catch(undefined);
const loaderTest = z
  .looseObject({ bootId: z.string(), atMs: z.number(), isSettled: z.boolean() })
  .optional()
  .catch(undefined);
const downloadRate = z.looseObject({ bytesPerSecond: z.number().positive().nullable() }).optional().catch(undefined);

const signedTimeMs = z.number().min(0).max(8.64e15).optional().catch(undefined);

const payloadSchema = z.looseObject({
  knownBad: z.array(knownBad),
  rollbackFloor: z.number(),
  triggerSequences: z.record(z.string(), z.number()),
  trustGeneration: z.number(),
  installSequence: z.number(),
  hold: z
    .looseObject({
      reason: z.string(),
      untilMs: z
        .number()
        .nullish()
        .transform((value) => value ?? undefined),
    })
    .nullish(),
  loaderProof,
  loaderTest,
  signedTimeMs,
  downloadRate,
  offers: offersSchema,
});

/** The bytes of one copy. Throws `RangeError` for facts larger than `factsCopyLimitBytes`. */
export function encodeFacts(data: FactsData, sequence: bigint): Uint8Array {
  const { extra, ...known } = data;
  const payload = Buffer.from(JSON.stringify({ ...extra, ...known }), 'utf8');
  const sizeBytes = Math.ceil((at.payload + payload.byteLength) / fillBytes) * fillBytes;
  if (sizeBytes > factsCopyLimitBytes) {
    throw new RangeError(`the facts need ${sizeBytes} bytes, the limit is ${factsCopyLimitBytes}`);
  }
  const copy = Buffer.alloc(sizeBytes);
  magic.copy(copy, 0);
  copy.writeUInt32LE(formatVersion, at.version);
  copy.writeUInt32LE(formatVersion, at.minimumReader);
  copy.writeBigUInt64LE(sequence, at.sequence);
  copy.writeUInt32LE(payload.byteLength, at.length);
  payload.copy(copy, at.payload);
  digestOf(copy, payload.byteLength).copy(copy, at.digest);
  return copy;
}

/** Reads one copy; anything unsound is `damaged`, never a throw. */
export function decodeFacts(bytes: Uint8Array): FactsCopy {
  const copy = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (copy.byteLength < at.payload || !copy.subarray(0, magic.byteLength).equals(magic)) return { kind: 'damaged' };
  const length = copy.readUInt32LE(at.length);
  if (length > copy.byteLength - at.payload) return { kind: 'damaged' };
  if (!digestOf(copy, length).equals(copy.subarray(at.digest, at.version))) return { kind: 'damaged' };
  // Only now may the version be believed: a flipped bit must not look like a newer agent's work.
  if (copy.readUInt32LE(at.minimumReader) > formatVersion) {
    return { kind: 'newer', version: copy.readUInt32LE(at.version) };
  }
  const data = parsePayload(copy.toString('utf8', at.payload, at.payload + length));
  return data === undefined
    ? { kind: 'damaged' }
    : { kind: 'sound', sequence: copy.readBigUInt64LE(at.sequence), data };
}

function digestOf(copy: Buffer, payloadBytes: number): Buffer {
  return createHash('sha256')
    .update(copy.subarray(at.version, at.payload + payloadBytes))
    .digest();
}

function parsePayload(text: string): FactsData | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The digest held, so somebody wrote this: still no facts.
    return undefined;
  }
  const result = payloadSchema.safeParse(value);
  if (!result.success) return undefined;
  const { hold, loaderProof: proof, loaderTest: test, signedTimeMs: signed, ...rest } = result.data;
  const { downloadRate: rate, offers, ...known } = rest;
  const { knownBad, rollbackFloor, triggerSequences, trustGeneration, installSequence, ...extra } = known;
  return {
    knownBad,
    rollbackFloor,
    triggerSequences,
    trustGeneration,
    installSequence,
    hold: hold ?? undefined,
    ...(proof === undefined ? {} : { loaderProof: proof }),
    ...(test === undefined ? {} : { loaderTest: test }),
    ...(signed === undefined ? {} : { signedTimeMs: signed }),
    ...(rate === undefined ? {} : { downloadRate: rate }),
    ...(offers === undefined ? {} : { offers }),
    extra,
  };
}
