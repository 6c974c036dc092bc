import { describe, expect, it } from 'vitest';
import { closedRanges, formatRange, rangesAfter, skipOf } from '../../../agent/oci/range.ts';

const range = { start: 100, end: 999 };
const answer = (status: number, contentRange?: string, contentLength?: number) => ({
  status,
  contentRange,
  contentLength,
});

describe('skipOf', () => {
  it.each([
    ['the whole, asked for', answer(200, undefined, 1000), undefined, 0],
    ['the whole without a length', answer(200), undefined, 0],
    ['the range', answer(206, 'bytes 100-999/1000', 900), range, 0],
    ['the range of an unknown total', answer(206, 'bytes 100-999/*'), range, 0],
    ['the whole in place of the range', answer(200, undefined, 1000), range, 100],
  ])('takes %s', (_name, head, asked, skip) => {
    expect(skipOf(head, asked, 1000, 'layer x')).toBe(skip);
  });

  it.each([
    ['a part that was not asked for', answer(206, 'bytes 0-999/1000'), undefined, 'registry-protocol-invalid'],
    ['no Content-Range', answer(206), range, 'registry-protocol-invalid'],
    ['another start', answer(206, 'bytes 99-999/1000'), range, 'registry-protocol-invalid'],
    ['another end', answer(206, 'bytes 100-998/1000'), range, 'registry-protocol-invalid'],
    ['another total', answer(206, 'bytes 100-999/1001'), range, 'registry-protocol-invalid'],
    ['another unit', answer(206, 'lines 100-999/1000'), range, 'registry-protocol-invalid'],
    ['a number that is none', answer(206, 'bytes 100-1e3/1000'), range, 'registry-protocol-invalid'],
    ['a length that is not of the range', answer(206, 'bytes 100-999/1000', 901), range, 'registry-protocol-invalid'],
    ['416', answer(416, 'bytes */50'), range, 'registry-protocol-invalid'],
    ['204', answer(204), range, 'registry-protocol-invalid'],
    ['a whole that is larger', answer(200, undefined, 1001), undefined, 'response-too-large'],
    ['a whole that is smaller', answer(200, undefined, 999), range, 'download-truncated'],
  ])('refuses %s', (_name, head, asked, code) => {
    expect(() => skipOf(head, asked, 1000, 'layer x')).toThrow(expect.objectContaining({ code }));
  });

  it('asks for closed ranges', () => {
    expect(formatRange(range)).toBe('bytes=100-999');
  });
});

describe('what is left of ranges', () => {
  const ranges = closedRanges(
    [
      { offset: 5, sizeBytes: 5 },
      { offset: 10, sizeBytes: 5 },
      { offset: 30, sizeBytes: 10 },
    ],
    100,
  );

  it.each([
    [0, [5, 14, 30, 39]],
    [3, [8, 14, 30, 39]],
    [10, [30, 39]],
    [19, [39, 39]],
    [20, []],
  ])('after %i bytes', (doneBytes, ends) => {
    expect(rangesAfter(ranges, doneBytes).flatMap(({ start, end }) => [start, end])).toEqual(ends);
  });

  it('is nothing of an empty layer', () => {
    expect(closedRanges(undefined, 0)).toEqual([]);
  });
});
