import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { machines } from '../../vm/machines.ts';
import { scenarios } from '../../vm/scenarios.ts';

/** The first cells of the table whose head begins with `head`. */
function rowsOf(text: string, head: string): readonly string[] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const rest = lines.slice(start + 2);
  const end = rest.findIndex((line) => !line.startsWith('|'));
  return rest.slice(0, end).map((line) => line.split('|')[1]?.trim() ?? '');
}

it('the matrix of real boots has the names that its README has', () => {
  const text = readFileSync(new URL('../../vm/README.md', import.meta.url), 'utf8');
  expect(rowsOf(text, 'scenario')).toEqual(scenarios.map(({ name }) => name));
  expect(rowsOf(text, 'machine')).toEqual(machines.map(({ name }) => name));
});

it.each(machines)('$name is booted by every run with an upgrade, a panic and a failed check', ({ usual }) => {
  const known = scenarios.map(({ name }) => name);
  expect(usual).toEqual(expect.arrayContaining(['upgrade', 'panic', 'failed health']));
  expect(known).toEqual(expect.arrayContaining([...usual]));
});

/** Every way in which an update can go on from its write. */
const fullList = [
  ...['upgrade', 'panic', 'dies early', 'hangs', 'no agent', 'agent crashes', 'config refused', 'failed health'],
  ...['cut in the write', 'cut in every trial', 'cut before the reboot', 'unsigned', 'after a rollback', 'newer agent'],
  'plain reboots',
];

it.each(['GRUB on UEFI', 'systemd-boot with kernels'])('every run plays the full list on %s', (name) => {
  expect(machines.find((one) => one.name === name)?.usual).toEqual(expect.arrayContaining(fullList));
});

it('each scenario is played in every run, on one machine at least, but for three that README.md names', () => {
  const usual = new Set(machines.flatMap((one) => one.usual));
  const rare = scenarios.map(({ name }) => name).filter((name) => !usual.has(name));
  expect(rare).toEqual(['init freezes', 'taken back', 'lost flushes']);
});

it('what is part of a scenario is one itself', () => {
  const known = scenarios.map(({ name }) => name);
  expect(known).toEqual(expect.arrayContaining(scenarios.flatMap(({ covers = [] }) => covers)));
});
