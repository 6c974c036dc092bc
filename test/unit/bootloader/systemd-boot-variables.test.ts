import { describe, expect, it } from 'vitest';
import { encodeVariable } from '../../../bootloader/efi-variables.ts';
import { loaderGuid, LoaderVariables } from '../../../bootloader/systemd-boot-variables.ts';
import { SystemdBootBootloader } from '../../../bootloader/systemd-boot.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';

const text = (value: string) => Buffer.from(`${value}\0`, 'utf16le');

function features(...bits: readonly number[]): Uint8Array {
  const data = Buffer.alloc(8);
  data.writeBigUInt64LE(bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n));
  return data;
}

/** The firmware's variables under the loader's GUID. */
function newVariables(values: Readonly<Record<string, Uint8Array>>) {
  const stored = new Map(Object.entries(values).map(([name, data]) => [name, encodeVariable({ attributes: 7, data })]));
  const variables = new LoaderVariables({
    list: async () => [...stored.keys()],
    read: async (name, guid) => (guid === loaderGuid ? stored.get(name) : undefined),
    write: async () => Promise.reject(new Error('nothing is written here')),
    remove: async (name) => {
      stored.delete(name);
    },
    locked: async (change) => change(),
  });
  return { variables, stored };
}

describe('the variables that systemd-boot chooses by', () => {
  it('are read as text, and removed', async () => {
    const { variables, stored } = newVariables({ LoaderEntryOneShot: text('rescue.conf') });
    expect(await variables.read('LoaderEntryOneShot')).toBe('rescue.conf');
    expect(await variables.read('LoaderEntryDefault')).toBeUndefined();
    await variables.remove('LoaderEntryOneShot');
    expect([...stored.keys()]).toEqual([]);
  });

  it('count a preferred entry only where the loader knows of one', async () => {
    const preferred = { LoaderEntryPreferred: text('kaon-a.conf') };
    for (const [values, expected] of [
      [preferred, undefined],
      [{ ...preferred, LoaderFeatures: features(2, 3, 4) }, undefined],
      [{ ...preferred, LoaderFeatures: features(4, 19) }, 'kaon-a.conf'],
      [{ ...preferred, LoaderFeatures: Buffer.from([0xff]) }, undefined],
    ] as const) {
      expect(await newVariables(values).variables.read('LoaderEntryPreferred')).toBe(expected);
    }
  });

  it('of no sound form are refused', async () => {
    const { variables, stored } = newVariables({});
    stored.set('LoaderEntryDefault', Buffer.from([7, 0]));
    await expect(variables.read('LoaderEntryDefault')).rejects.toMatchObject({ code: 'boot-env-corrupt' });
  });

  it('no longer choose a slot once one is armed', async () => {
    const { variables, stored } = newVariables({
      LoaderFeatures: features(2, 3, 4, 19),
      LoaderEntryDefault: text('kaon-a.conf'),
      LoaderEntryPreferred: text('kaon-a*'),
      LoaderEntryOneShot: text('kaon-a.conf'),
    });
    const partition = new PowerLossDirectory({
      'kaon/a/kernel': 'a',
      'kaon/b/kernel': 'b',
      'loader/entries/kaon-a.conf': 'linux /kaon/a/kernel\n',
      'loader/entries/kaon-b.conf.staged': 'linux /kaon/b/kernel\n',
    });
    const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon', variables });
    await loader.activate('b', 3);
    expect([...stored.keys()]).toEqual(['LoaderFeatures']);
    expect((await loader.readStatus()).primary).toBe('b');
  });
});
