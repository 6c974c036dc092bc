import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fatOffsetOf, parseFatState } from '../../../partitions/fat-state.ts';

/**
 * The first 20 KiB of what dosfstools 4.2 makes; SIZE and CLUSTER are 4M and 4, 16M and 4, 34M and 1:
 *
 *   truncate -s SIZE fat; mkfs.vfat -F KIND -s CLUSTER -i 12345678 -n ESP --invariant fat
 *   head -c 20480 fat | gzip -9n >fatKIND.img.gz
 */
function made(kind: 12 | 16 | 32): Buffer {
  return gunzipSync(readFileSync(join(import.meta.dirname, `fixtures/fat${kind}.img.gz`)));
}

function stateOf(bytes: Buffer) {
  const offset = fatOffsetOf(bytes.subarray(0, 512)) ?? 0;
  return parseFatState({ bootSector: bytes.subarray(0, 512), fatStart: bytes.subarray(offset, offset + 8) });
}

describe('a file system made by mkfs.vfat', () => {
  it.each([
    [12, 37, 512],
    [16, 37, 512 * 4],
    [32, 65, 512 * 32],
  ] as const)('as FAT%d is clean, and dirty once Linux has it mounted', (kind, place, fatOffset) => {
    const bytes = made(kind);
    expect(fatOffsetOf(bytes.subarray(0, 512))).toBe(fatOffset);
    expect(stateOf(bytes)).toBe('clean');
    bytes.writeUInt8(1, place);
    expect(stateOf(bytes)).toBe('dirty');
  });

  it('is dirty, too, while the bit of Windows in its FAT is cleared, which FAT12 has not', () => {
    const [fat16, fat32, fat12] = [made(16), made(32), made(12)];
    fat16.writeUInt16LE(fat16.readUInt16LE(512 * 4 + 2) & 0x7fff, 512 * 4 + 2);
    fat32.writeUInt32LE(fat32.readUInt32LE(512 * 32 + 4) & 0x07ff_ffff, 512 * 32 + 4);
    fat12.writeUInt16LE(0x7fff, 512 + 2);
    expect([fat12, fat16, fat32].map(stateOf)).toEqual(['clean', 'dirty', 'dirty']);
  });

  it('that is cut or has a bit flipped gives a state, or none, and never an error', () => {
    for (const kind of [12, 16, 32] as const) {
      const bytes = made(kind);
      for (let length = 0; length < 520; length += 1) stateOf(bytes.subarray(0, length));
      for (let bit = 0; bit < 512 * 8; bit += 1) {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        const state = stateOf(flipped);
        expect(['clean', 'dirty', undefined]).toContain(state);
        if (bit >> 3 === 510) expect(state).toBeUndefined();
      }
    }
  });
});
