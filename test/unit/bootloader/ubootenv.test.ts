import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BootloaderError } from '../../../bootloader/errors.ts';
import { chooseCopy, nextWrite } from '../../../bootloader/ubootenv-copies.ts';
import {
  decodeCopy,
  encodeCopy,
  parseInitialEnvironment,
  type UbootVariable,
  withVariables,
} from '../../../bootloader/ubootenv.ts';

/**
 * Made by mkenvimage from u-boot-tools 2023.01: `-p 0x00 -s 256`, the same with `-r`, and with its own padding of 255; and
 * `files` by U-Boot 2023.01 itself, `env export -c -s 100`.
 */
function fixture(name: 'single' | 'redundant' | 'padded' | 'files'): Uint8Array {
  return readFileSync(join(import.meta.dirname, 'fixtures', `uboot-${name}.bin`));
}

const variables: readonly UbootVariable[] = [
  ['bootcmd', 'run kaon_boot'],
  ['BOOT_ORDER', 'A B'],
  ['BOOT_A_LEFT', '3'],
  ['.flags', 'BOOT_A_LEFT:xw'],
];

function codeOf(read: () => unknown): string {
  try {
    read();
    return 'none';
  } catch (error) {
    return error instanceof BootloaderError ? error.code : `not coded: ${String(error)}`;
  }
}

describe('a copy of the U-Boot environment', () => {
  it('is read as mkenvimage writes it', () => {
    expect(decodeCopy(fixture('single'), false)).toEqual({ flags: undefined, variables });
    expect(decodeCopy(fixture('redundant'), true)).toEqual({ flags: 1, variables });
    expect(decodeCopy(fixture('padded'), false)).toEqual({ flags: undefined, variables });
  });

  it('is written as mkenvimage writes it, byte by byte', () => {
    expect(Buffer.from(encodeCopy(variables, 256, undefined))).toEqual(fixture('single'));
    expect(Buffer.from(encodeCopy(variables, 256, 1))).toEqual(fixture('redundant'));
  });

  it('has its layout: checksum over the data, flags outside of it, two NULs at the end', () => {
    const copy = Buffer.from(encodeCopy([['a', 'b']], 16, 7));
    expect(copy.toString('hex', 4)).toBe('07613d620000000000000000');
    const other = Buffer.from(encodeCopy([['a', 'b']], 16, 200));
    expect(other.readUInt32LE(0)).toBe(copy.readUInt32LE(0));
  });

  it('keeps what is not ours, in its order and byte by byte', () => {
    const foreign: readonly UbootVariable[] = [
      ['zz', 'a=b=c'],
      ['bytes', '\x01\x80\xff\n'],
      ['empty', ''],
      ['aa', 'x'],
    ];
    const copy = decodeCopy(encodeCopy(foreign, 128, 3), true);
    expect(copy).toEqual({ flags: 3, variables: foreign });
    expect(
      withVariables(copy.variables, [
        ['bytes', '1'],
        ['new', '2'],
      ]).map(([name]) => name),
    ).toEqual(['zz', 'bytes', 'empty', 'aa', 'new']);
  });

  it('can be without variables', () => {
    expect(decodeCopy(encodeCopy([], 64, undefined), false).variables).toEqual([]);
  });

  it('is filled to its last byte and not further', () => {
    // Checksum, flags, the name, the equals sign and two NULs: 9 bytes beside the value.
    expect(decodeCopy(encodeCopy([['n', 'v'.repeat(55)]], 64, 1), true).variables[0]?.[1]).toHaveLength(55);
    expect(codeOf(() => encodeCopy([['n', 'v'.repeat(56)]], 64, 1))).toBe('boot-env-write-failed');
  });

  it.each<UbootVariable>([
    ['', 'x'],
    ['a=b', 'x'],
    ['a\0', 'x'],
    ['a', 'x\0y'],
    ['a', '✓'],
  ])('refuses to write %j with the value %j', (name, value) => {
    expect(codeOf(() => encodeCopy([[name, value]], 64, undefined))).toBe('boot-env-write-failed');
  });

  it.each([false, true])('gives a coded error for every truncation (flags: %s)', (hasFlags) => {
    const copy = fixture(hasFlags ? 'redundant' : 'single');
    for (let length = 0; length < copy.byteLength; length += 1) {
      expect(codeOf(() => decodeCopy(copy.subarray(0, length), hasFlags))).toBe('boot-env-corrupt');
    }
  });

  it('gives a coded error for every flipped bit but those of the flags', () => {
    const copy = fixture('redundant');
    for (let bit = 0; bit < copy.byteLength * 8; bit += 1) {
      const damaged = Uint8Array.from(copy);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(
        codeOf(() => decodeCopy(damaged, true)),
        `bit ${bit}`,
      ).toBe(bit >> 3 === 4 ? 'none' : 'boot-env-corrupt');
    }
  });

  it.each([
    ['a name without a value', 'name\0\0'],
    ['an empty name', '=value\0\0'],
    ['a name twice', 'a=1\0a=2\0\0'],
    ['no end', `a=${'1'.repeat(58)}`],
  ])('is corrupt with %s, though its checksum matches', (_name, data) => {
    const valid = Buffer.from(encodeCopy([], 64, undefined));
    valid.write(data, 4, 'latin1');
    const recomputed = encodeLike(valid);
    expect(codeOf(() => decodeCopy(recomputed, false))).toBe('boot-env-corrupt');
    expect(() => decodeCopy(recomputed, false)).not.toThrow('checksum');
  });
});

function encodeLike(copy: Buffer): Buffer {
  let register = 0xffffffff;
  for (const byte of copy.subarray(4)) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  copy.writeUInt32LE((register ^ 0xffffffff) >>> 0, 0);
  return copy;
}

describe('two copies', () => {
  const copy = (flags: number, name: string) => encodeCopy([['copy', name]], 64, flags);
  const broken = new Uint8Array(64).fill(255);

  it.each([
    [1, 2, 1],
    [2, 1, 0],
    [5, 5, 0],
    [255, 0, 1],
    [0, 255, 0],
    [254, 255, 1],
    [0, 1, 1],
  ])('with incremental flags %d and %d: copy %d counts', (first, second, index) => {
    expect(chooseCopy([copy(first, 'one'), copy(second, 'two')], 'incremental').index).toBe(index);
  });

  it.each([
    [1, 0, 0],
    [0, 1, 1],
    [1, 1, 0],
    [0, 0, 0],
    [255, 0, 0],
    [0, 255, 1],
    [255, 1, 0],
    [1, 255, 0],
  ])('with boolean flags %d and %d: copy %d counts', (first, second, index) => {
    expect(chooseCopy([copy(first, 'one'), copy(second, 'two')], 'boolean').index).toBe(index);
  });

  it('are down to the valid one, whatever its flags', () => {
    expect(chooseCopy([broken, copy(0, 'two')], 'incremental').index).toBe(1);
    expect(chooseCopy([copy(0, 'one'), broken], 'boolean').index).toBe(0);
    expect(codeOf(() => chooseCopy([broken, broken], 'incremental'))).toBe('boot-env-corrupt');
  });

  it('are written in turns, never the one that counts, through every value of the flags', () => {
    const disk = [copy(0, 'start'), broken];
    for (let round = 1; round <= 600; round += 1) {
      const current = chooseCopy(disk, 'incremental');
      const next = nextWrite(current, 2, 'incremental');
      expect(next.index).not.toBe(current.index);
      disk[next.index] = copy(next.flags ?? -1, `round ${round}`);
      expect(chooseCopy(disk, 'incremental').copy.variables).toEqual([['copy', `round ${round}`]]);
    }
  });

  it('with boolean flags: the old copy is made obsolete', () => {
    const current = chooseCopy([copy(1, 'one'), broken], 'boolean');
    expect(nextWrite(current, 2, 'boolean')).toEqual({ index: 1, flags: 1, stamp: [], obsolete: 0 });
  });
});

describe('two files', () => {
  const file = (sequence: string | undefined, name = 'one') =>
    encodeCopy(
      [['copy', name], ...(sequence === undefined ? [] : ([['kaon_sequence', sequence]] as const))],
      64,
      undefined,
    );
  const broken = new Uint8Array(64).fill(255);
  const choose = (first: Uint8Array, second: Uint8Array) => chooseCopy([first, second], 'sequence').index;

  it('are written as U-Boot’s env export writes them, byte by byte', () => {
    const { variables: exported } = decodeCopy(fixture('files'), false);
    expect(Object.fromEntries(exported)).toEqual({
      BOOT_ORDER: 'B A',
      BOOT_A_LEFT: '3',
      BOOT_B_LEFT: '2',
      kaon_trial: 'B',
      kaon_tries: '3',
      kaon_sequence: '10',
    });
    expect(Buffer.from(encodeCopy(exported, 256, undefined))).toEqual(fixture('files'));
  });

  it.each([
    ['1', '2', 1],
    ['2', '1', 0],
    ['5', '5', 0],
    ['9', 'a', 1],
    ['ff', '100', 1],
    ['100', 'ff', 0],
    ['7ffffffe', '7fffffff', 1],
    // No number, or none that a script compares: the file is passed over, the other one counts.
    [undefined, '0', 1],
    ['0', undefined, 0],
    ['1', '80000000', 0],
    ['1', '0x2', 0],
    ['1', 'A', 0],
    ['1', '', 0],
  ])('with the sequences %s and %s: file %d counts', (first, second, index) => {
    expect(choose(file(first), file(second, 'two'))).toBe(index);
  });

  it('are down to the valid one, and to none', () => {
    expect(choose(broken, file('0'))).toBe(1);
    expect(choose(file('0'), broken)).toBe(0);
    expect(codeOf(() => choose(broken, broken))).toBe('boot-env-corrupt');
    expect(codeOf(() => choose(file(undefined), broken))).toBe('boot-env-corrupt');
  });

  it('with the newer one cut off or a bit of it flipped: the older one counts', () => {
    const [older, newer] = [file('1'), file('2', 'two')];
    for (let length = 0; length < newer.byteLength; length += 1) {
      expect(choose(older, newer.subarray(0, length)), `${length} bytes`).toBe(0);
      expect(choose(newer.subarray(0, length), older), `${length} bytes`).toBe(1);
    }
    for (let bit = 0; bit < newer.byteLength * 8; bit += 1) {
      const damaged = Uint8Array.from(newer);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(choose(older, damaged), `bit ${bit}`).toBe(0);
    }
  });

  it('are written in turns, with a sequence that grows', () => {
    const disk = [file('fe'), broken];
    for (let round = 1; round <= 4; round += 1) {
      const current = chooseCopy(disk, 'sequence');
      const { index, flags, stamp, obsolete } = nextWrite(current, 2, 'sequence');
      expect([index === current.index, flags, obsolete]).toEqual([false, undefined, undefined]);
      disk[index] = encodeCopy(withVariables(current.copy.variables, stamp), 64, undefined);
      expect(chooseCopy(disk, 'sequence').index).toBe(index);
    }
    expect(chooseCopy(disk, 'sequence').copy.variables).toContainEqual(['kaon_sequence', '102']);
    expect(nextWrite(undefined, 2, 'sequence')).toMatchObject({ index: 0, stamp: [['kaon_sequence', '1']] });
  });

  it('end where the numbers do, with an error that says so', () => {
    const current = chooseCopy([file('7fffffff'), broken], 'sequence');
    expect(codeOf(() => nextWrite(current, 2, 'sequence'))).toBe('boot-env-write-failed');
  });
});

describe('a default environment in text', () => {
  it('has a variable in each line', () => {
    expect(parseInitialEnvironment('# made by a build\n\nbootcmd=run a; run b=c\nempty=\nbootdelay=2\n')).toEqual([
      ['bootcmd', 'run a; run b=c'],
      ['bootdelay', '2'],
    ]);
  });

  it('is corrupt with anything else', () => {
    expect(() => parseInitialEnvironment('bootcmd=x\nnonsense\n')).toThrow(/line 2/);
  });
});
