import { describe, expect, it } from 'vitest';
import { parseSigningKey } from '../../../agent/image/private-key.ts';
import { signTrigger, type TriggerInput } from '../../../agent/image/sign-trigger.ts';
import { triggerPayloadType, verifyTrigger } from '../../../agent/trust/trigger-envelope.ts';
import { dsseEnvelope, makeSigner } from '../../fakes/signer.ts';
import { codeOf, trustKey } from '../trust/samples.ts';

const signer = makeSigner('ed25519');
const key = parseSigningKey('fleet.key', signer.privatePem);
const nowMs = Date.parse('2026-03-01T12:00:00Z');
const input: TriggerInput = {
  image: `registry.test/os/edge@sha256:${'0a'.repeat(32)}`,
  action: 'activate',
  expiresAtMs: nowMs + 60_000,
  sequence: 3,
  node: undefined,
};

const verify = (envelope: unknown, atMs = nowMs) =>
  verifyTrigger({
    envelope,
    keys: [{ key: trustKey('fleet', signer), actions: ['stage', 'activate'] }],
    lastSequences: { [signer.fingerprint]: 2 },
    nowMs: atMs,
    node: { id: 'node-1', compatible: 'board-1' },
  });

describe('a signed trigger', () => {
  it('is taken by a node that has the key, also after its way through JSON', () => {
    for (const node of [
      undefined,
      { id: 'node-1' },
      { compatible: 'board-1' },
      { id: 'node-1', compatible: 'board-1' },
    ]) {
      const sent: unknown = JSON.parse(JSON.stringify(signTrigger({ ...input, node }, key)));
      expect(verify(sent)).toMatchObject({ keyId: 'fleet', image: input.image, action: 'activate', sequence: 3 });
    }
  });

  it('is the envelope that an independent signer writes', () => {
    const envelope = signTrigger(input, key);
    const payload = Buffer.from(envelope.payload, 'base64');
    expect(envelope).toEqual(dsseEnvelope(triggerPayloadType, payload, [signer]));
  });

  it('is for the node, the time and the sequence that were asked for', () => {
    expect(codeOf(() => verify(signTrigger({ ...input, node: { id: 'node-2' } }, key)))).toBe('trigger-invalid');
    expect(codeOf(() => verify(signTrigger(input, key), input.expiresAtMs))).toBe('trigger-expired');
    expect(codeOf(() => verify(signTrigger({ ...input, sequence: 2 }, key)))).toBe('trigger-replayed');
  });
});

describe('signing a trigger', () => {
  it('takes Ed25519 keys only', () => {
    const ecdsa = parseSigningKey('fleet.key', makeSigner('ecdsa-p256').privatePem);
    expect(codeOf(() => signTrigger(input, ecdsa))).toBe('key-invalid');
  });

  it.each<[string, string, Partial<TriggerInput>]>([
    ['a tag in place of a digest', 'usage-invalid', { image: 'registry.test/os/edge:v1' }],
    ['an image that is no reference', 'reference-invalid', { image: 'OS EDGE' }],
    ['no image', 'reference-invalid', { image: '' }],
    ['the sequence 0', 'usage-invalid', { sequence: 0 }],
    ['a sequence that is no whole number', 'usage-invalid', { sequence: 1.5 }],
    ['a time that is none', 'usage-invalid', { expiresAtMs: Number.NaN }],
    ['a time beyond all times', 'usage-invalid', { expiresAtMs: Number.POSITIVE_INFINITY }],
    ['a year of more than four digits', 'usage-invalid', { expiresAtMs: 8.64e15 }],
    ['a node id that is too long', 'usage-invalid', { node: { id: 'x'.repeat(257) } }],
  ])('refuses %s, as a node would', (_what, code, change) => {
    expect(codeOf(() => signTrigger({ ...input, ...change }, key))).toBe(code);
  });
});
