import { describe, expect, it } from 'vitest';
import { encodeCopy } from '../../../bootloader/ubootenv.ts';
import { readUbootState } from '../../vm/uboot-disk.ts';

const sound = { BOOT_ORDER: 'A', BOOT_A_LEFT: '2', BOOT_B_LEFT: '0', kaon_trial: '-', kaon_tries: '0' };
const trial = { ...sound, BOOT_ORDER: 'B A', BOOT_B_LEFT: '2', kaon_trial: 'B', kaon_tries: '2' };

function file(variables: Readonly<Record<string, string>>, sequence: string): Buffer {
  return Buffer.from(encodeCopy(Object.entries({ ...variables, kaon_sequence: sequence }), 4096, undefined));
}

describe('what two environment files say to the harness', () => {
  it.each([
    ['the newer one is the second', [file(sound, 'f'), file(trial, '10')], 'b'],
    ['the newer one is the first', [file(trial, '10'), file(sound, 'f')], 'b'],
    ['the newer one is torn', [file(sound, '1'), file(trial, '2').fill(0, 20, 40)], undefined],
    ['none holds', [file(trial, '1').fill(0, 20, 40), Buffer.alloc(4096)], undefined],
  ] as const)('when %s', (_name, files, inTrial) => {
    expect(readUbootState(files).trial).toBe(inTrial);
  });

  it('is whether a slot boots: never one that is not in the order, nor a used-up trial', () => {
    expect(readUbootState([file(sound, '1'), file(sound, '0')]).canBoot).toEqual({ a: true, b: false });
    expect(readUbootState([file(trial, '1'), file(sound, '0')]).canBoot).toEqual({ a: true, b: true });
    const usedUp = { ...trial, BOOT_A_LEFT: '0', BOOT_B_LEFT: '0' };
    expect(readUbootState([file(usedUp, '1'), file(sound, '0')]).canBoot).toEqual({ a: true, b: false });
  });

  it('is one text for one state, however often and in which order it was written', () => {
    const reversed = Object.fromEntries(Object.entries(trial).reverse());
    const first = readUbootState([file(trial, '1'), file(sound, '0')]).text;
    expect(readUbootState([file(sound, '6'), file(reversed, '7')]).text).toBe(first);
    expect(readUbootState([file(sound, '8'), file(trial, '7')]).text).not.toBe(first);
  });
});
