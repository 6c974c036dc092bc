import { describe, expect, it } from 'vitest';
import {
  encodeBootOrder,
  encodeTrial,
  encodeVariable,
  entryNumber,
  parseEntryNumber,
  parseBootOrder,
  parseLoadOption,
  parseTrial,
  parseVariable,
} from '../../../bootloader/efi-variables.ts';
import { BootloaderError } from '../../../bootloader/errors.ts';

/** Boot0000 as efibootmgr 17 writes it: `-c -d DISK -p 1 -L "slot A" -l \\EFI\\a.efi`, without its attributes. */
const golden = Buffer.from(
  '01000000480073006c006f00740020004100000004012a000100000004000000000000000100000000000000aaaaaaaa01000040800000000000000a020204041a005c004500460049005c0061002e0065006600690000007fff0400',
  'hex',
);

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'none';
  } catch (error) {
    return error instanceof BootloaderError ? error.code : `not coded: ${String(error)}`;
  }
}

describe('an EFI variable', () => {
  it('has its attributes before its data', () => {
    const bytes = Uint8Array.of(7, 0, 0, 0, 1, 0);
    expect(parseVariable(bytes)).toEqual({ attributes: 7, data: Uint8Array.of(1, 0) });
    expect(encodeVariable(parseVariable(bytes))).toEqual(bytes);
    for (let length = 0; length < 4; length += 1) {
      expect(codeOf(() => parseVariable(bytes.subarray(0, length)))).toBe('boot-env-corrupt');
    }
  });

  it('holds the order of the entries as numbers of two bytes', () => {
    expect(parseBootOrder(Uint8Array.of(0x1b, 0, 1, 0x20))).toEqual([0x1b, 0x2001]);
    expect(encodeBootOrder([0x1b, 0x2001])).toEqual(Uint8Array.of(0x1b, 0, 1, 0x20));
    expect(parseBootOrder(new Uint8Array())).toEqual([]);
    expect(codeOf(() => parseBootOrder(Uint8Array.of(1)))).toBe('boot-env-corrupt');
    expect(codeOf(() => parseBootOrder(new Uint8Array(2050)))).toBe('boot-env-corrupt');
  });

  it.each([0, 1, 3, 4])('is no number of an entry with %d bytes', (length) => {
    expect(codeOf(() => parseEntryNumber(new Uint8Array(length)))).toBe('boot-env-corrupt');
  });

  it('remembers a trial in four bytes, and nothing else is one', () => {
    const trial = { entry: 0x2001, isArming: false };
    expect(encodeTrial(trial)).toEqual(Uint8Array.of(1, 0, 1, 0x20));
    expect(parseTrial(encodeTrial(trial))).toEqual(trial);
    expect(encodeTrial({ ...trial, isArming: true })).toEqual(Uint8Array.of(1, 1, 1, 0x20));
    expect(parseTrial(Uint8Array.of(1, 1, 1, 0x20))).toEqual({ ...trial, isArming: true });
    for (const wrong of [[], [1, 0, 1], [2, 0, 1, 0], [1, 2, 1, 0], [1, 0, 1, 0, 0]]) {
      expect(codeOf(() => parseTrial(Uint8Array.from(wrong)))).toBe('boot-env-corrupt');
    }
  });

  it.each([
    ['Boot0001', 1],
    ['BootFFFF', 0xffff],
    ['Boot001b', undefined],
    ['BootOrder', undefined],
    ['BootNext', undefined],
    ['Boot00010', undefined],
  ])('named %s is entry %s', (name, entry) => {
    expect(entryNumber(name)).toBe(entry);
  });
});

describe('a boot entry', () => {
  it('is read as efibootmgr writes it', () => {
    const option = parseLoadOption(golden);
    expect(option).toMatchObject({ isActive: true, description: 'slot A' });
    // A hard drive, a file path and the end.
    expect(Buffer.from(option.devicePath).toString('hex')).toMatch(/^04012a00.*04041a00.*7fff0400$/);
  });

  it('gives a coded error for every truncation', () => {
    for (let length = 0; length < golden.byteLength; length += 1) {
      expect(codeOf(() => parseLoadOption(golden.subarray(0, length)))).toBe('boot-env-corrupt');
    }
  });

  it('never gives anything but an entry or a coded error when bits are flipped', () => {
    const seen = new Set<string>();
    for (let bit = 0; bit < golden.byteLength * 8; bit += 1) {
      const damaged = Uint8Array.from(golden);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      seen.add(codeOf(() => parseLoadOption(damaged)));
    }
    expect([...seen].sort()).toEqual(['boot-env-corrupt', 'none']);
  });
});
