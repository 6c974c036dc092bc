import { describe, expect, it } from 'vitest';
import { parseJson } from '../../../agent/core/image-format/manifest.ts';
import { ambiguityOf } from '../../../agent/core/image-format/strict-json.ts';

describe('JSON that readers could read in two ways', () => {
  it.each([
    ['{"a":1,"b":{"a":[{"a":1},{"a":2}]}}'],
    ['{"a":"{\\"a\\":1,\\"a\\":2}","b\\\\":"\\",\\"b\\\\\\\\\\""}'],
    ['[["a","a"],"a","a"]'],
    [`${'['.repeat(32)}${']'.repeat(32)}`],
    ['{"x":["a",{"b":1}],"a":{},"b":[]}'],
  ])('is not %s', (text) => {
    expect(JSON.parse(text)).toBeDefined();
    expect(ambiguityOf(text)).toBeUndefined();
  });

  it.each([
    ['{"a":1,"a":2}', 'comes twice'],
    ['{"b":[{"a":{},"c":[1,2],"a":2}]}', 'comes twice'],
    ['{"digest":1,"d\\u0069gest":2}', 'comes twice'],
    ['{"__proto__":{"a":1}}', '__proto__'],
    ['[{"__pro\\u0074o__":1}]', '__proto__'],
    [`${'['.repeat(33)}${']'.repeat(33)}`, 'nested'],
    ['{"a":'.repeat(100_000), 'nested'],
  ])('is %.40s', (text, reason) => {
    expect(ambiguityOf(text)).toContain(reason);
    expect(() => parseJson(Buffer.from(text), 'it', 1024 * 1024)).toThrow(
      expect.objectContaining({ code: 'manifest-invalid' }),
    );
  });
});
