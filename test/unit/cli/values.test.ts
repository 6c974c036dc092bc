import { describe, expect, it } from 'vitest';
import { EventStreamParser, messageLimit } from '../../../agent/cli/event-stream.ts';
import {
  formatBytes,
  formatDuration,
  formatTime,
  printable,
  printableLines,
  shortDigest,
} from '../../../agent/cli/format-values.ts';
import { collected, durationMs, endTime, namedValues, size, wholeNumber } from '../../../agent/cli/option-values.ts';

describe('values for people', () => {
  it.each([
    [850, '850ms'],
    [42_000, '42s'],
    [185_000, '3m 05s'],
    [3_599_600, '1h 00m'],
    [7_440_000, '2h 04m'],
    [442_800_000, '5d 3h'],
    [-1, '?'],
    [Number.NaN, '?'],
  ])('a duration of %d ms is %s', (value, text) => {
    expect(formatDuration(value)).toBe(text);
  });

  it.each([
    [0, '0 B'],
    [512, '512 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [20 * 1024 ** 2, '20 MiB'],
    [1024 ** 3 - 1, '1.0 GiB'],
    [-1, '?'],
  ])('a size of %d bytes is %s', (value, text) => {
    expect(formatBytes(value)).toBe(text);
  });

  it('times are shown to the second, and what is none as it is', () => {
    expect(formatTime('2026-01-31T14:05:09.123Z')).toBe('2026-01-31 14:05:09Z');
    expect(formatTime('soon\u0007')).toBe('soon?');
    expect(formatTime(undefined)).toBe('-');
  });

  it('digests keep their algorithm', () => {
    expect(shortDigest(`sha256:${'0123456789ab'.repeat(5)}`)).toBe('sha256:0123456789ab…');
    expect(shortDigest('odd')).toBe('odd');
  });

  it('text from outside can neither break a line nor steer the terminal', () => {
    expect(printable('a\nb\tc\u001b[2J\u0007\u202e\u2066é')).toBe('a b c?[2J???é');
    expect(printableLines('a\r\nb\u001bc\n', '> ')).toBe('> a\n> b?c');
  });
});

describe('option values', () => {
  it('numbers have bounds', () => {
    expect(wholeNumber(1, 200)('200')).toBe(200);
    for (const bad of ['0', '201', '1.5', '-1', '1e2', '', 'x']) expect(() => wholeNumber(1, 200)(bad)).toThrow(/Want/);
  });

  it('sizes and durations have units', () => {
    expect(size(4096, 1024 ** 2)('1MiB')).toBe(1024 ** 2);
    for (const bad of ['1', '1MB', '2MiB', '1KiB']) expect(() => size(4096, 1024 ** 2)(bad)).toThrow(/Want/);
    expect(durationMs('2h')).toBe(7_200_000);
    for (const bad of ['2', '0s', 'h']) expect(() => durationMs(bad)).toThrow(/Want/);
  });

  it('an end is a duration or a time with its zone', () => {
    expect(endTime('90m')).toEqual({ inMs: 5_400_000 });
    expect(endTime('2026-01-31T06:00:00+01:00')).toEqual({ atMs: Date.UTC(2026, 0, 31, 5) });
    for (const bad of ['2026-01-31T06:00:00', '2026-01-31', 'tomorrow', '2026-13-31T06:00:00Z'])
      expect(() => endTime(bad)).toThrow(/Want/);
  });

  it('names with values may be repeated, but no name twice', () => {
    const one = namedValues('root=a=b.img');
    expect(namedValues('boot=c.img', one)).toEqual([
      { name: 'root', value: 'a=b.img' },
      { name: 'boot', value: 'c.img' },
    ]);
    expect(() => namedValues('root=other', one)).toThrow(/twice/);
    for (const bad of ['root', '=x', 'root=', '../x=y']) expect(() => namedValues(bad)).toThrow(/Want/);
    expect(collected('b', collected('a'))).toEqual(['a', 'b']);
  });
});

describe('a stream of events', () => {
  it('is the same however it is cut', () => {
    const text = ': hello\n\nid: 1\nevent: x\ndata: {"a":\ndata: 1}\n\nid: 2\r\ndata: two\r\n\r\n';
    const whole = new EventStreamParser().push(text);
    expect(whole).toEqual([
      { id: '1', data: '{"a":\n1}' },
      { id: '2', data: 'two' },
    ]);
    const parser = new EventStreamParser();
    expect(Array.from(text, (character) => parser.push(character)).flat()).toEqual(whole);
  });

  it('is refused when a message never ends', () => {
    const parser = new EventStreamParser();
    expect(() => parser.push('x'.repeat(messageLimit + 1))).toThrow(RangeError);
    const lines = new EventStreamParser();
    expect(() => {
      for (let count = 0; count < 20; count++) lines.push(`data: ${'x'.repeat(messageLimit / 10)}\n`);
    }).toThrow(RangeError);
  });
});
