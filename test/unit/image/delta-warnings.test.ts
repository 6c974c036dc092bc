import { describe, expect, it } from 'vitest';
import { compressedFileSystem, deltaWarnings, superblockBytes } from '../../../agent/image/delta-warnings.ts';
import { LayerMeter } from '../../../agent/image/layer-meter.ts';

/** The start of a file system with `value` at `at`. */
function startOf(...words: readonly (readonly [at: number, value: number])[]): Buffer {
  const start = Buffer.alloc(superblockBytes);
  for (const [at, value] of words) start.writeUInt32LE(value, at);
  return start;
}

function meterOf(...frames: readonly (readonly [content: number, compressed: number])[]): LayerMeter {
  const meter = new LayerMeter();
  for (const [content, compressed] of frames) meter.add(content, compressed, false);
  return meter;
}

const mebibyte = 1024 * 1024;
const loose = meterOf([100 * mebibyte, 30 * mebibyte]);
const erofs = [1024, 0xe0f5e1e2] as const;

describe('what ruins updates by blocks', () => {
  it.each([
    ['squashfs', startOf([0, 0x73717368]), 'squashfs'],
    ['EROFS with compression', startOf(erofs, [1104, 1]), 'compressed EROFS'],
    ['EROFS with compression configurations', startOf(erofs, [1104, 2]), 'compressed EROFS'],
    ['EROFS without compression', startOf(erofs, [1104, 4]), undefined],
    ['ext4', startOf([1080, 0xef53]), undefined],
    ['nothing', new Uint8Array(0), undefined],
    ['less than a superblock', startOf(erofs).subarray(0, 1100), undefined],
  ])('is told by the superblock of %s', (_what, start, found) => {
    expect(compressedFileSystem(start)).toBe(found);
  });

  it('is said with a figure for a compressed file system, and only that', () => {
    const dense = meterOf([mebibyte, mebibyte]);
    const warnings = deltaWarnings('root', startOf([0, 0x73717368]), dense);
    expect(warnings).toEqual([expect.stringMatching(/^partition root is squashfs: .*55 %/)]);
  });

  it('is said with size and share for files that are compressed already', () => {
    const warnings = deltaWarnings(
      'root',
      startOf(),
      meterOf([300 * mebibyte, 75 * mebibyte], [25 * mebibyte, 25 * mebibyte]),
    );
    expect(warnings).toEqual([expect.stringMatching(/25 MiB, 25 % of what is fetched/)]);
  });

  it('is not said where little is', () => {
    expect(deltaWarnings('root', startOf(), loose)).toEqual([]);
    expect(deltaWarnings('root', startOf(), new LayerMeter())).toEqual([]);
    expect(deltaWarnings('root', startOf(), meterOf([100 * mebibyte, 30 * mebibyte], [mebibyte, mebibyte]))).toEqual(
      [],
    );
  });
});
