import { describe, expect, it } from 'vitest';
import { decodeEnvironment, encodeEnvironment, type Variable } from '../../bootloader/grubenv.ts';
import { bootGrub } from '../fakes/grub-firmware.ts';
import { bootRealGrub } from './real-grub.ts';

const script = { dialect: 'kaon', names: ['A', 'B'], full: 4 } as const;

function block(values: Readonly<Record<string, string>>): Uint8Array {
  return encodeEnvironment(Object.entries(values), [['saved_entry', '0']], 1024);
}

const sound = { ORDER: 'A B', A_OK: '1', A_LEFT: '4', B_OK: '0', B_LEFT: '0', kaon_trial: '-', kaon_tries: '0' };
const trial = { ...sound, ORDER: 'B A', B_OK: '1', B_LEFT: '4', kaon_trial: 'B', kaon_tries: '4' };

const cases: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['a proven slot', sound],
  ['a proven slot, nearly used up', { ...sound, A_LEFT: '1' }],
  ['a proven slot, used up', { ...sound, A_LEFT: '0' }],
  ['nine tries', { ...trial, B_LEFT: '9', kaon_tries: '9' }],
  ...['4', '3', '2', '1', '0'].map((left) => [`a trial with ${left} left`, { ...trial, B_LEFT: left }] as const),
  ['a trial that is marked bad', { ...trial, ORDER: 'A B', B_OK: '0', B_LEFT: '0' }],
  ['nothing left but a used-up trial', { ...trial, A_LEFT: '0', B_LEFT: '0' }],
  ['two proven slots, used up', { ...sound, ORDER: 'B A', B_OK: '1', A_LEFT: '0' }],
  ['the second slot while the first is bad', { ...sound, A_OK: '0', B_OK: '1', B_LEFT: '5' }],
  ['no counters that are digits', { ...sound, A_LEFT: 'x', B_OK: '1', B_LEFT: '2' }],
];

describe('grub.cfg, run by GRUB itself', () => {
  it.each(cases)('does with %s what the simulation does', { timeout: 180_000 }, async (_name, values) => {
    const expected = bootGrub(script, block(values));
    const real = await bootRealGrub(block(values));
    expect(real.started).toBe(expected.started);
    expect(sorted(real.block)).toEqual(sorted(expected.block));
  });

  it('boots by the shadow when the block is unreadable, as the simulation does', { timeout: 180_000 }, async () => {
    const shadow = block({ ...sound, ORDER: 'B A', B_OK: '1', B_LEFT: '4' });
    const unreadable = new Uint8Array(1024);
    expect(bootGrub(script, unreadable, shadow).started).toBe('B');
    expect((await bootRealGrub(unreadable, shadow)).started).toBe('B');
  });

  it('boots the first slot when there is nothing to read at all', { timeout: 180_000 }, async () => {
    expect((await bootRealGrub(new Uint8Array(1024))).started).toBe('A');
  });
});

function sorted(bytes: Uint8Array): readonly Variable[] {
  return [...decodeEnvironment(bytes)].sort(([one], [other]) => one.localeCompare(other));
}
