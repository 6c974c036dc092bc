import { z } from 'zod';
import { AgentError, isErrorCode } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import { isDigest } from '../core/image-format/digest.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { SignatureEvidence, SignedImage, SimpleSignature } from '../core/ports.ts';

/** Grows when a message changes its meaning; both halves come from one package, so they must be equal. */
export const protocolVersion = 2;

const slot = z.enum(['a', 'b']);
const digest = z.string().refine(isDigest, 'want a digest');
const base64 = z.base64();

/** Ranges of one `want-layer`; more of them are asked for by several. */
export const maxRanges = 4096;

const source = z.string().max(1024);
const attestedText = z.string().max(evidenceLimits.attestedChars).optional();
const attested = z.strictObject({ certificate: attestedText, logEntry: attestedText, timestamp: attestedText });
const evidence = z.union([
  z.strictObject({ payload: base64, signature: z.string().max(16_384), attested: attested.optional(), source }),
  z.strictObject({ bundle: base64, source }),
  z.strictObject({ envelope: base64, source }),
]);

const signedImage = z.strictObject({
  reference: z.string().max(1024),
  resolvedDigest: digest,
  index: base64.optional(),
  manifestDigest: digest,
  manifest: base64,
  config: base64,
  signatures: z.array(evidence).max(evidenceLimits.count),
});

/** Most characters that are kept over a reset. */
export const evidenceCharacters = 4096;

/** Patches of one image, one a partition. */
export const maxPatches = 16;

const patchOffer = z.strictObject({
  partition: z.string().max(32),
  layerDigest: digest,
  layerSizeBytes: z.int().positive(),
  headSizeBytes: z.int().positive(),
});

const request = z.discriminatedUnion('method', [
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('read-node') }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('repair-loader'),
    isOtherGood: z.boolean(),
  }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('write-slot'),
    slot,
    image: signedImage,
    patches: z.array(patchOffer).max(maxPatches).default([]),
  }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('estimate-write'),
    slot,
    image: signedImage,
    patches: z.array(patchOffer).max(maxPatches),
  }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('activate'),
    slot,
    tries: z.int().min(1).max(99),
    digest: digest.optional(),
  }),
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('mark-good'), slot }),
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('mark-bad'), slot }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('reboot'),
    purpose: z.enum(['a', 'b', 'loader-test']).optional(),
  }),
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('arm-loader-test') }),
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('read-loader-test') }),
  z.strictObject({ protocol: z.literal(protocolVersion), method: z.literal('clear-loader-test') }),
  z.strictObject({
    protocol: z.literal(protocolVersion),
    method: z.literal('keep-evidence'),
    text: z.string().max(evidenceCharacters),
  }),
]);

/** What kaond asks of kaon-slotd: one request a connection. */
export type SlotdRequest = z.infer<typeof request>;

/** What kaond sends while a slot is written. */
const fromClient = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('layer-end') }),
  z.strictObject({ type: z.literal('layer-failed') }),
]);

const progress = z.object({
  step: z.enum(['write', 'read-back', 'finish']),
  partition: z.string(),
  fetchedBytes: z.number(),
  layerSizeBytes: z.number(),
  writtenBytes: z.number(),
  keptBytes: z.number().optional(),
  copiedBytes: z.number().optional(),
  resumedBytes: z.number().optional(),
  durableBytes: z.number().optional(),
  patchedBytes: z.number().optional(),
  missingBytes: z.number().optional(),
  isResumable: z.boolean().optional(),
});

const fromServer = z.discriminatedUnion('type', [
  z.object({ type: z.literal('result'), value: z.unknown() }),
  z.object({
    type: z.literal('error'),
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
  z.object({
    type: z.literal('want-layer'),
    digest,
    /** Only these parts of the layer; absent: all of it. */
    ranges: z
      .array(z.object({ offset: z.int().min(0), sizeBytes: z.int().min(1) }))
      .min(1)
      .max(maxRanges)
      .optional(),
  }),
  z.object({ type: z.literal('progress'), progress }),
]);

/** What kaon-slotd answers: at the end `result` or `error`; before it, while a slot is written, the others. */
export type SlotdAnswer = z.infer<typeof fromServer>;

function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new AgentError(
    'slotd-protocol-invalid',
    `cannot understand the ${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  );
}

/** Parses a request. Throws `slotd-protocol-invalid`. */
export function parseRequest(value: unknown): SlotdRequest {
  return parse(request, value, 'request');
}

/** Parses what follows a request while a slot is written. Throws `slotd-protocol-invalid`. */
export function parseFromClient(value: unknown): z.infer<typeof fromClient> {
  return parse(fromClient, value, 'message of kaond');
}

/** Parses an answer. Throws `slotd-protocol-invalid`. */
export function parseAnswer(value: unknown): SlotdAnswer {
  return parse(fromServer, value, 'answer of kaon-slotd');
}

/** The error that an `error` answer stands for. */
export function errorOf(answer: Extract<SlotdAnswer, { type: 'error' }>): AgentError {
  const code = isErrorCode(answer.code) ? answer.code : 'slotd-protocol-invalid';
  return new AgentError(code, answer.message, { details: answer.details ?? {} });
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** Absent fields stay absent, on both sides. */
function attestedOf({ attested: all }: { readonly attested?: object | undefined }): Pick<SimpleSignature, 'attested'> {
  if (all === undefined) return {};
  return { attested: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) };
}

function encodeEvidence(found: SignatureEvidence): z.infer<typeof evidence> {
  const { source } = found;
  if ('bundle' in found) return { bundle: text(found.bundle), source };
  return 'envelope' in found
    ? { envelope: text(found.envelope), source }
    : { payload: text(found.payload), signature: found.signature, ...attestedOf(found), source };
}

function decodeEvidence(raw: z.infer<typeof evidence>): SignatureEvidence {
  const { source } = raw;
  if ('bundle' in raw) return { bundle: bytes(raw.bundle), source };
  return 'envelope' in raw
    ? { envelope: bytes(raw.envelope), source }
    : { payload: bytes(raw.payload), signature: raw.signature, ...attestedOf(raw), source };
}

/** A signed image as a message carries it. */
export function encodeSignedImage({ image, signatures }: SignedImage): z.infer<typeof signedImage> {
  const { repository, tag, digest: pinned } = image.reference;
  return {
    reference: `${repository}${tag === undefined ? '' : `:${tag}`}${pinned === undefined ? '' : `@${pinned}`}`,
    resolvedDigest: image.resolvedDigest,
    ...(image.indexBytes === undefined ? {} : { index: text(image.indexBytes) }),
    manifestDigest: image.manifestDigest,
    manifest: text(image.manifestBytes),
    config: text(image.configBytes),
    signatures: signatures.slice(0, evidenceLimits.count).map(encodeEvidence),
  };
}

/** The image of a message; nothing in it is believed yet. Throws `reference-invalid`. */
export function decodeSignedImage(raw: z.infer<typeof signedImage>): SignedImage {
  return {
    image: {
      reference: parseReference(raw.reference),
      resolvedDigest: raw.resolvedDigest,
      indexBytes: raw.index === undefined ? undefined : bytes(raw.index),
      manifestDigest: raw.manifestDigest,
      manifestBytes: bytes(raw.manifest),
      configBytes: bytes(raw.config),
    },
    signatures: raw.signatures.map(decodeEvidence),
  };
}
