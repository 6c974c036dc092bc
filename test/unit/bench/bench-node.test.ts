import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseEnvironment } from '../../bench/bench-node.ts';

const unitOf = (name: string) => readFile(new URL(`../../../systemd-units/${name}`, import.meta.url), 'utf8');

describe('the environment of the daemons in the bench', () => {
  it('is read from the lines of a unit, values with an equals sign included', () => {
    const unit = '[Service]\nEnvironmentFile=-/etc/kaon/units.env\nEnvironment=A=1 B=--c=2\nEnvironment=D=\n';
    expect(parseEnvironment(unit)).toEqual({ A: '1', B: '--c=2', D: '' });
  });

  it('is the same for both units, as kaon-slotd inherits it from kaond there', async () => {
    const [kaond, slotd] = await Promise.all(['kaond.service', 'kaon-slotd.service'].map(unitOf));
    expect(parseEnvironment(kaond ?? '')).toEqual(parseEnvironment(slotd ?? ''));
    expect(parseEnvironment(kaond ?? '')).toHaveProperty('NODE_OPTIONS');
  });
});
