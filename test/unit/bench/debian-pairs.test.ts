import { expect, it } from 'vitest';
import { sourceLines } from '../../bench/debian-pairs.ts';

const targets = `http://archive.test/debian/ bookworm main
http://archive.test/debian/ bookworm contrib
http://archive.test/debian-security/ bookworm-security main
http://tools.test/apt tools main
`;

it('the pairs come from where apt has its own packages from', () => {
  expect(sourceLines(targets, ['bookworm', 'bookworm-security'])).toEqual([
    'deb http://archive.test/debian/ bookworm main',
    'deb http://archive.test/debian-security/ bookworm-security main',
  ]);
  expect(() => sourceLines(targets, ['bookworm-updates'])).toThrow('apt knows no bookworm-updates main');
});
