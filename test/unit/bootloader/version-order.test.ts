import { describe, expect, it } from 'vitest';
import { compareVersions } from '../../../bootloader/version-order.ts';

/** As `systemd-analyze compare-versions` orders them, the oldest first. */
const ascending = [
  '~',
  '',
  '-',
  '^',
  '.',
  'a',
  'abc',
  'abcde',
  '1~rc1',
  '1',
  '2',
  '9',
  '10',
  '122.1',
  '123~rc1-1',
  '123',
  '123-a',
  '123-a.1',
  '123-1',
  '123-1.1',
  '123^post1',
  '123.a-1',
  '123.1-1',
  '123a-1',
  '124-1',
  '99999999999999999999998',
  '99999999999999999999999',
];

describe('the order of versions', () => {
  it('is the one that systemd’s tools tell, for every pair', () => {
    for (const [i, first] of ascending.entries()) {
      for (const [j, second] of ascending.entries()) {
        expect(Math.sign(compareVersions(first, second)), `${first} against ${second}`).toBe(Math.sign(i - j));
      }
    }
  });

  it('does not count leading zeros and what is neither letter, digit nor separator', () => {
    expect(compareVersions('00123', '123')).toBe(0);
    expect(compareVersions('123_a', '123a')).toBe(0);
    expect(compareVersions('1_2', '12')).toBeLessThan(0);
    expect(compareVersions('é', '')).toBe(0);
  });

  it('comes to an end for every short text', () => {
    const letters = ['~', '-', '^', '.', '_', '0', '1', 'a'];
    const texts = letters.flatMap((x) => letters.flatMap((y) => letters.map((z) => x + y + z)));
    for (const [index, text] of texts.entries()) {
      const other = texts[(index * 37) % texts.length] ?? '';
      expect(Math.sign(compareVersions(text, other)) + Math.sign(compareVersions(other, text))).toBe(0);
    }
  });
});
