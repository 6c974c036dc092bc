import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import { parseEnvelope, preAuthEncoding } from './dsse.ts';
import type { TrustKey } from './keys.ts';
import { decodeSignature, verifySignature } from './verify-signature.ts';

export const triggerPayloadType = 'application/vnd.kaon.trigger.v1+json';

/** What a trigger may ask for. */
export type TriggerAction = 'stage' | 'activate';

/** A controller's key. */
export interface TriggerKey {
  readonly key: TrustKey;
  readonly actions: readonly TriggerAction[];
}

/** What a verified trigger asks for. Whether the image is trusted is another question. */
export interface VerifiedTrigger {
  /** The key that may ask for the action. */
  readonly keyId: string;
  /** What the sequence is remembered by: the fingerprint of every key that signed, whatever the keys are called. */
  readonly sequenceKeys: readonly string[];
  /** A reference with a digest. */
  readonly image: string;
  readonly action: TriggerAction;
  readonly sequence: number;
}

export const triggerSchema = z.strictObject({
  formatVersion: z.literal(1),
  image: z.string().min(1).max(1024),
  action: z.enum(['stage', 'activate']),
  expiresAt: z.iso.datetime(),
  sequence: z.int().positive(),
  node: z.strictObject({ id: z.string().max(256).optional(), compatible: z.string().max(128).optional() }).optional(),
});

export interface TriggerInput {
  readonly envelope: unknown;
  readonly keys: readonly TriggerKey[];
  /** By fingerprint of the key. */
  readonly lastSequences: Readonly<Record<string, number>>;
  readonly nowMs: number;
  readonly node: { readonly id: string; readonly compatible: string };
}

/**
 * Verifies a trigger: a DSSE envelope by an allowed Ed25519 key, in time, for this node, with a sequence that no key
 * that signed it ever used. Throws `trigger-untrusted`, `-invalid`, `-action-denied`, `-expired` or `-replayed`.
 */
export function verifyTrigger({ envelope, keys, lastSequences, nowMs, node }: TriggerInput): VerifiedTrigger {
  const { payloadType, payload, signatures } = parseEnvelope(envelope);
  if (payloadType !== triggerPayloadType) {
    throw new AgentError(
      'trigger-invalid',
      `cannot take the trigger: payloadType is ${JSON.stringify(payloadType)}, want ${triggerPayloadType}`,
    );
  }
  const signed = preAuthEncoding(payloadType, payload);
  const signers = keys.filter(({ key }) => {
    if (key.algorithm !== 'ed25519') return false;
    return signatures.some((text) => {
      const bytes = decodeSignature(text);
      return bytes !== undefined && verifySignature(key, signed, bytes);
    });
  });
  const [first] = signers;
  if (first === undefined) {
    throw new AgentError('trigger-untrusted', 'cannot take the trigger: no key under triggers.keys signed it');
  }
  const trigger = parsePayload(payload);
  const signer = signers.find(({ actions }) => actions.includes(trigger.action)) ?? first;
  checkTrigger(trigger, signer, nowMs, node);
  // Every key that signed: else the same trigger without its first signature would pass once more.
  const sequenceKeys = [...new Set(signers.map(({ key }) => key.fingerprint))];
  checkSequence(trigger.sequence, signer.key.id, sequenceKeys, lastSequences);
  return {
    keyId: signer.key.id,
    sequenceKeys,
    image: trigger.image,
    action: trigger.action,
    sequence: trigger.sequence,
  };
}

function parsePayload(payload: Uint8Array): z.infer<typeof triggerSchema> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new AgentError('trigger-invalid', 'cannot take the trigger: its payload is not JSON in UTF-8', { cause });
  }
  const result = triggerSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new AgentError(
    'trigger-invalid',
    `cannot take the trigger: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  );
}

function requireOneImage(image: string): void {
  let hasDigest: boolean;
  try {
    hasDigest = parseReference(image).digest !== undefined;
  } catch (cause) {
    throw new AgentError('trigger-invalid', 'cannot take the trigger: image is no image reference', { cause });
  }
  if (hasDigest) return;
  throw new AgentError(
    'trigger-invalid',
    'cannot take the trigger: image has no digest; a trigger names one image, not a tag',
  );
}

function checkTrigger(
  trigger: z.infer<typeof triggerSchema>,
  signer: TriggerKey,
  nowMs: number,
  node: TriggerInput['node'],
): void {
  const keyId = signer.key.id;
  requireOneImage(trigger.image);
  if (trigger.node?.id !== undefined && trigger.node.id !== node.id) {
    throw new AgentError(
      'trigger-invalid',
      `cannot take the trigger: node.id is ${trigger.node.id}, this is ${node.id}`,
    );
  }
  if (trigger.node?.compatible !== undefined && trigger.node.compatible !== node.compatible) {
    throw new AgentError(
      'trigger-invalid',
      `cannot take the trigger: node.compatible is ${trigger.node.compatible}, this is ${node.compatible}`,
    );
  }
  if (!signer.actions.includes(trigger.action)) {
    throw new AgentError(
      'trigger-action-denied',
      `cannot take the trigger: key ${keyId} may ask for ${signer.actions.join(', ') || 'nothing'}, not ${trigger.action}`,
    );
  }
  if (Date.parse(trigger.expiresAt) <= nowMs) {
    throw new AgentError('trigger-expired', `cannot take the trigger: it expired at ${trigger.expiresAt}`);
  }
}

/** Throws `trigger-replayed` unless `sequence` is above the last one of each of `sequenceKeys`. */
function checkSequence(
  sequence: number,
  keyId: string,
  sequenceKeys: readonly string[],
  lastSequences: Readonly<Record<string, number>>,
): void {
  for (const sequenceKey of sequenceKeys) {
    const last = Object.hasOwn(lastSequences, sequenceKey) ? (lastSequences[sequenceKey] ?? 0) : 0;
    if (sequence > last) continue;
    throw new AgentError(
      'trigger-replayed',
      `cannot take the trigger: sequence ${sequence} of key ${keyId} is not above ${last}`,
    );
  }
}
