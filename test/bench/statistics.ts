/** The middle of `values`, the mean of the two middle ones where their number is even. Throws `RangeError` for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1, middle + 1);
  if (low === undefined || high === undefined) throw new RangeError('cannot take the median of no values');
  return (low + high) / 2;
}

/** The smallest value that at least `share` (0 to 1) of `values` do not exceed. Throws `RangeError` for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const found = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (found === undefined) throw new RangeError('cannot take a percentile of no values');
  return found;
}

/** Ours over theirs, round by round: both sides of a round ran next to each other. */
export function ratios(ours: readonly number[], theirs: readonly number[]): readonly number[] {
  if (ours.length !== theirs.length) throw new RangeError('cannot compare: the rounds are not the same');
  return ours.map((value, index) => value / (theirs[index] ?? Number.NaN));
}

/** `items` as round `round` runs them: each round begins with another one, so that none always follows the same. */
export function inTurn<T>(items: readonly T[], round: number): readonly T[] {
  const start = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
