import { expect, it } from 'vitest';
import { linesOf, renderTable, shortReason } from '../../bench/render.ts';
import { measured, notRun } from '../../bench/rows.ts';

const surroundings = {
  startedAt: '2026-01-02T03:04:05.000Z',
  durationSeconds: 61.4,
  machine: '2 × Some CPU, 8 GiB',
  sizeBytes: 1024 ** 3,
  rounds: 3,
  isBuilt: true,
  loadBefore: 0.1,
  versions: { kaon: 'abc', node: '24.0.0' },
};

it('a row is met by its median, and shows the spread of its rounds', () => {
  const [line] = linesOf({ install: measured([0.95, 0.8, 0.7], 'kaon 1 s, shell 2 s') });
  expect(line).toMatchObject({ median: 0.8, goal: 0.9, isMet: true });
  expect(renderTable(line === undefined ? [] : [line], surroundings)).toContain(
    'install  0.80    ≤ 0.90  met  3: 0.70–0.95  kaon 1 s, shell 2 s',
  );
});

it('a goal that was missed is told of as missed', () => {
  expect(linesOf({ memory: measured([181], '') })).toMatchObject([{ isMet: false }]);
});

it('a row that could not run has its reason and no number', () => {
  const lines = linesOf({ 'install-rauc': notRun('rauc is not there') });
  expect(lines).toEqual([
    { row: 'install-rauc', unit: 'ratio', goal: 0.3, outcome: 'not-run', note: 'rauc is not there' },
  ]);
  expect(renderTable(lines, surroundings)).toMatch(/install-rauc +not run +≤ 0.30 +rauc is not there/);
});

it('rows come in the order of the table, whatever was measured first', () => {
  const results = { 'idle-cpu': measured([0], ''), install: measured([1], '') };
  expect(linesOf(results).map(({ row }) => row)).toEqual(['install', 'idle-cpu']);
});

it('the table says what it holds for', () => {
  const text = renderTable([], surroundings);
  expect(text).toContain('2026-01-02T03:04:05.000Z, 61 s; 2 × Some CPU, 8 GiB; load 0.10 when it began');
  expect(text).toContain('image 1024 MiB, 3 rounds, the agent from dist\nkaon abc, node 24.0.0');
});

it('a reason is one line', () => {
  expect(shortReason(new Error('a script failed with 1:\n  set up\n\n  cannot open it\n'))).toBe(
    'a script failed with 1: … cannot open it',
  );
  expect(shortReason('gone')).toBe('gone');
});
