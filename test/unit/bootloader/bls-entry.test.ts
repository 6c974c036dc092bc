import { describe, expect, it } from 'vitest';
import {
  formatEntry,
  formatEntryName,
  loaderPathOf,
  parseEntry,
  parseEntryName,
  valueOf,
  withValue,
} from '../../../bootloader/bls-entry.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const text = [
  '# made by hand',
  'title   Füße & co',
  '\tversion 6.1.0-13  ',
  'sort-key',
  'grub_users $grub_users',
  'linux /kaon-a/vmlinuz',
  'initrd /kaon-a/ucode.img',
  'initrd /kaon-a/initrd.img',
  'options root=PARTLABEL=root-a',
  'options quiet',
  '',
].join('\n');

function entryOf(content: string) {
  return parseEntry(Buffer.from(content, 'utf8'));
}

describe('an entry', () => {
  it('comes out byte for byte as it went in', () => {
    const bytes = Buffer.from(text, 'utf8');
    expect(Buffer.compare(formatEntry(parseEntry(bytes)), bytes)).toBe(0);
  });

  it('gives values without the blanks around them, and none for comments and bare keys', () => {
    const entry = entryOf(text);
    expect(valueOf(entry, 'version')).toBe('6.1.0-13');
    expect(valueOf(entry, 'sort-key')).toBeUndefined();
    expect(valueOf(entry, '#')).toBeUndefined();
    expect(valueOf(entry, 'options')).toBe('quiet');
  });

  it('keeps unknown keys, comments and order when a value changes', () => {
    const changed = Buffer.from(formatEntry(withValue(entryOf(text), 'version', '7'))).toString('utf8');
    expect(changed).toBe(text.replace('\tversion 6.1.0-13  ', 'version 7'));
  });

  it('gets a new key at its end, and keeps one of several of a key that counts once', () => {
    expect(String(formatEntry(withValue(entryOf('linux /k\n'), 'version', '1')))).toBe('linux /k\nversion 1\n');
    expect(String(formatEntry(withValue(entryOf('version 1\nlinux /k\nversion 2\n'), 'version', '3')))).toBe(
      'linux /k\nversion 3\n',
    );
  });

  it.each(['linux /a/b/vmlinuz', 'efi \\a\\b\\vmlinuz', 'uki a//b/vmlinuz', 'linux /old\nlinux /a/b/vmlinuz'])(
    'names the file that starts: %j',
    (line) => {
      expect(loaderPathOf(entryOf(line))).toBe('a/b/vmlinuz');
    },
  );

  it('has no file to start when it is empty, torn before the key, or only zeros', () => {
    for (const content of ['', 'title x\nlin', '\0'.repeat(512), 'title x\0\nlinux /k']) {
      expect(loaderPathOf(entryOf(content))).toBeUndefined();
    }
  });

  it('reads lines that end with CR, LF or both', () => {
    const entry = entryOf('version 1\r\nlinux /k\rsort-key s\n');
    expect([valueOf(entry, 'version'), loaderPathOf(entry), valueOf(entry, 'sort-key')]).toEqual(['1', 'k', 's']);
  });

  it('is read from any bytes without an error, and reads the same again after it was written', () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 500; round += 1) {
      const bytes = Buffer.from(text, 'utf8').subarray(0, random.below(text.length));
      if (bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      const entry = parseEntry(bytes);
      const again = parseEntry(formatEntry(entry));
      expect(again).toEqual(entry);
    }
  });
});

describe('an entry’s name', () => {
  it.each([
    ['kaon-a.conf', 'kaon-a', undefined],
    ['kaon-b+3.conf', 'kaon-b', { left: 3, done: 0 }],
    ['kaon-b+2-1.conf', 'kaon-b', { left: 2, done: 1 }],
    ['kaon-b+0-3.conf', 'kaon-b', { left: 0, done: 3 }],
    ['kaon-b+12-34.efi', 'kaon-b', { left: 12, done: 34 }],
    ['a+b+1.conf', 'a+b', { left: 1, done: 0 }],
  ] as const)('%s carries its counter, and comes out as it went in', (file, id, counter) => {
    const name = parseEntryName(file);
    expect(name).toMatchObject({ id, counter });
    expect(formatEntryName(name!)).toBe(file);
  });

  it.each(['kaon+.conf', 'kaon+1-.conf', 'kaon+-1.conf', 'kaon+1-2-3.conf', 'kaon+3x.conf', 'kaon+2147483648.conf'])(
    '%s has no counter for the loader',
    (file) => {
      expect(parseEntryName(file)?.counter).toBeUndefined();
    },
  );

  it.each(['kaon-b.conf.staged', 'kaon-b.conf.tmp', '.kaon-a.conf', 'auto-windows.conf', 'kaon-a', '.conf'])(
    '%s is not listed',
    (file) => {
      expect(parseEntryName(file)).toBeUndefined();
    },
  );
});
