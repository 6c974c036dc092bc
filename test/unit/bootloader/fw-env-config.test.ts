import { describe, expect, it } from 'vitest';
import { BootloaderError } from '../../../bootloader/errors.ts';
import { parseFwEnvConfig } from '../../../bootloader/fw-env-config.ts';

function placeOf(text: string): unknown {
  try {
    parseFwEnvConfig(text);
    return 'read';
  } catch (error) {
    return error instanceof BootloaderError && error.code === 'bootloader-unsupported' ? error.details : error;
  }
}

describe('fw_env.config', () => {
  it('names one copy', () => {
    expect(parseFwEnvConfig('# where it lies\n\n/dev/mmcblk0\t0x400000  0x4000\n')).toEqual([
      { device: '/dev/mmcblk0', offsetBytes: 0x400000, sizeBytes: 0x4000, sectorBytes: undefined, sectors: undefined },
    ]);
  });

  it('names two copies, with sectors and comments behind them', () => {
    expect(
      parseFwEnvConfig('/dev/mtdblock1 0 0x2000 0x1000 2 # first\r\n/dev/mtdblock1 0x10000 0x2000 1000 0x2'),
    ).toEqual([
      { device: '/dev/mtdblock1', offsetBytes: 0, sizeBytes: 0x2000, sectorBytes: 0x1000, sectors: 2 },
      { device: '/dev/mtdblock1', offsetBytes: 0x10000, sizeBytes: 0x2000, sectorBytes: 0x1000, sectors: 2 },
    ]);
  });

  it.each([
    ['0', 0],
    ['4096', 4096],
    ['0x1000', 4096],
    ['010', 8],
    ['-0x4000', -0x4000],
    ['-16384', -16384],
  ])('reads the offset %s as %d', (text, offsetBytes) => {
    expect(parseFwEnvConfig(`/dev/sda ${text} 0x1000`)[0]?.offsetBytes).toBe(offsetBytes);
  });

  it.each([
    ['1000', 0x1000],
    ['0x1000', 0x1000],
    ['4096', 0x4096],
  ])('reads the size %s as hexadecimal', (text, sizeBytes) => {
    expect(parseFwEnvConfig(`/dev/sda 0 ${text}`)[0]?.sizeBytes).toBe(sizeBytes);
  });

  it.each([
    ['no device at all', '# nothing\n', 1, 1],
    ['a missing size', '\n/dev/sda 0x1000', 2, 16],
    ['a missing offset', '/dev/sda # 0 0x1000', 1, 20],
    ['a device that is no path', '  sda 0 0x1000', 1, 3],
    ['an offset that is no number', '/dev/sda 12kB 0x1000', 1, 10],
    ['an offset that is no octal number', '/dev/sda 08 0x1000', 1, 10],
    ['an offset beyond counting', '/dev/sda 0xffffffffffffffff 0x1000', 1, 10],
    ['a size that is no number', '/dev/sda 0 -0x1000', 1, 12],
    ['a size of nothing', '/dev/sda 0 0', 1, 12],
    ['a size beyond reason', '/dev/sda 0 0x10000000', 1, 12],
    ['a copy over the end', '/dev/sda -0x800 0x1000', 1, 10],
    ['a sector size that is no number', '/dev/sda 0 1000 x', 1, 17],
    ['a word too many', '/dev/sda 0 1000 1000 1 yes', 1, 24],
    ['raw flash', '/dev/mtd0 0 1000', 1, 1],
    ['a UBI volume', '/dev/ubi0:env 0 1000', 1, 1],
    ['copies of different size', '/dev/sda 0 1000\n/dev/sda 0x10000 2000', 2, 1],
    ['copies that overlap', '/dev/sda 0 2000\n/dev/sda 0x1000 2000', 2, 1],
    ['three copies', '/dev/sda 0 1000\n/dev/sda 0x1000 1000\n/dev/sda 0x2000 1000', 3, 1],
  ])('is refused with %s, by line and column', (_name, text, line, column) => {
    expect(placeOf(text)).toEqual({ line, column });
  });
});
