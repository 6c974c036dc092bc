import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { benchRows } from '../../bench/rows.ts';

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
const names = benchRows.map(({ name }) => name);

it('the README of the bench has a line for each row, in order', () => {
  const lines = read('../../bench/README.md').split('\n');
  const start = lines.findIndex((line) => line.startsWith('| row |')) + 2;
  const end = lines.findIndex((line, at) => at >= start && !line.startsWith('|'));
  expect(lines.slice(start, end).map((line) => line.split('|')[1]?.trim())).toEqual(names);
});

it('the README of the project names all rows', () => {
  const found = /`npm run bench`[^:]*: ([^\n]*)/.exec(read('../../../README.md'))?.[1] ?? '';
  expect([...found.matchAll(/`([a-z0-9-]+)`/g)].map((match) => match[1])).toEqual(names);
});
