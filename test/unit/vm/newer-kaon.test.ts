import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { newerChanges } from '../../vm/newer-kaon.ts';

it.each(newerChanges)('a newer kaon can be made of $file', ({ file, find }) => {
  const source = new URL(`../../../${file.replace('dist/', '').replace('.js', '.ts')}`, import.meta.url);
  expect(readFileSync(source, 'utf8').split(find)).toHaveLength(2);
});
