import { AgentError } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import { preAuthEncoding } from '../trust/dsse.ts';
import { triggerPayloadType, triggerSchema } from '../trust/trigger-envelope.ts';
import type { SigningKey } from './private-key.ts';

/** What a trigger asks for. */
export interface TriggerInput {
  /** A reference with a digest. */
  readonly image: string;
  readonly action: 'stage' | 'activate';
  readonly expiresAtMs: number;
  readonly sequence: number;
  readonly node: { readonly id?: string; readonly compatible?: string } | undefined;
}

/** A trigger in its DSSE envelope, as `POST /v1/triggers` takes it. */
export interface SignedTrigger {
  readonly payloadType: string;
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/**
 * Signs a trigger. Throws `key-invalid` for a key that is not Ed25519; `usage-invalid` or `reference-invalid` for what a
 * node would refuse.
 */
export function signTrigger(input: TriggerInput, key: SigningKey): SignedTrigger {
  if (key.publicKey.algorithm !== 'ed25519') {
    throw new AgentError('key-invalid', 'cannot sign the trigger: triggers are signed with Ed25519');
  }
  const { image, action, expiresAtMs, sequence, node } = input;
  if (parseReference(image).digest === undefined) {
    throw new AgentError('usage-invalid', 'cannot sign the trigger: image has no digest; want NAME@sha256:…');
  }
  // The last millisecond that a Date holds (ECMA-262, "Time Values").
  if (!(Math.abs(expiresAtMs) <= 8.64e15)) {
    throw new AgentError('usage-invalid', `cannot sign the trigger: expiresAtMs is ${expiresAtMs}, which is no time`);
  }
  const trigger = triggerSchema.safeParse({
    formatVersion: 1,
    image,
    action,
    expiresAt: new Date(expiresAtMs).toISOString(),
    sequence,
    ...(node === undefined ? {} : { node }),
  });
  if (!trigger.success) {
    const issue = trigger.error.issues[0];
    throw new AgentError(
      'usage-invalid',
      `cannot sign the trigger: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
    );
  }
  const payload = new TextEncoder().encode(JSON.stringify(trigger.data));
  const signature = key.sign(preAuthEncoding(triggerPayloadType, payload));
  return {
    payloadType: triggerPayloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: [{ keyid: key.publicKey.fingerprint, sig: Buffer.from(signature).toString('base64') }],
  };
}
