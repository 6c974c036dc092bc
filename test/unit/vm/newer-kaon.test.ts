import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { anyPrintOf, newerChanges } from '../../vm/newer-kaon.ts';

it.each(newerChanges)('a newer kaon can be made of $file', ({ file, find }) => {
  const source = new URL(`../../../${file}`, import.meta.url);
  expect(readFileSync(source, 'utf8').match(anyPrintOf(find))).toHaveLength(1);
});

it('knows code however it is printed', () => {
  const pattern = anyPrintOf("JSON.stringify({ formatVersion: 1, ...written }, 'a')");
  expect('JSON.stringify({\n\tformatVersion: 1,\n\t...written\n}, "a")').toMatch(pattern);
  expect('JSON.stringify({ formatVersion: 2, ...written }, "a")').not.toMatch(pattern);
});
