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
  readonly keyId: string;
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
  readonly lastSequences: Readonly<Record<string, number>>;
  readonly nowMs: number;
  readonly node: { readonly id: string; readonly compatible: string };
}

/**
 * Verifies a trigger: a DSSE envelope by an allowed Ed25519 key, in time, for this node, with a sequence that this key
 * never used. Throws `trigger-untrusted`, `-invalid`, `-action-denied`, `-expired` or `-replayed`.
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
  const signer = keys.find(({ key }) => {
    if (key.algorithm !== 'ed25519') return false;
    return signatures.some((text) => {
      const bytes = decodeSignature(text);
      return bytes !== undefined && verifySignature(key, signed, bytes);
    });
  });
  if (signer === undefined) {
    throw new AgentError('trigger-untrusted', 'cannot take the trigger: no key under triggers.keys signed it');
  }
  return checkTrigger(parsePayload(payload), signer, lastSequences, nowMs, node);
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
  lastSequences: Readonly<Record<string, number>>,
  nowMs: number,
  node: TriggerInput['node'],
): VerifiedTrigger {
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
  const last = Object.hasOwn(lastSequences, keyId) ? (lastSequences[keyId] ?? 0) : 0;
  if (trigger.sequence <= last) {
    throw new AgentError(
      'trigger-replayed',
      `cannot take the trigger: sequence ${trigger.sequence} of key ${keyId} is not above ${last}`,
    );
  }
  return { keyId, image: trigger.image, action: trigger.action, sequence: trigger.sequence };
}
