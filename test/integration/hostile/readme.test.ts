import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { attackGroups, attacks } from './attacks.ts';

const lines = readFileSync(new URL('README.md', import.meta.url), 'utf8').split('\n');

/** The cells of the rows of the table that begins with `head`. */
function rowsOf(head: string): readonly (readonly string[])[] {
  const start = lines.findIndex((line) => line.startsWith(head)) + 2;
  const end = lines.findIndex((line, at) => at >= start && !line.startsWith('|'));
  return lines.slice(start, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

it('the README has a row for each group of attacks, with all of them by name and code', () => {
  const rows = rowsOf('| by |');
  const wanted = Object.entries(attackGroups).map(([group, list]) => [
    group,
    list.map(({ name, code }) => `${name} (\`${code}\`)`).join('; '),
  ]);
  expect(rows).toEqual(wanted);
});

it('each attack has a name of its own', () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});

it('what stops an attack of the TUF and Uptane papers is an attack of this suite', () => {
  const names = new Set(attacks.map(({ name }) => name));
  for (const [attack = '', , tests = ''] of rowsOf('| attack |')) {
    const named = tests.split('; ').filter((name) => name !== '');
    expect(named.length, attack).toBeGreaterThan(0);
    expect(named.filter((name) => !names.has(name))).toEqual([]);
  }
});
