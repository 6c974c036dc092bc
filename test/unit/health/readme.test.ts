import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { rollbackKinds } from '../../../agent/core/rollback-cause.ts';
import { behaviours } from '../../vm/images.ts';
import { rollbackOf } from '../../vm/rollbacks.ts';
import { scenarios } from '../../vm/scenarios.ts';

const here = (path: string) => new URL(`../../${path}`, import.meta.url);

/** The failures of the README's table, each with what its last column names. */
function provenFailures(): readonly (readonly [failure: string, provenBy: readonly string[]])[] {
  const lines = readFileSync(here('../agent/health/README.md'), 'utf8').split('\n');
  const head = lines.findIndex((line) => line.startsWith('| failure |'));
  const rows = lines.slice(head + 2);
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith('|')),
    )
    .map((row) => {
      const cells = row.split('|').map((cell) => cell.trim());
      const names = [...(cells.at(-2) ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '');
      return [cells[1] ?? '', names];
    });
}

describe('what fails a trial', () => {
  it('is a table of several rows', () => {
    expect(provenFailures().length).toBeGreaterThan(9);
  });

  it.each(provenFailures())('is proven by what there is: %s', (_failure, provenBy) => {
    const lives = [...Object.keys(behaviours), ...scenarios.map(({ name }) => name)];
    expect(provenBy).not.toEqual([]);
    expect(provenBy.filter((name) => !lives.includes(name) && !existsSync(here(name)))).toEqual([]);
  });

  it('makes each kind of a rollback in the VM or on a simulated node', () => {
    const inVm: readonly string[] = Object.values(rollbackOf).map(({ kind }) => kind);
    const simulated = readFileSync(here('integration/node/rollback-kinds.test.ts'), 'utf8');
    const unproven = rollbackKinds.filter(
      (kind) => !inVm.includes(kind) && !new RegExp(`kind: '${kind}',\\s+reason: `).test(simulated),
    );
    expect(unproven).toEqual([]);
  });
});
