import { describe, expect, it } from 'vitest';
import type { SlotName } from '../../../bootloader/bootloader.ts';
import { GrubBootloader } from '../../../bootloader/grub.ts';
import type { GrubLayout } from '../../../bootloader/grub-dialect.ts';
import { decodeEnvironment, encodeEnvironment, type Variable } from '../../../bootloader/grubenv.ts';
import { bootGrub } from '../../fakes/grub-firmware.ts';
import { PowerLossFile } from '../../fakes/power-loss-file.ts';

const layouts: Readonly<Record<'kaon' | 'rauc', GrubLayout>> = {
  kaon: { dialect: 'kaon', bootNames: { a: 'A', b: 'B' }, tries: 4 },
  rauc: { dialect: 'rauc', bootNames: { a: 'A', b: 'B' }, tries: 1 },
};

// Foreign variables that reach over the border of the first sector.
const foreign: readonly Variable[] = [
  ['saved_entry', '0'],
  ['kernelopts', 'x'.repeat(400)],
];

async function newNode(dialect: 'kaon' | 'rauc', beforeStep: (name: string) => void = () => undefined) {
  const file = new PowerLossFile(encodeEnvironment([], foreign, 1024), 'environment', (name) => beforeStep(name));
  const shadow = new PowerLossFile(encodeEnvironment([], [], 1024), 'shadow', (name) => beforeStep(name));
  const loader = new GrubBootloader(file, shadow, layouts[dialect]);
  await loader.repair('a', false);
  return { file, shadow, loader };
}

function variables(file: PowerLossFile): Readonly<Record<string, string>> {
  return Object.fromEntries(decodeEnvironment(file.disk));
}

class PowerCut extends Error {}

describe('GRUB’s variables', () => {
  it('are those of RAUC in its dialect', async () => {
    const { file, loader } = await newNode('rauc');
    await loader.activate('b', 1);
    expect(variables(file)).toMatchObject({ ORDER: 'B A', A_OK: '1', A_TRY: '0', B_OK: '1', B_TRY: '0' });
    await loader.markBad('b');
    expect(variables(file)).toMatchObject({ ORDER: 'A B', B_OK: '0', B_TRY: '1' });
  });

  it('count in one digit in kaon’s dialect', async () => {
    const { file, loader } = await newNode('kaon');
    await loader.activate('b', 9);
    expect(variables(file)).toMatchObject({ ORDER: 'B A', A_LEFT: '4', B_LEFT: '9', kaon_trial: 'B', kaon_tries: '9' });
  });

  it('leave foreign ones as and where they are, byte by byte', async () => {
    const { file, loader } = await newNode('kaon');
    const tail = () => Buffer.from(file.disk).subarray(Buffer.from(file.disk).indexOf('saved_entry'));
    const before = tail();
    for (const verb of [() => loader.activate('b', 4), () => loader.markGood('b'), () => loader.markBad('a')]) {
      await verb();
      expect(tail()).toEqual(before);
    }
  });

  it.each([
    ['a missing counter', (vars: Variable[]) => vars.filter(([name]) => name !== 'B_LEFT')],
    ['a missing order', (vars: Variable[]) => vars.filter(([name]) => name !== 'ORDER')],
    [
      'an order with a stranger',
      (vars: Variable[]) => vars.map(([n, v]): Variable => (n === 'ORDER' ? [n, 'A C'] : [n, v])),
    ],
    [
      'an order with one slot twice',
      (vars: Variable[]) => vars.map(([n, v]): Variable => (n === 'ORDER' ? [n, 'A A'] : [n, v])),
    ],
    [
      'a counter out of range',
      (vars: Variable[]) => vars.map(([n, v]): Variable => (n === 'A_LEFT' ? [n, '10'] : [n, v])),
    ],
    [
      'an OK that is neither 0 nor 1',
      (vars: Variable[]) => vars.map(([n, v]): Variable => (n === 'A_OK' ? [n, '2'] : [n, v])),
    ],
    [
      'a trial of a stranger',
      (vars: Variable[]) => vars.map(([n, v]): Variable => (n === 'kaon_trial' ? [n, 'C'] : [n, v])),
    ],
  ])('are corrupt with %s, and never guessed', async (_name, damage) => {
    const { file, loader } = await newNode('kaon');
    file.put(encodeEnvironment([], damage([...decodeEnvironment(file.disk)]), 1024));
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    await expect(loader.markGood('a')).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(await loader.repair('a', false)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'a',
      slots: { a: { state: 'good' }, b: { state: 'bad' } },
    });
    expect(variables(file)).toMatchObject(Object.fromEntries(foreign));
  });

  it('keep the other slot in a repair only where the caller has proof of it', async () => {
    const { file, loader } = await newNode('kaon');
    file.put(new Uint8Array(1024));
    await loader.repair('b', true);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { a: { state: 'good' } },
    });
  });

  it.each([
    ['names of different length', { bootNames: { a: 'A', b: 'second' } }],
    ['one name for both', { bootNames: { a: 'A', b: 'A' } }],
    ['a name with a space', { bootNames: { a: 'A 1', b: 'B 1' } }],
    ['no tries', { tries: 0 }],
    ['more tries than a digit', { tries: 10 }],
  ])('cannot be driven with %s', (_name, change) => {
    const file = new PowerLossFile(new Uint8Array(1024));
    expect(() => new GrubBootloader(file, undefined, { ...layouts.kaon, ...change })).toThrow(/cannot drive GRUB/);
  });
});

describe('the shadow', () => {
  it('boots the slot that was last marked good when the block is unreadable', async () => {
    const { file, shadow, loader } = await newNode('kaon');
    await loader.activate('b', 4);
    await loader.markGood('b');
    await loader.activate('a', 4);
    file.put(new Uint8Array(1024));
    const script = { dialect: 'kaon', names: ['A', 'B'], full: 4 } as const;
    expect(bootGrub(script, file.disk, shadow.disk).started).toBe('B');
  });
});

describe('power lost inside a verb', () => {
  const verbs: readonly (readonly [string, (loader: GrubBootloader) => Promise<void>, readonly SlotName[]])[] = [
    ['markBad', (loader) => loader.markBad('b'), ['a', 'b']],
    ['activate', (loader) => loader.activate('b', loader.capabilities.maxTries), ['a', 'b']],
    ['markGood', (loader) => loader.markGood('b'), ['b']],
  ];

  for (const dialect of ['kaon', 'rauc'] as const) {
    for (const [name, verb, allowed] of verbs) {
      it(`leaves the state before or after ${name}, never a third (${dialect})`, async () => {
        let cuts = 0;
        for (let cutAt = 0; ; cutAt += 1) {
          let hasCut = false;
          for (const fates of [
            [false, false],
            [true, false],
            [false, true],
            [true, true],
          ]) {
            let steps = -1;
            const node = await newNode(dialect, () => {
              if (steps >= 0 && steps++ === cutAt) throw new PowerCut();
            });
            if (name !== 'activate') await node.loader.activate('b', node.loader.capabilities.maxTries);
            const before = await node.loader.readStatus();
            steps = 0;
            const cut = await verb(node.loader).then(
              () => false,
              (error: unknown) => error instanceof PowerCut,
            );
            hasCut ||= cut;
            node.file.losePower((sector) => (fates[sector] === true ? 'written' : 'lost'));
            node.shadow.losePower(() => 'lost');
            steps = -1;
            const status = await node.loader.readStatus();
            if (cut && cutAt < 2) {
              const isBefore = JSON.stringify(status) === JSON.stringify(before);
              if (!isBefore) await expectAfter(node.loader, verb);
            }
            const script = { dialect, names: ['A', 'B'], full: 4 } as const;
            const { started } = bootGrub(script, node.file.disk, node.shadow.disk);
            expect(allowed.map((slot) => slot.toUpperCase())).toContain(started);
            cuts += cut ? 1 : 0;
          }
          if (!hasCut) break;
        }
        expect(cuts).toBeGreaterThan(3);
      });
    }
  }

  async function expectAfter(loader: GrubBootloader, verb: (loader: GrubBootloader) => Promise<void>): Promise<void> {
    const status = await loader.readStatus();
    await verb(loader);
    expect(await loader.readStatus()).toEqual(status);
  }
});
