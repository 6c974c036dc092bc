import { describe, expect, it } from 'vitest';
import { parseSimpleSigning } from '../../../agent/trust/simple-signing.ts';
import { simpleSigningPayload } from '../../fakes/signer.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const image = { 'docker-manifest-digest': digest };
const identity = { 'docker-reference': 'registry.test/os/edge' };
const type = 'cosign container image signature';
const critical = { identity, image, type };
const parse = (value: unknown) =>
  parseSimpleSigning(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

describe('a simple signing payload', () => {
  it('says for which digest it is', () => {
    expect(parseSimpleSigning(simpleSigningPayload(digest))).toEqual({ digest });
    expect(parse({ critical, optional: null })).toEqual({ digest });
  });

  it('may carry fields that are not known, claims, spaces, and no identity', () => {
    const claims = { creator: 'ci', timestamp: 1 };
    expect(parse({ critical: { ...critical, more: 1 }, optional: claims, later: [] })).toEqual({ digest });
    expect(parse({ critical: { image: { ...image, more: 1 }, type } })).toEqual({ digest });
    expect(parse(JSON.stringify({ critical }, null, 4))).toEqual({ digest });
  });

  it.each<[string, unknown]>([
    ['nothing', ''],
    ['no JSON', '{'],
    ['a text', JSON.stringify(digest)],
    ['a list', [{ critical }]],
    ['null', 'null'],
    ['no critical', { optional: null }],
    ['critical that is null', { critical: null }],
    ['no type', { critical: { identity, image } }],
    ['another type', { critical: { ...critical, type: 'atomic container signature' } }],
    ['a type in other letters', { critical: { ...critical, type: type.toUpperCase() } }],
    ['a type that is a list', { critical: { ...critical, type: [type] } }],
    ['no image', { critical: { identity, type } }],
    ['no digest', { critical: { ...critical, image: {} } }],
    ['a digest that is no text', { critical: { ...critical, image: { 'docker-manifest-digest': [digest] } } }],
    ['an identity that is no object', { critical: { ...critical, identity: 'registry.test/os/edge' } }],
    ['a reference that is no text', { critical: { ...critical, identity: { 'docker-reference': 1 } } }],
    ['an in-toto statement', { _type: 'https://in-toto.io/Statement/v1', subject: [{ digest: { sha256: '0a' } }] }],
    ['its fields on the prototype', `{"__proto__":${JSON.stringify({ critical })}}`],
  ])('is nothing that says anything about an image when it has %s', (_what, value) => {
    expect(parse(value)).toBeUndefined();
  });

  it('is not read when it is not UTF-8, or larger than 1 MiB', () => {
    const latin = Buffer.from(JSON.stringify({ critical, optional: { by: '\u00e9' } }), 'latin1');
    expect(parseSimpleSigning(latin)).toBeUndefined();
    const payload = JSON.stringify({ critical });
    expect(parse(payload.padEnd(1024 * 1024))).toEqual({ digest });
    expect(parse(payload.padEnd(1024 * 1024 + 1))).toBeUndefined();
  });
});
