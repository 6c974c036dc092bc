import { describe, expect, it } from 'vitest';
import { algorithmOf, digestOf, isDigest } from '../../../agent/core/image-format/digest.ts';

describe('digests', () => {
  it('are computed as sha256sum and sha512sum do', () => {
    // printf '{}' | sha256sum; printf '{}' | sha512sum
    const short = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';
    const long =
      'sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd';
    expect(digestOf(Buffer.from('{}'))).toBe(short);
    expect(digestOf(Buffer.from('{}'), 'sha512')).toBe(long);
    expect([algorithmOf(short), algorithmOf(long)]).toEqual(['sha256', 'sha512']);
  });

  it.each([
    '',
    'sha256',
    'sha256:',
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${'a'.repeat(64)}`,
    `sha384:${'a'.repeat(96)}`,
    ` sha256:${'a'.repeat(64)}`,
    `sha256:${'a'.repeat(64)}\n`,
    `sha256-${'a'.repeat(64)}`,
  ])('are not %j', (text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => algorithmOf(text)).toThrow(expect.objectContaining({ code: 'manifest-invalid' }));
  });
});
