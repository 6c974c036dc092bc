import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BootloaderError } from '../../../bootloader/errors.ts';
import { decodeEnvironment, encodeEnvironment, salvageVariables, type Variable } from '../../../bootloader/grubenv.ts';

function fixture(name: string): Uint8Array {
  return readFileSync(join(import.meta.dirname, 'fixtures', name));
}

const ours: readonly Variable[] = [
  ['ORDER', 'A B'],
  ['A_OK', '1'],
  ['A_LEFT', '4'],
  ['B_OK', '0'],
  ['B_LEFT', '0'],
  ['kaon_trial', '-'],
  ['kaon_tries', '0'],
];
const foreign: readonly Variable[] = [
  ['saved_entry', 'a\\b "c"'],
  ['kernelopts', 'root=UUID=1 ro quiet'],
];

describe('the GRUB environment block', () => {
  it('reads what grub-editenv wrote', () => {
    expect(decodeEnvironment(fixture('created.bin'))).toEqual([]);
    expect(decodeEnvironment(fixture('filled.bin'))).toEqual([...ours, ...foreign]);
    expect(decodeEnvironment(fixture('unset.bin'))).toEqual([...ours, foreign[1]]);
  });

  it('writes the bytes that grub-editenv writes', () => {
    expect(Buffer.from(encodeEnvironment([], [], 1024))).toEqual(fixture('created.bin'));
    expect(Buffer.from(encodeEnvironment(ours, foreign, 1024))).toEqual(fixture('filled.bin'));
  });

  it.each(['', '=', 'a=b=c', '#', 'ü ✓', 'line\nbreak', 'back\\slash', '\\\n\\'])('carries the value %j', (value) => {
    const block = encodeEnvironment([], [['name', value]], 1024);
    expect(decodeEnvironment(block)).toEqual([['name', value]]);
  });

  it('keeps the size that the block has', () => {
    for (const sizeBytes of [512, 1024, 4096]) {
      expect(encodeEnvironment(ours, foreign, sizeBytes)).toHaveLength(sizeBytes);
    }
  });

  it('refuses what has no room, and what of ours would leave the first sector', () => {
    const long: Variable = ['x', 'y'.repeat(450)];
    expect(() => encodeEnvironment([], [long, ['z', 'y'.repeat(600)]], 1024)).toThrow(
      /needs 1\d\d\d bytes and has 1024/,
    );
    expect(() => encodeEnvironment([long], [], 1024)).toThrow(/first sector has 512/);
  });

  it('gives a value or a coded error for every truncation and every flipped bit', () => {
    const block = fixture('filled.bin');
    const damaged = [
      ...Array.from({ length: block.byteLength }, (_, length) => block.subarray(0, length)),
      ...Array.from({ length: block.byteLength * 8 }, (_, bit) => {
        const copy = Uint8Array.from(block);
        copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return copy;
      }),
    ];
    let refused = 0;
    for (const bytes of damaged) {
      try {
        decodeEnvironment(bytes);
      } catch (error) {
        refused += 1;
        expect(error).toBeInstanceOf(BootloaderError);
        expect(error).toMatchObject({ code: 'boot-env-corrupt' });
      }
    }
    expect(refused).toBeGreaterThan(200);
  });

  it('salvages what still parses of a damaged block', () => {
    const block = Uint8Array.from(fixture('filled.bin'));
    block.fill(0, 0, 30);
    expect(salvageVariables(block)).toContainEqual(['kernelopts', 'root=UUID=1 ro quiet']);
  });
});
