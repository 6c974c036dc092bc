import { describe, expect, it } from 'vitest';
import { errorTable } from '../../../agent/core/errors.ts';
import {
  type TriggerInput,
  type TriggerKey,
  triggerPayloadType,
  verifyTrigger,
} from '../../../agent/trust/trigger-envelope.ts';
import { dsseEnvelope, makeSigner, type TestSigner } from '../../fakes/signer.ts';
import { codeOf, flipBit, trustKey } from './samples.ts';

const [fleet, backup, stranger] = [makeSigner('ed25519'), makeSigner('ed25519'), makeSigner('ed25519')];
const keyOf = (id: string, signer: TestSigner, actions: TriggerKey['actions']): TriggerKey => ({
  key: trustKey(id, signer),
  actions,
});
const keys = [keyOf('fleet', fleet, ['stage', 'activate']), keyOf('backup', backup, ['stage'])];
const node = { id: 'node-1', compatible: 'board-1' };
const nowMs = Date.parse('2026-03-01T12:00:00Z');
const digest = `sha256:${'0a'.repeat(32)}`;
const trigger = {
  formatVersion: 1,
  image: `registry.test/os/edge@${digest}`,
  action: 'stage',
  expiresAt: '2026-03-01T13:00:00Z',
  sequence: 7,
};

const bytesOf = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const enveloped = (value: unknown, signers: readonly TestSigner[] = [fleet]) =>
  dsseEnvelope(triggerPayloadType, bytesOf(value), signers);
const verify = (envelope: unknown, change: Partial<TriggerInput> = {}) =>
  verifyTrigger({ envelope, keys, lastSequences: { [fleet.fingerprint]: 6 }, nowMs, node, ...change });
const codeFor = (envelope: unknown, change: Partial<TriggerInput> = {}) => codeOf(() => verify(envelope, change));

describe('a trigger', () => {
  it('says what a key asks for, and by which sequence', () => {
    const sequenceKeys = [fleet.fingerprint];
    const expected = { keyId: 'fleet', sequenceKeys, image: trigger.image, action: 'stage', sequence: 7 };
    expect(verify(enveloped(trigger))).toEqual(expected);
    const tagged = `registry.test/os/edge:v1@${digest}`;
    expect(verify(enveloped({ ...trigger, image: tagged })).image).toBe(tagged);
  });

  it('may be for one node, or for one kind of node', () => {
    for (const target of [{}, { id: 'node-1' }, { compatible: 'board-1' }, node]) {
      expect(verify(enveloped({ ...trigger, node: target })).sequence).toBe(7);
    }
    for (const target of [{ id: 'node-2' }, { compatible: 'board-2' }, { ...node, id: 'node-2' }, { id: '' }]) {
      expect(codeFor(enveloped({ ...trigger, node: target }))).toBe('trigger-invalid');
    }
  });

  it('holds until the moment it names', () => {
    const endMs = Date.parse(trigger.expiresAt);
    expect(verify(enveloped(trigger), { nowMs: endMs - 1 }).sequence).toBe(7);
    for (const lateMs of [endMs, endMs + 1, endMs + 1e12]) {
      expect(codeFor(enveloped(trigger), { nowMs: lateMs })).toBe('trigger-expired');
    }
  });

  it('counts up for each key by itself', () => {
    for (const sequence of [1, 5, 6]) expect(codeFor(enveloped({ ...trigger, sequence }))).toBe('trigger-replayed');
    expect(codeFor(enveloped(trigger), { lastSequences: { [fleet.fingerprint]: 7 } })).toBe('trigger-replayed');
    expect(verify(enveloped({ ...trigger, sequence: 1 }, [backup])).keyId).toBe('backup');
    expect(verify(enveloped(trigger), { lastSequences: {} }).sequence).toBe(7);
  });

  it('may ask only for what its key may', () => {
    const activate = { ...trigger, action: 'activate' };
    expect(verify(enveloped(activate)).action).toBe('activate');
    expect(codeFor(enveloped(activate, [backup]))).toBe('trigger-action-denied');
    expect(codeFor(enveloped(trigger), { keys: [keyOf('fleet', fleet, [])] })).toBe('trigger-action-denied');
  });
});

describe('the signature of a trigger', () => {
  const good = enveloped(trigger);
  const [signature] = good.signatures as [{ keyid: string; sig: string }];

  it.each<[string, unknown]>([
    ['by a key that is not configured', enveloped(trigger, [stranger])],
    [
      'by a stranger who names a configured key',
      { ...good, signatures: [{ keyid: fleet.fingerprint, sig: enveloped(trigger, [stranger]).signatures[0]!.sig }] },
    ],
    [
      'over the payload without its type',
      { ...good, signatures: [{ sig: fleet.sign(bytesOf(trigger)).toString('base64') }] },
    ],
    [
      'over another type',
      { ...dsseEnvelope('application/vnd.in-toto+json', bytesOf(trigger), [fleet]), payloadType: triggerPayloadType },
    ],
    ['of another trigger', { ...good, payload: enveloped({ ...trigger, sequence: 8 }).payload }],
    ['cut short', { ...good, signatures: [{ ...signature, sig: signature.sig.slice(0, -4) }] }],
    ['without its padding', { ...good, signatures: [{ ...signature, sig: signature.sig.replace(/=+$/, '') }] }],
    ['that is no base64', { ...good, signatures: [{ sig: 'garbage!' }] }],
  ])('%s is not trusted', (_what, envelope) => {
    expect(codeFor(envelope)).toBe('trigger-untrusted');
  });

  it('is missing in an envelope without one, and in a bare trigger', () => {
    for (const envelope of [{ ...good, signatures: [] }, { ...good, signatures: undefined }, trigger, null, '']) {
      expect(codeFor(envelope)).toBe('trigger-invalid');
    }
  });

  it('is not trusted by a node without keys', () => {
    expect(codeFor(good, { keys: [] })).toBe('trigger-untrusted');
  });

  it('is Ed25519: keys of other kinds are passed over', () => {
    for (const kind of ['ecdsa-p256', 'rsa'] as const) {
      const signer = makeSigner(kind);
      expect(codeFor(enveloped(trigger, [signer]), { keys: [keyOf('fleet', signer, ['stage'])] })).toBe(
        'trigger-untrusted',
      );
    }
  });

  it('may be one of several, whatever the others are and whatever key ids they name', () => {
    const signers = [stranger, backup, fleet];
    expect(verify(enveloped(trigger, signers)).keyId).toBe('fleet');
    const garbled = { keyid: fleet.fingerprint, sig: 'AAAA' };
    expect(verify({ ...good, signatures: [garbled, { ...signature, keyid: '__proto__' }] }).keyId).toBe('fleet');
    expect(codeFor(enveloped(trigger, [stranger, makeSigner('ed25519')]))).toBe('trigger-untrusted');
  });

  it('is judged under key ids that every object has as properties', () => {
    for (const id of ['constructor', '__proto__', 'toString']) {
      const odd = { keys: [keyOf(id, fleet, ['stage'])], lastSequences: {} };
      expect(verify(good, odd).keyId).toBe(id);
    }
  });

  it('counts for the key itself, whatever the configuration calls it', () => {
    const renamed = { keys: [keyOf('another-name', fleet, ['stage'])], lastSequences: { [fleet.fingerprint]: 7 } };
    expect(codeFor(good, renamed)).toBe('trigger-replayed');
  });

  it('counts for every key that signed, so that a signature that is taken away opens no second use', () => {
    const verified = verify(enveloped(trigger, [fleet, backup]));
    expect(new Set(verified.sequenceKeys)).toEqual(new Set([fleet.fingerprint, backup.fingerprint]));
    const used = { lastSequences: Object.fromEntries(verified.sequenceKeys.map((key) => [key, 7])) };
    expect(codeFor(enveloped(trigger, [backup]), used)).toBe('trigger-replayed');
    const one = { lastSequences: { [backup.fingerprint]: 7 } };
    expect(codeFor(enveloped(trigger, [fleet, backup]), one)).toBe('trigger-replayed');
  });

  it('may ask for what one of its signers may', () => {
    const activate = { ...trigger, action: 'activate' };
    const reversed = { keys: [...keys].reverse(), lastSequences: {} };
    expect(verify(enveloped(activate, [backup, fleet]), reversed).keyId).toBe('fleet');
  });
});

describe('a trigger that is signed and yet not well formed', () => {
  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['nothing', ''],
    ['null', 'null'],
    ['a list', [trigger]],
    ['another format version', { ...trigger, formatVersion: 2 }],
    ['no image', { ...trigger, image: undefined }],
    ['a tag in place of a digest', { ...trigger, image: 'registry.test/os/edge:v1' }],
    ['neither tag nor digest', { ...trigger, image: 'registry.test/os/edge' }],
    ['an image that is no reference', { ...trigger, image: 'registry.test/OS EDGE' }],
    ['a digest in upper case', { ...trigger, image: trigger.image.replace('0a', '0A') }],
    ['an image that is too long', { ...trigger, image: `${'x/'.repeat(600)}x@${digest}` }],
    ['no action', { ...trigger, action: undefined }],
    ['an unknown action', { ...trigger, action: 'commit' }],
    ['an action like a property that every object has', { ...trigger, action: 'constructor' }],
    ['no time', { ...trigger, expiresAt: undefined }],
    ['a time that is none', { ...trigger, expiresAt: 'never' }],
    ['a day that is none', { ...trigger, expiresAt: '2026-02-30T00:00:00Z' }],
    ['a second that is none', { ...trigger, expiresAt: '2026-12-31T23:59:60Z' }],
    ['a time without its zone', { ...trigger, expiresAt: '2026-03-01T13:00:00' }],
    ['a time as a number', { ...trigger, expiresAt: nowMs + 1000 }],
    ['no sequence', { ...trigger, sequence: undefined }],
    ['the sequence 0', { ...trigger, sequence: 0 }],
    ['a sequence that is no whole number', { ...trigger, sequence: 7.5 }],
    ['a sequence that a number cannot hold', { ...trigger, sequence: 2 ** 53 }],
    ['a sequence as a text', { ...trigger, sequence: '7' }],
    ['a field that is not known', { ...trigger, force: true }],
    ['a field of the node that is not known', { ...trigger, node: { site: 'oslo' } }],
    ['a node that is a text', { ...trigger, node: 'node-1' }],
    ['its fields on the prototype', `{"__proto__":${JSON.stringify(trigger)}}`],
  ])('is refused: %s', (_what, value) => {
    expect(codeFor(enveloped(value))).toBe('trigger-invalid');
  });

  it('is refused when it is not UTF-8', () => {
    const latin = Buffer.from(JSON.stringify({ ...trigger, node: { id: 'n\u00f6de' } }), 'latin1');
    expect(codeFor(dsseEnvelope(triggerPayloadType, latin, [fleet]))).toBe('trigger-invalid');
  });

  it('is refused with another payload type, signed for that type', () => {
    for (const type of [
      'application/vnd.in-toto+json',
      'application/vnd.kaon.trigger.v2+json',
      ` ${triggerPayloadType}`,
    ]) {
      expect(codeFor(dsseEnvelope(type, bytesOf(trigger), [fleet]))).toBe('trigger-invalid');
    }
  });
});

describe('an envelope that was damaged', () => {
  const good = enveloped(trigger);

  it('is never taken, and gives a coded error, for bits turned in payload or signature', () => {
    const payload = Buffer.from(good.payload, 'base64');
    for (let bit = 0; bit < payload.byteLength * 8; bit += 41) {
      const turned = Buffer.from(flipBit(payload, bit)).toString('base64');
      expect(codeFor({ ...good, payload: turned })).toBe('trigger-untrusted');
    }
    const sig = Buffer.from(good.signatures[0]!.sig, 'base64');
    for (let bit = 0; bit < sig.byteLength * 8; bit += 13) {
      const turned = Buffer.from(flipBit(sig, bit)).toString('base64');
      expect(codeFor({ ...good, signatures: [{ sig: turned }] })).toBe('trigger-untrusted');
    }
  });

  it('is never taken, and gives a coded error, for bits turned in its text, or any cut of it', () => {
    const text = Buffer.from(JSON.stringify({ ...good, signatures: [{ sig: good.signatures[0]!.sig }] }));
    const parsed = (bytes: Uint8Array): unknown => {
      try {
        return JSON.parse(Buffer.from(bytes).toString());
      } catch {
        return Buffer.from(bytes).toString();
      }
    };
    for (let bit = 0; bit < text.byteLength * 8; bit += 29) {
      expect(Object.keys(errorTable)).toContain(codeFor(parsed(flipBit(text, bit))));
    }
    for (let length = 0; length < text.byteLength; length += 1) {
      expect(codeFor(parsed(text.subarray(0, length)))).toBe('trigger-invalid');
    }
  });

  it('gives a coded error for base64 that was cut at any character', () => {
    for (let length = 0; length < good.payload.length; length += 5) {
      expect(['trigger-invalid', 'trigger-untrusted']).toContain(
        codeFor({ ...good, payload: good.payload.slice(0, length) }),
      );
    }
    const { sig } = good.signatures[0]!;
    for (let length = 0; length < sig.length; length += 3) {
      expect(['trigger-invalid', 'trigger-untrusted']).toContain(
        codeFor({ ...good, signatures: [{ sig: sig.slice(0, length) }] }),
      );
    }
  });

  it('gives a coded error when a signed payload is cut anywhere', () => {
    const whole = bytesOf(trigger);
    for (let length = 0; length < whole.byteLength; length += 7) {
      const cut = dsseEnvelope(triggerPayloadType, whole.subarray(0, length), [fleet]);
      expect(codeFor(cut)).toBe('trigger-invalid');
    }
  });
});
