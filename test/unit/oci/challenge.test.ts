import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../../agent/oci/challenge.ts';

function parse(header: string) {
  return parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]);
}

describe('parseChallenges', () => {
  it('reads a bearer challenge with commas inside its quotes', () => {
    const header = 'Bearer realm="https://auth.test/token",service="a, b=c",scope="repository:os/edge:pull,push"';
    expect(parse(header)).toEqual([
      ['bearer', { realm: 'https://auth.test/token', service: 'a, b=c', scope: 'repository:os/edge:pull,push' }],
    ]);
  });

  it.each([
    ['Basic realm=plain', [['basic', { realm: 'plain' }]]],
    ['BASIC Realm = "a \\"b\\" c"', [['basic', { realm: 'a "b" c' }]]],
    ['Negotiate', [['negotiate', {}]]],
    [
      'Negotiate abc123==, Basic realm="r"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'r' }],
      ],
    ],
    [
      'Basic realm="r", Bearer realm="s",service="t"',
      [
        ['basic', { realm: 'r' }],
        ['bearer', { realm: 's', service: 't' }],
      ],
    ],
    [', Basic realm="r" ,', [['basic', { realm: 'r' }]]],
    ['Basic realm=""', [['basic', { realm: '' }]]],
    ['', []],
  ])('reads %j', (header, expected) => {
    expect(parse(header)).toEqual(expected);
  });

  it.each([
    'Bearer realm="open',
    'Bearer realm="a"x, b="c"',
    '="x"',
    'Bearer realm="a",realm="b"',
    'Basic \u0001',
    'x'.repeat(9000),
  ])('refuses %j', (header) => {
    expect(() => parseChallenges(header)).toThrow(expect.objectContaining({ code: 'registry-protocol-invalid' }));
  });

  it('keeps a parameter named like a property of objects apart from them', () => {
    expect(parseChallenges('Bearer __proto__="x"')[0]?.params.get('__proto__')).toBe('x');
  });
});
