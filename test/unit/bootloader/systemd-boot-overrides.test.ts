import { describe, expect, it } from 'vitest';
import { describeOverride, findOverrides, matchesGlob } from '../../../bootloader/systemd-boot-overrides.ts';

describe('findOverrides', () => {
  it('finds nothing where nothing chooses', () => {
    expect(findOverrides(undefined, {})).toEqual([]);
    expect(findOverrides(Buffer.from('timeout 3\n#default kaon-a.conf\neditor no\ndefault\n'), {})).toEqual([]);
  });

  it('names the line that counts: the last of a key, with its number', () => {
    const config = Buffer.from('timeout 0\ndefault old.conf\n\ndefault "kaon-a.conf"\npreferred kaon-b*\n');
    expect(findOverrides(config, {})).toEqual([
      { source: 'preferred', pattern: 'kaon-b*', line: 5 },
      { source: 'default', pattern: 'kaon-a.conf', line: 4 },
    ]);
  });

  it('puts what the loader asks first in front', () => {
    const sources = findOverrides(Buffer.from('default x\npreferred y\n'), {
      LoaderEntryDefault: 'a',
      LoaderEntryPreferred: 'b',
      LoaderEntryOneShot: 'c',
    }).map(({ source }) => source);
    expect(sources).toEqual([
      'LoaderEntryOneShot',
      'LoaderEntryPreferred',
      'preferred',
      'LoaderEntryDefault',
      'default',
    ]);
  });

  it('tells an operator what to do about each', () => {
    const [variable, line] = findOverrides(Buffer.from('default kaon-a.conf\n'), { LoaderEntryDefault: 'kaon-b.conf' });
    expect(describeOverride(variable!, 'default kaon-*')).toContain('bootctl set-default ""');
    expect(describeOverride(line!, 'default kaon-*')).toContain('line 1 of loader/loader.conf');
  });
});

describe('the loader’s globs', () => {
  it.each([
    ['kaon-*', 'kaon-b.conf', true],
    ['KAON-?.conf', 'kaon-a.conf', true],
    ['kaon-[ab].conf', 'kaon-b.conf', true],
    ['kaon-[c-z].conf', 'kaon-b.conf', false],
    ['kaon-[a-c].conf', 'kaon-b.conf', true],
    ['*b*.conf', 'kaon-b+2-1.conf', true],
    ['kaon-a', 'kaon-a.conf', false],
    ['', 'kaon-a.conf', false],
    ['*', '', true],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['[', '[', true],
  ])('%j against %j: %s', (pattern, id, matches) => {
    expect(matchesGlob(pattern, id)).toBe(matches);
  });

  it('take no longer than pattern times id, whatever the pattern', () => {
    expect(matchesGlob('*a'.repeat(5000) + 'b', 'a'.repeat(200))).toBe(false);
  });
});
