import { expect, it } from 'vitest';
import { groupsOf, parseOptions } from '../../bench/options.ts';
import { benchRows } from '../../bench/rows.ts';

it('without options all rows run, five rounds of a gibibyte', () => {
  const options = parseOptions([]);
  expect(options).toMatchObject({ rounds: 5, sizeBytes: 1024 ** 3, isQuick: false, isFromSources: false });
  expect(options).toHaveProperty(
    'rows',
    benchRows.map(({ name }) => name),
  );
});

it('rows that come from the same runs are one group', () => {
  expect(groupsOf(['install', 'page-cache', 'idle-rss'])).toEqual(['install', 'idle']);
});

it.each([
  [['--only', 'install,speed'], 'cannot run row speed: there is none of this name; see --help'],
  [['--rounds', '4'], 'cannot run 4 rounds: want an odd number of 1 to 99, so that one is the median'],
  [['--size', '1TB'], 'cannot use size 1TB: want 16MiB to 16GiB'],
  [['--size', '8MiB'], 'cannot use size 8MiB: want 16MiB to 16GiB'],
])('refuses %s', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message);
});

it('takes sizes in MiB and GiB', () => {
  expect(parseOptions(['--size', '256MiB'])).toMatchObject({ sizeBytes: 256 * 1024 ** 2 });
  expect(parseOptions(['--size', '2GiB'])).toMatchObject({ sizeBytes: 2 * 1024 ** 3 });
});
