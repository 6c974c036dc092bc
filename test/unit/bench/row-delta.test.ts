import { expect, it } from 'vitest';
import type { ImagePair } from '../../bench/pairs.ts';
import { rowsOf } from '../../bench/row-delta.ts';

const mebibyte = 1024 * 1024;
const content = { file: '', sizeBytes: 0 };
const pair: ImagePair = { name: 'small', older: content, newer: content, origin: 'here' };
const peers = {
  wholeBytes: 100 * mebibyte,
  rauc: { indexBytes: 2 * mebibyte, groupsBytes: 8 * mebibyte, missingBlocks: 9, fetchedGroups: 3 },
  casync: { indexBytes: mebibyte, chunksBytes: 3 * mebibyte, chunks: 7 },
};

it('a delta is a share of the whole image, and stands against what the peers fetch, their index included', () => {
  const rows = rowsOf(pair, { byIndex: 5 * mebibyte, byPatch: mebibyte }, peers);
  expect(rows['delta-small-index']).toMatchObject({ rounds: [5] });
  expect(rows['delta-small-patch']).toMatchObject({ rounds: [1] });
  expect(rows['delta-small-rauc']).toMatchObject({
    rounds: [0.5],
    note: "by index 5.0 MiB, RAUC's scheme, 3 groups, 10.0 MiB (10.0 %); by patch 1.0 MiB",
  });
  expect(rows['delta-small-casync']).toMatchObject({ rounds: [1.25] });
});

it('without a patch its row says why, and the others have their numbers', () => {
  const rows = rowsOf(pair, { byIndex: 5 * mebibyte, byPatch: 'this kaonctl has no image patch' }, peers);
  expect(rows['delta-small-patch']).toEqual({ outcome: 'not-run', reason: 'this kaonctl has no image patch' });
  expect(rows['delta-small-rauc']).toMatchObject({ rounds: [0.5] });
});
