import { describe, expect, it } from 'vitest';
import { parseEntry, parseEntryName, valueOf } from '../../../bootloader/bls-entry.ts';
import { findOverrides } from '../../../bootloader/systemd-boot-overrides.ts';
import {
  aboveOthers,
  checkEntryPrefix,
  type Menu,
  type MenuEntry,
  namesOf,
  slotOf,
  sortMenu,
  systemdBootStatus,
  takenNames,
} from '../../../bootloader/systemd-boot-state.ts';

function entryOf(file: string, text = ''): MenuEntry {
  const name = parseEntryName(file)!;
  return { file, name, entry: parseEntry(Buffer.from(text)), slot: slotOf('kaon', name), isListed: true };
}

function kaon(file: string, version: number): MenuEntry {
  return entryOf(file, `sort-key kaon\nversion ${version}\n`);
}

function menuOf(entries: readonly MenuEntry[], more: Partial<Menu> = {}): Menu {
  return { entries, overrides: [], ...more };
}

describe('the loader’s order', () => {
  it('is: used up last, then sort key, machine id, newest version, then names', () => {
    const wanted = [
      entryOf('x1.conf', 'sort-key a\nmachine-id 2\nversion 1\n'),
      entryOf('x2.conf', 'sort-key b\nversion 1\n'),
      entryOf('x3.conf', 'sort-key b\nmachine-id 1\nversion 10\n'),
      entryOf('x4+1.conf', 'sort-key b\nmachine-id 1\nversion 9\n'),
      entryOf('x5.conf', 'sort-key b\nmachine-id 2\nversion 11\n'),
      entryOf('z10.conf', 'version 1\n'),
      entryOf('z9.conf', 'version 2\n'),
      entryOf('x6+0-3.conf', 'sort-key a\nversion 99\n'),
    ];
    expect(sortMenu(wanted.toReversed()).map(({ file }) => file)).toEqual(wanted.map(({ file }) => file));
  });

  it('passes over what the loader does not list', () => {
    expect(sortMenu([{ ...kaon('kaon-a.conf', 1), isListed: false }])).toEqual([]);
  });
});

describe('the status', () => {
  it('takes a slot without an entry for bad, without a counter for good, with one for a trial', () => {
    const status = systemdBootStatus(menuOf([kaon('kaon-a.conf', 1), kaon('kaon-b+2-1.conf', 2)]));
    expect(status).toMatchObject({
      primary: 'b',
      trial: 'b',
      trialTries: 3,
      slots: { b: { state: 'trial', triesLeft: 2 } },
    });
    expect(systemdBootStatus(menuOf([kaon('kaon-a.conf', 1)]))).toMatchObject({
      primary: 'a',
      trial: undefined,
      slots: { a: { state: 'good' }, b: { state: 'bad', triesLeft: 0 } },
    });
  });

  it('shows a trial that is used up until somebody marks it bad', () => {
    const status = systemdBootStatus(menuOf([kaon('kaon-a.conf', 1), kaon('kaon-b+0-3.conf', 2)]));
    expect(status).toMatchObject({ primary: 'a', trial: 'b', trialTries: 3, slots: { b: { triesLeft: 0 } } });
  });

  it('has no primary when an entry that is not ours stands first, or may', () => {
    const ours = [kaon('kaon-a.conf', 1)];
    expect(systemdBootStatus(menuOf([...ours, entryOf('rescue.conf', 'sort-key a\n')])).primary).toBeUndefined();
    expect(systemdBootStatus(menuOf([...ours, entryOf('rescue.conf')])).primary).toBe('a');
    expect(systemdBootStatus(menuOf([...ours, entryOf('linux.efi', 'sort-key a\n')])).primary).toBeUndefined();
    expect(systemdBootStatus(menuOf([...ours, entryOf('linux.efi', 'sort-key z\n')])).primary).toBe('a');
    expect(systemdBootStatus(menuOf([])).primary).toBeUndefined();
  });

  it.each([
    ['default kaon-a.conf', 'a'],
    ['default kaon-b*', 'b'],
    ['default kaon-a*', 'a'],
    ['preferred kaon-b.conf', 'b'],
    ['default nothing.conf', 'b'],
    ['default kaon-*', 'b'],
    ['default @saved', undefined],
    ['default rescue.conf', undefined],
    ['preferred kaon-a*', 'a'],
  ])('follows %j', (line, primary) => {
    const overrides = findOverrides(Buffer.from(`${line}\n`), {});
    const entries = [kaon('kaon-a.conf', 1), kaon('kaon-b+2-1.conf', 2), entryOf('rescue.conf')];
    expect(systemdBootStatus(menuOf(entries, { overrides })).primary).toBe(primary);
  });

  it('knows that preferred passes over a used-up trial, and default does not', () => {
    const entries = [kaon('kaon-a.conf', 1), kaon('kaon-b+0-3.conf', 2)];
    const primaryBy = (line: string) =>
      systemdBootStatus(menuOf(entries, { overrides: findOverrides(Buffer.from(line), {}) })).primary;
    expect(primaryBy('preferred kaon-b*')).toBe('a');
    expect(primaryBy('default kaon-b*')).toBe('b');
  });

  it('does not tell a primary where loaders of different versions choose differently', () => {
    const overrides = findOverrides(Buffer.from('default kaon-b.conf\n'), {});
    const entries = [kaon('kaon-a.conf', 1), kaon('kaon-b+0-3.conf', 2)];
    expect(systemdBootStatus(menuOf(entries, { overrides })).primary).toBeUndefined();
  });

  it('lets a default for both slots choose them over images in EFI/Linux', () => {
    const overrides = findOverrides(Buffer.from('default kaon-*\n'), {});
    const withImage = (file: string) => menuOf([kaon('kaon-a.conf', 1), entryOf(file, 'sort-key a\n')], { overrides });
    expect(systemdBootStatus(withImage('x.efi')).primary).toBe('a');
    expect(systemdBootStatus(withImage('kaon-c.efi')).primary).toBeUndefined();
  });
});

describe('names and versions', () => {
  it('tells whether a pattern leaves both slots to their order, counted or not', () => {
    const takes = (pattern: string) =>
      takenNames(namesOf(['kaon-a', 'kaon-b'], '.conf'), { source: 'default', pattern, line: 1 });
    expect(['kaon-*', '*', 'kaon-?.conf', 'kaon-a*', 'kaon-b+0*', 'kaon', 'rescue*'].map(takes)).toEqual([
      'all',
      'all',
      'some',
      'some',
      'some',
      'none',
      'none',
    ]);
  });

  it.each([
    ['9', '10'],
    ['', '1'],
    ['6.1.0-13', '7'],
    ['abc', '1'],
    ['99999999999999999999', '100000000000000000000'],
  ])('puts a number above version %j', (version, next) => {
    const above = aboveOthers('kaon', entryOf('kaon-b.conf').entry, [entryOf('x.conf', `version ${version}\n`).entry]);
    expect(valueOf(above, 'version')).toBe(next);
    expect(valueOf(above, 'sort-key')).toBe('kaon');
  });

  it('refuses a version that no number of ours is above', () => {
    const other = entryOf('kaon-a.conf', `version .${'9'.repeat(40)}\n`).entry;
    expect(() => aboveOthers('kaon', other, [entryOf('x.conf', `version ${'9'.repeat(40)}\n`).entry])).toThrow(
      expect.objectContaining({ code: 'bootloader-unsupported' }),
    );
  });

  it.each(['', 'Kaon', 'a+b', 'a/b', 'auto-x', '.a', 'x'.repeat(33)])('refuses %j as entry prefix', (prefix) => {
    expect(() => {
      checkEntryPrefix(prefix);
    }).toThrow(expect.objectContaining({ code: 'bootloader-unsupported' }));
  });
});
