import { expect, it } from 'vitest';
import type { ContestResult, Measurement } from '../../bench/contender.ts';
import { rowsOf } from '../../bench/row-install.ts';

const run = (wallSeconds: number, more: Partial<Measurement> = {}): Measurement => ({
  wallSeconds,
  cpuSeconds: wallSeconds / 2,
  leftInCacheBytes: 0,
  own: {},
  ...more,
});
const kaon = [
  run(3, { own: { written: 2, first: 0.25 }, leftInCacheBytes: 1024 ** 2 }),
  run(6, { own: { written: 4, first: 0.5 }, leftInCacheBytes: -4096 }),
];
const results = (peers: Readonly<Record<string, ContestResult>>) => new Map(Object.entries({ kaon, ...peers }));

it('compares the end of writing with a peer, round by round, and reading back apart', () => {
  const rows = rowsOf(results({ shell: [run(4), run(4)] }));
  expect(rows.install).toEqual({ outcome: 'measured', rounds: [0.5, 1], note: 'kaon 3.00 s, shell 4.00 s' });
  expect(rows['install-read-back']).toMatchObject({ rounds: [0.75, 1.5] });
  expect(rows['install-cpu']).toMatchObject({ rounds: [0.75, 1.5] });
});

it('a peer that failed costs its row alone', () => {
  const rows = rowsOf(results({ rauc: { reason: 'its bus did not come up' }, swupdate: [run(8), run(8)] }));
  expect(rows['install-rauc']).toEqual({ outcome: 'not-run', reason: 'its bus did not come up' });
  expect(rows['install-swupdate']).toMatchObject({ rounds: [0.25, 0.5] });
  expect(rows.install).toEqual({ outcome: 'not-run', reason: 'shell did not run' });
});

it('no row has a number when kaon failed', () => {
  const rows = rowsOf(
    new Map<string, ContestResult>([
      ['kaon', { reason: 'it broke' }],
      ['shell', [run(1)]],
    ]),
  );
  expect(Object.values(rows).map((row) => (row.outcome === 'not-run' ? row.reason : 'a number'))).toEqual(
    Array.from({ length: 8 }, () => 'it broke'),
  );
});

it('tells what stays in the page cache, also that of the peers', () => {
  const rows = rowsOf(results({ rauc: [run(1, { leftInCacheBytes: 8 * 1024 ** 2 }), run(1)] }));
  expect(rows['page-cache']).toMatchObject({ rounds: [1, -4096 / 1024 ** 2], note: 'left behind; rauc 4.0 MiB' });
  expect(rows['first-byte']).toMatchObject({ rounds: [250, 500] });
});
