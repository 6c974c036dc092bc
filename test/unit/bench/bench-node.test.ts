import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseEnvironment } from '../../bench/bench-node.ts';

const unitOf = (name: string) => readFile(new URL(`../../../systemd-units/${name}`, import.meta.url), 'utf8');

describe('the environment of the daemons in the bench', () => {
  it('is read from the lines of a unit, values with an equals sign included', () => {
    const unit =
      '[Service]\nEnvironmentFile=-/etc/kaon/units.env\nEnvironment=A=1 B=--c=2\nEnvironment=D=\nEnvironment="E=--f=1 --g"\n';
    expect(parseEnvironment(unit)).toEqual({ A: '1', B: '--c=2', D: '', E: '--f=1 --g' });
  });

  it('is the same for both units but for its threads, as kaon-slotd inherits it from kaond there', async () => {
    const units = await Promise.all(['kaond.service', 'kaon-slotd.service'].map(unitOf));
    const [kaond = {}, slotd = {}] = units.map(parseEnvironment);
    expect(slotd).toHaveProperty('NODE_OPTIONS');
    expect(kaond).toEqual({ ...slotd, NODE_OPTIONS: `${slotd['NODE_OPTIONS'] ?? ''} --v8-pool-size=1` });
  });
});
