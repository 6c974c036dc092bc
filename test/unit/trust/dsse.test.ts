import { describe, expect, it } from 'vitest';
import { parseEnvelope, preAuthEncoding } from '../../../agent/trust/dsse.ts';
import { codeOf } from './samples.ts';

const sig = 'c2ln';
const envelope = { payloadType: 'http://example.com/HelloWorld', payload: 'aGVsbG8gd29ybGQ=', signatures: [{ sig }] };

describe('the bytes that a DSSE signature covers', () => {
  it('are those of the specification', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', Buffer.from('hello world'));
    expect(Buffer.from(encoded).toString()).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  it('count bytes, not characters', () => {
    const encoded = Buffer.from(preAuthEncoding('\u00e4', Buffer.from('\u20ac')));
    expect(encoded.toString()).toBe('DSSEv1 2 \u00e4 3 \u20ac');
  });

  it('differ wherever type and payload differ, however they are joined', () => {
    const pairs = [
      ['a', 'b 1 c'],
      ['a 1 b', 'c'],
      ['', 'a'],
      ['a', ''],
    ] as const;
    const encoded = pairs.map(([type, body]) => Buffer.from(preAuthEncoding(type, Buffer.from(body))).toString());
    expect(new Set(encoded).size).toBe(pairs.length);
  });
});

describe('an envelope', () => {
  it('is decoded, its signatures as they are written', () => {
    expect(parseEnvelope({ ...envelope, signatures: [{ sig, keyid: 'one' }, { sig: 'AAAA' }] })).toEqual({
      payloadType: envelope.payloadType,
      payload: new Uint8Array(Buffer.from('hello world')),
      signatures: [sig, 'AAAA'],
    });
  });

  it('may have fields that are not known', () => {
    const later = { ...envelope, later: 1, signatures: [{ sig, extension: { kind: 'x' } }] };
    expect(parseEnvelope(later).signatures).toEqual([sig]);
  });

  it.each<[string, unknown, string]>([
    ['nothing', undefined, ''],
    ['a text', JSON.stringify(envelope), ''],
    ['a list', [envelope], ''],
    ['no payload type', { ...envelope, payloadType: undefined }, 'payloadType'],
    ['an empty payload type', { ...envelope, payloadType: '' }, 'payloadType'],
    ['a payload type that is too long', { ...envelope, payloadType: 'x'.repeat(257) }, 'payloadType'],
    ['no payload', { ...envelope, payload: undefined }, 'payload'],
    ['a payload that is no base64', { ...envelope, payload: 'hello!' }, 'payload'],
    ['a payload whose base64 was cut', { ...envelope, payload: 'aGVsbG8gd29ybGQ' }, 'payload'],
    ['a payload with bits behind its last byte', { ...envelope, payload: 'aGVsbG8gd29ybGR=' }, 'payload'],
    ['a payload in the URL-safe alphabet', { ...envelope, payload: '_-8=' }, 'payload'],
    ['a payload with line ends', { ...envelope, payload: 'aGVs\nbG8=' }, 'payload'],
    ['a payload of more than 64 KiB', { ...envelope, payload: 'AAAA'.repeat(16 * 1024 + 1) }, 'payload'],
    ['no signatures', { ...envelope, signatures: undefined }, 'signatures'],
    ['an empty list of signatures', { ...envelope, signatures: [] }, 'signatures'],
    ['more than 16 signatures', { ...envelope, signatures: Array.from({ length: 17 }, () => ({ sig })) }, 'signatures'],
    ['a signature that is a text', { ...envelope, signatures: [sig] }, 'signatures.0'],
    ['a signature without its bytes', { ...envelope, signatures: [{ sig }, { keyid: 'one' }] }, 'signatures.1.sig'],
    ['an empty signature', { ...envelope, signatures: [{ sig: '' }] }, 'signatures.0.sig'],
    ['a signature that is too long', { ...envelope, signatures: [{ sig: 'A'.repeat(4097) }] }, 'signatures.0.sig'],
    ['a key id that is no text', { ...envelope, signatures: [{ sig, keyid: 1 }] }, 'signatures.0.keyid'],
  ])('is refused with %s, and the message names the field', (_what, value, path) => {
    expect(codeOf(() => parseEnvelope(value))).toBe('trigger-invalid');
    expect(() => parseEnvelope(value)).toThrow(path);
  });
});
