import { expect, it } from 'vitest';
import { inTurn, median, percentile, ratios } from '../../bench/statistics.ts';

it('the median is the middle value, or the mean of the two middle ones', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 3])).toBe(4);
  expect(() => median([])).toThrow(RangeError);
});

it('a percentile is a value that was measured', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect(percentile(values, 0.99)).toBe(198);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([3, 1, 2], 0)).toBe(1);
  expect(() => percentile([], 0.5)).toThrow(RangeError);
});

it('ratios are taken within their rounds', () => {
  expect(ratios([1, 4], [2, 2])).toEqual([0.5, 2]);
  expect(() => ratios([1, 2], [1])).toThrow('the rounds are not the same');
});

it('each round begins with another contender, and all of them run in it', () => {
  const orders = [0, 1, 2, 3].map((round) => inTurn(['a', 'b', 'c'], round).join(''));
  expect(orders).toEqual(['abc', 'bca', 'cab', 'abc']);
});
