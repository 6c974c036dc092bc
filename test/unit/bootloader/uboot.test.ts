import { describe, expect, it } from 'vitest';
import { UbootBootloader, type UbootOptions } from '../../../bootloader/uboot.ts';
import { chooseCopy } from '../../../bootloader/ubootenv-copies.ts';
import { decodeCopy, encodeCopy, type UbootVariable, withVariables } from '../../../bootloader/ubootenv.ts';
import { PowerLossFile } from '../../fakes/power-loss-file.ts';
import { bootUboot } from '../../fakes/uboot-firmware.ts';

const sizeBytes = 2048;
const foreign: readonly UbootVariable[] = [
  ['bootcmd', 'run kaon_boot'],
  ['ethaddr', '02:00:00:00:00:01'],
  ['.flags', 'ethaddr:ma'],
];

async function newNode(dialect: 'rauc' | 'bootcount' = 'rauc', options: Partial<UbootOptions> = {}) {
  const steps: string[] = [];
  const step = (name: string) => {
    steps.push(name);
  };
  const first = new PowerLossFile(encodeCopy(foreign, sizeBytes, 1), 'first', step);
  const second = new PowerLossFile(new Uint8Array(sizeBytes), 'second', step);
  const layout = { dialect, bootNames: { a: 'A', b: 'B' }, tries: 3 } as const;
  const loader = new UbootBootloader([first, second], { sizeBytes, layout, ...options });
  await loader.repair('a', false);
  steps.length = 0;
  const variables = (): readonly UbootVariable[] =>
    chooseCopy([first.disk, second.disk], options.flags ?? 'incremental').copy.variables;
  const change = (name: string, value: string | undefined) => {
    const rest = variables().filter(([known]) => known !== name);
    const next = value === undefined ? rest : withVariables(rest, [[name, value]]);
    first.put(encodeCopy(next, sizeBytes, 9));
    second.put(new Uint8Array(sizeBytes));
  };
  return { first, second, loader, steps, change, values: () => Object.fromEntries(variables()) };
}

function singleCopy(copyBytes: number, options: Partial<UbootOptions> = {}) {
  const sound: readonly UbootVariable[] = [
    ['bootcmd', 'x'],
    ['BOOT_ORDER', 'A'],
    ['BOOT_A_LEFT', '3'],
    ['BOOT_B_LEFT', '0'],
  ];
  const file = new PowerLossFile(encodeCopy(sound, copyBytes, undefined));
  const layout = { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3 } as const;
  return new UbootBootloader([file], { sizeBytes: copyBytes, layout, ...options });
}

describe('U-Boot’s variables', () => {
  it('are those of RAUC, with counters in hexadecimal', async () => {
    const { loader, values } = await newNode();
    await loader.activate('b', 12);
    expect(values()).toEqual({
      ...Object.fromEntries(foreign),
      BOOT_ORDER: 'B A',
      BOOT_A_LEFT: '3',
      BOOT_B_LEFT: 'c',
      kaon_trial: 'B',
      kaon_tries: '12',
    });
    await loader.markBad('b');
    expect(values()).toMatchObject({ BOOT_ORDER: 'A', BOOT_B_LEFT: '0', kaon_trial: '-', kaon_tries: '0' });
  });

  it('are those of U-Boot’s own counter', async () => {
    const { loader, values } = await newNode('bootcount');
    await loader.activate('b', 12);
    const trial = { boot_slot: 'B', upgrade_available: '1', bootcount: '0', bootlimit: '12', kaon_proven: 'A' };
    expect(values()).toMatchObject({ ...trial, kaon_trial: 'B', kaon_tries: '12' });
    await loader.markGood('b');
    expect(values()).toMatchObject({ boot_slot: 'B', upgrade_available: '0', bootcount: '0', kaon_proven: 'B A' });
  });

  it('name the slot in the variable that the board uses', async () => {
    const layout = { dialect: 'bootcount', bootNames: { a: '2', b: '3' }, tries: 3, slotVariable: 'mender_boot_part' };
    const { loader, values } = await newNode('bootcount', { layout: { ...layout, dialect: 'bootcount' } });
    await loader.activate('b', 1);
    expect(values()).toMatchObject({ mender_boot_part: '3', kaon_trial: '3', kaon_proven: '2' });
    expect(values()).not.toHaveProperty('boot_slot');
  });

  it.each<readonly ['rauc' | 'bootcount', string, string | undefined]>([
    ['rauc', 'BOOT_ORDER', undefined],
    ['rauc', 'BOOT_ORDER', 'A C'],
    ['rauc', 'BOOT_ORDER', 'A A'],
    ['rauc', 'BOOT_ORDER', ' '],
    ['rauc', 'BOOT_A_LEFT', undefined],
    ['rauc', 'BOOT_B_LEFT', undefined],
    ['rauc', 'BOOT_B_LEFT', '10'],
    ['rauc', 'BOOT_B_LEFT', 'g'],
    ['rauc', 'kaon_trial', 'C'],
    ['bootcount', 'boot_slot', undefined],
    ['bootcount', 'boot_slot', 'B'],
    ['bootcount', 'upgrade_available', undefined],
    ['bootcount', 'upgrade_available', '2'],
    ['bootcount', 'bootcount', undefined],
    ['bootcount', 'bootcount', '-1'],
    ['bootcount', 'bootlimit', undefined],
    ['bootcount', 'kaon_proven', undefined],
    ['bootcount', 'kaon_trial', 'A'],
  ])('of %s are corrupt with %s = %j, and a repair keeps what is not ours', async (dialect, name, value) => {
    const { loader, change, values } = await newNode(dialect);
    change(name, value);
    if (name === 'kaon_trial') change('kaon_tries', '3');
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    await expect(loader.markGood('a')).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(await loader.repair('b', true)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { a: { state: 'good' }, b: { state: 'good' } },
    });
    expect(values()).toMatchObject(Object.fromEntries(foreign));
  });

  it('without a trial of ours mean that there is none', async () => {
    const { loader, change } = await newNode();
    change('kaon_trial', undefined);
    expect(await loader.readStatus()).toMatchObject({ trial: undefined, primary: 'a' });
  });

  it('end a trial whose slot somebody took out of the order', async () => {
    const { loader, change } = await newNode();
    await loader.activate('b', 3);
    change('BOOT_ORDER', 'A');
    expect(await loader.readStatus()).toMatchObject({
      trial: undefined,
      trialTries: 0,
      slots: { b: { state: 'bad' } },
    });
  });

  it.each([
    ['one name for both', { bootNames: { a: 'A', b: 'A' } }],
    ['a name with a space', { bootNames: { a: 'A 1', b: 'B' } }],
    ['no tries', { tries: 0 }],
    ['more tries than a hexadecimal digit', { tries: 16 }],
    ['a slot variable that is no name', { slotVariable: 'a=b' }],
  ])('cannot be driven with %s', (_name, change) => {
    const layout = { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3, ...change } as const;
    expect(() => new UbootBootloader([new PowerLossFile(new Uint8Array(64))], { sizeBytes: 64, layout })).toThrow(
      /cannot drive U-Boot/,
    );
  });
});

describe('a change of the environment', () => {
  it('is one write, of the copy that does not count', async () => {
    const { loader, steps, first, second } = await newNode();
    const before = second.disk;
    await loader.activate('b', 3);
    expect(steps).toEqual(['first-write', 'first-sync']);
    expect(second.disk).toEqual(before);
    await loader.markGood('b');
    expect(steps.slice(2)).toEqual(['second-write', 'second-sync']);
    expect(decodeCopy(first.disk, true).flags).toBe(3);
    expect(decodeCopy(second.disk, true).flags).toBe(4);
  });

  it('flushes and writes nothing when its end is there already', async () => {
    const { loader, steps } = await newNode();
    await loader.activate('b', 3);
    steps.length = 0;
    await loader.activate('b', 3);
    expect(steps).toEqual(['first-sync']);
  });

  it('makes the old copy obsolete last, where flags are boolean', async () => {
    const { loader, steps, first, second } = await newNode('rauc', { flags: 'boolean' });
    await loader.activate('b', 3);
    expect(steps).toEqual(['first-write', 'first-sync', 'second-write', 'second-sync']);
    expect([first.disk[4], second.disk[4]]).toEqual([1, 0]);
    expect(
      Buffer.from(second.disk)
        .subarray(5)
        .equals(Buffer.alloc(sizeBytes - 5)),
    ).toBe(false);
  });

  it('is refused for want of room, and leaves the environment as it is', async () => {
    const { loader, change, values } = await newNode();
    const usedBytes = Object.entries(values()).reduce((sum, [name, value]) => sum + name.length + value.length + 2, 6);
    // Full to the last byte: the order of two slots is two characters longer.
    change('big', 'x'.repeat(sizeBytes - usedBytes - 'big=\0'.length));
    await expect(loader.activate('b', 3)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });

  it('survives that the newest copy is destroyed, by the one before it', async () => {
    const { loader, second, first } = await newNode();
    await loader.activate('b', 3);
    first.put(new Uint8Array(sizeBytes));
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
    const script = { rules: 'kaon', names: ['A', 'B'], full: 3 } as const;
    expect(bootUboot(script, [first.disk, second.disk]).started).toBe('A');
  });
});

describe('an environment in files', () => {
  it('is written with the next number, into the file that does not count', async () => {
    const { loader, first, second, steps } = await newNode('rauc', { flags: 'sequence' });
    const sequences = () =>
      [first, second].map(({ disk }) => new Map(decodeCopy(disk, false).variables).get('kaon_sequence'));
    await loader.activate('b', 3);
    expect(steps).toEqual(['second-write', 'second-sync']);
    expect(sequences()).toEqual(['1', '2']);
    await loader.markGood('b');
    expect(sequences()).toEqual(['3', '2']);
    await loader.markGood('b');
    expect(sequences()).toEqual(['3', '2']);
    expect(loader.capabilities.atomicity).toBe('copies');
  });

  it('is refused with one file, and with U-Boot’s own counter', () => {
    const file = () => new PowerLossFile(new Uint8Array(sizeBytes));
    const options = { sizeBytes, flags: 'sequence' } as const;
    const layout = { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 3 } as const;
    expect(() => new UbootBootloader([file()], { ...options, layout })).toThrow(/there is one, want two/);
    const counting = { ...layout, dialect: 'bootcount' } as const;
    expect(() => new UbootBootloader([file(), file()], { ...options, layout: counting })).toThrow(/bootcount/);
  });
});

describe('an environment of one copy', () => {
  it('is not safe when it is larger than a sector, and arms nothing unless told to', async () => {
    const loader = singleCopy(1024);
    expect(loader.capabilities.atomicity).toBe('none');
    await expect(loader.activate('b', 3)).rejects.toMatchObject({
      code: 'bootloader-unsupported',
      details: { sizeBytes: 1024 },
    });
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
    const allowed = singleCopy(1024, { allowSingleCopy: true });
    await allowed.activate('b', 3);
    expect(await allowed.readStatus()).toMatchObject({ primary: 'b', trial: 'b' });
    expect(allowed.capabilities.atomicity).toBe('none');
  });

  it('is safe when it is one sector', async () => {
    const loader = singleCopy(512);
    expect(loader.capabilities.atomicity).toBe('sector');
    await loader.activate('b', 3);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b' });
  });

  it('is unreadable when the region has another size', async () => {
    await expect(singleCopy(512, { sizeBytes: 1024 }).readStatus()).rejects.toMatchObject({
      code: 'boot-env-unreadable',
    });
  });
});

describe('a repair without a valid copy', () => {
  it('refuses to write an environment that would boot nothing', async () => {
    const { loader, first, second, steps } = await newNode();
    for (const file of [first, second]) file.put(new Uint8Array(sizeBytes).fill(255));
    await expect(loader.repair('a', false)).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(steps).toEqual([]);
  });

  it('needs no default environment for files, which hold our variables only', async () => {
    const { loader, first, second, values } = await newNode('rauc', { flags: 'sequence' });
    for (const file of [first, second]) file.put(new Uint8Array(sizeBytes).fill(255));
    expect(await loader.repair('b', false)).toBe(true);
    expect(values()).toMatchObject({ BOOT_ORDER: 'B', BOOT_A_LEFT: '0', kaon_sequence: '1' });
    expect(values()).not.toHaveProperty('bootcmd');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { a: { state: 'bad' } } });
  });

  it('begins with the default environment', async () => {
    const { loader, first, second, values } = await newNode('rauc', { defaults: foreign });
    for (const file of [first, second]) file.put(new Uint8Array(sizeBytes).fill(255));
    expect(await loader.repair('b', false)).toBe(true);
    expect(values()).toMatchObject({ ...Object.fromEntries(foreign), BOOT_ORDER: 'B', BOOT_A_LEFT: '0' });
  });
});
